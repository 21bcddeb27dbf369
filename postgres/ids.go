package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// blockSize is how many ids one step of the sequence gives; the migration says
// the same.
const blockSize = 1000

// ids hands out numbers for new jobs from blocks that belong to this process, so
// that a job's id is known before it is stored. A block is given up after a
// minute, so that ids grow roughly with time, and with each new connection: a
// failover may have forgotten the sequence's last steps.
type ids struct {
	turn  chan struct{} // holds a token while nobody uses what follows
	spans []span
	until time.Time
	epoch int64
}

type span struct{ next, end int64 } // next … end-1 are free

// nextBlocksSQL takes $1 blocks.
const nextBlocksSQL = `SELECT nextval('offstage.job_id') FROM generate_series(1, $1::int)`

// newIDs returns n ids in ascending order.
func (s *Store) newIDs(ctx context.Context, n int) ([]int64, error) {
	return s.takeIDs(ctx, n, func(ctx context.Context, blocks int) ([]int64, error) {
		var starts []int64
		err := s.send(ctx, s.work, unit{op: "take job ids", repeatable: true, build: func(b *pgx.Batch) {
			b.Queue(s.sql(nextBlocksSQL), blocks).Query(func(rows pgx.Rows) (err error) {
				starts, err = pgx.CollectRows(rows, pgx.RowTo[int64])
				return err
			})
		}})
		return starts, err
	})
}

// takeIDs returns n ids, with more blocks from fetch if there are not enough.
func (s *Store) takeIDs(ctx context.Context, n int, fetch func(context.Context, int) ([]int64, error)) ([]int64, error) {
	select {
	case <-s.ids.turn:
	case <-ctx.Done():
		return nil, fault(ctx, "take job ids", ctx.Err(), false)
	}
	defer func() { s.ids.turn <- struct{}{} }()
	have := s.ids.fresh(s.epoch.Load())
	if have < n {
		starts, err := fetch(ctx, (n-have+blockSize-1)/blockSize)
		if err != nil {
			return nil, err
		}
		for _, start := range starts {
			s.ids.spans = append(s.ids.spans, span{start, start + blockSize})
		}
		s.ids.until, s.ids.epoch = time.Now().Add(time.Minute), s.epoch.Load()
	}
	return s.ids.take(n), nil
}

// fresh drops blocks that have expired and returns how many ids are left.
func (d *ids) fresh(epoch int64) (have int) {
	if d.epoch != epoch || time.Now().After(d.until) {
		d.spans = nil
	}
	for _, s := range d.spans {
		have += int(s.end - s.next)
	}
	return have
}

func (d *ids) take(n int) []int64 {
	taken := make([]int64, 0, n)
	for len(taken) < n {
		s := &d.spans[0]
		for len(taken) < n && s.next < s.end {
			taken = append(taken, s.next)
			s.next++
		}
		if s.next == s.end {
			d.spans = d.spans[1:]
		}
	}
	return taken
}
