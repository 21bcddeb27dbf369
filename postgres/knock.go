package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offstagehq/offstage"
)

// knocker tells sleeping workers, after a commit, that there is something to do,
// and those who wait for jobs that some have ended: from one goroutine, for all
// that was committed meanwhile, never in the way of the answer.
type knocker struct {
	store *Store
	ready atomic.Bool // jobs became ready
	soon  atomic.Bool // jobs will be soon
	ended atomic.Bool // jobs ended
	bell  chan struct{}
	over  chan struct{} // closed by stop
}

const (
	// knockPause is the least time between two knocks, so that a stream of
	// inserts is not followed by a stream of knocks. It doubles up to calmPause
	// while nobody has to be told anything.
	knockPause = 2 * time.Millisecond
	calmPause  = 8 * time.Millisecond
	knockLimit = 5 * time.Second // for one knock
)

func (k *knocker) start(s *Store) {
	k.store, k.bell, k.over = s, make(chan struct{}, 1), make(chan struct{})
	s.running.Go(k.run)
}

// stop has a knock that is due sent, and no more.
func (k *knocker) stop() { close(k.over) }

// ring asks for a knock, since jobs became ready.
func (k *knocker) ring() { k.due(&k.ready) }

// ringSoon asks for a knock, since jobs will be due soon, if they are not yet.
func (k *knocker) ringSoon() { k.due(&k.soon) }

// ringFor asks for a knock for new jobs, if anybody has to be told of them.
func (k *knocker) ringFor(rows []row) {
	switch newsOf(rows) {
	case payloadAny:
		k.ringSoon()
	case payloadReady:
		k.ring()
	}
}

// newsOf returns what there is to tell of new jobs, "" for nothing: whoever promotes
// must hear of those that will be due before it looks by itself.
func newsOf(rows []row) string {
	news := ""
	for i := range rows {
		switch at := rows[i].wait(); {
		case at <= 0 && news == "":
			news = payloadReady
		case at > 0 && at <= offstage.Soon:
			return payloadAny
		}
	}
	return news
}

// ringEnded asks for a knock, since jobs ended.
func (k *knocker) ringEnded() { k.due(&k.ended) }

func (k *knocker) due(what *atomic.Bool) {
	what.Store(true)
	select {
	case k.bell <- struct{}{}:
	default: // one is due already, and will be sent after this commit
	}
}

func (k *knocker) run() {
	rest := knockPause
	for {
		select {
		case <-k.bell:
			if k.knock() {
				rest = knockPause
			} else {
				rest = min(2*rest, calmPause)
			}
		case <-k.over:
			select {
			case <-k.bell:
				k.knock()
			default:
			}
			return
		}
		select {
		case <-time.After(rest):
		case <-k.over:
		}
	}
}

// knock tells what there is to tell, and reports whether there was anybody to hear
// it. If it fails, they find it at their own next look.
func (k *knocker) knock() (heard bool) {
	ctx, cancel := context.WithTimeout(context.Background(), knockLimit)
	defer cancel()
	ready, soon, ended := k.ready.Swap(false), k.soon.Swap(false), k.ended.Swap(false)
	if !ready && !soon && !ended {
		return true // the knock before has told it
	}
	news := payloadReady
	if soon {
		news = payloadAny
	}
	note := func(tag pgconn.CommandTag) error {
		heard = heard || tag.RowsAffected() > 0
		return nil
	}
	_, err := k.store.work.try(ctx, unit{build: func(b *pgx.Batch) {
		if ready || soon {
			b.Queue(k.store.sql(knockSQL), k.store.schema, news).Exec(note)
		}
		if ended {
			b.Queue(k.store.sql(tellEndedSQL), k.store.schema, payloadEnded).Exec(note)
		}
	}})
	return heard || err != nil
}

const (
	// knockSQL notifies channel $1 of $2 if any worker is asleep.
	knockSQL = `SELECT pg_notify($1::text, $2::text), set_config('synchronous_commit', 'off', true)
FROM (SELECT FROM offstage.beat WHERE asleep AND NOT dead LIMIT 1) b`
	// tellEndedSQL notifies channel $1 of $2 if anybody waits for jobs to end.
	tellEndedSQL = `SELECT pg_notify($1::text, $2::text), set_config('synchronous_commit', 'off', true)
FROM (SELECT FROM offstage.herald WHERE until > statement_timestamp() LIMIT 1) h`
)
