package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lazilySQL lets a transaction end before it is on disk.
	lazilySQL = `SELECT set_config('synchronous_commit', 'off', true)`
	// heraldSQL notes until when herald $1 is to be told, $2 seconds from now. It is
	// the server's time, in tests too: what it bounds is how long a process lives.
	heraldSQL = `INSERT INTO offstage.herald (id, until)
VALUES ($1::bigint, statement_timestamp() + $2::int * interval '1 second') ON CONFLICT (id) DO UPDATE SET until = excluded.until`
	dropHeraldSQL = `DELETE FROM offstage.herald WHERE id = $1::bigint OR until < statement_timestamp()`
)

const (
	heraldLife  = 30               // seconds
	heraldEvery = 10 * time.Second // a third of its life
)

// WatchEnds listens for the ends of jobs on a connection of its own; see
// [offstage.Herald]. A flush reads whether anybody is to be told beside what it
// writes, and tells after its commit. A job that was completed in a caller's
// transaction is told of when its worker asks whether it was committed.
func (s *Store) WatchEnds(ctx context.Context, ready, wake func()) error {
	id := rand.Int64()
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	var failed error
	err := s.listenUntil(ctx, func(listening context.Context) error {
		if err := s.heralded(listening, id); err != nil {
			return err
		}
		renewing.Go(func() {
			if failed = s.keepHeralded(listening, id); failed != nil {
				cancel()
			}
		})
		ready()
		return nil
	}, func(payload string) {
		if payload == payloadEnded {
			wake()
		}
	})
	cancel()
	renewing.Wait()
	s.dropHerald(ctx, id)
	return errors.Join(err, failed)
}

func (s *Store) heralded(ctx context.Context, id int64) error {
	return s.send(ctx, s.work, unit{op: "watch for ends", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(lazilySQL)
		b.Queue(s.sql(heraldSQL), id, heraldLife)
	}})
}

// keepHeralded renews a herald until ctx ends.
func (s *Store) keepHeralded(ctx context.Context, id int64) error {
	every := time.NewTicker(heraldEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
		if err := s.heralded(ctx, id); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// dropHerald forgets a herald, and those that died. If it fails, they are told
// until their time is over.
func (s *Store) dropHerald(ctx context.Context, id int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.send(ctx, s.work, unit{op: "end the watch for ends", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(lazilySQL)
		b.Queue(s.sql(dropHeraldSQL), id)
	}})
}
