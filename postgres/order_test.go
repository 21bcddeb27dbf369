package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

func keyed(key string, mode offstage.UniqueMode) offstage.NewJob {
	job := plain()
	job.Unique = &offstage.UniqueKey{Key: []byte(key), Mode: mode}
	return job
}

// lockKey locks a unique key for a transaction, or fails at once.
const lockKey = `SELECT job FROM offstage.uniq WHERE key = $1 FOR UPDATE NOWAIT`

// whileLocked has somebody else lock the key first, runs do until it waits for
// that, and then has the same transaction take the key next: if do held that
// already, each would wait for the other.
func (s *stand) whileLocked(first, next string, do func() error) {
	s.Helper()
	tx, err := s.other.Begin(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if _, err := tx.Exec(s.Context(), lockKey, []byte(first)); err != nil {
		s.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	s.awaitLock()
	if _, err := tx.Exec(s.Context(), lockKey, []byte(next)); err != nil {
		s.Errorf("what waits for key %q has locked %q before it: %v", first, next, err)
	}
	if err := tx.Rollback(s.Context()); err != nil {
		s.Fatal(err)
	}
	if err := <-done; err != nil {
		s.Error(err)
	}
}

// awaitLock returns when a session of this database waits for a lock.
func (s *stand) awaitLock() {
	s.Helper()
	conn, err := pgx.ConnectConfig(s.Context(), s.other.Config())
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close(s.Context()) }() // it was only asked
	for waiting := false; !waiting; {
		const query = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`
		if err := conn.QueryRow(s.Context(), query).Scan(&waiting); err != nil {
			s.Fatal(err)
		}
	}
}

// Rows are locked in the order of their keys, whatever the caller's order: two
// that did it in opposite orders would deadlock.
func TestOppositeOrdersDoNotDeadlock(t *testing.T) {
	t.Run("enqueues", func(t *testing.T) {
		s := newStand(t)
		s.insert(keyed("a", offstage.Skip))
		s.insert(keyed("b", offstage.Skip))
		s.whileLocked("a", "b", func() error {
			_, err := s.Insert(t.Context(), []offstage.NewJob{keyed("b", offstage.Replace), keyed("a", offstage.Replace)})
			return err
		})
	})
	t.Run("enqueues of free keys", func(t *testing.T) {
		s := newStand(t)
		_, commit := s.begin(keyed("a", offstage.Skip))
		done := make(chan error, 1)
		go func() {
			_, err := s.Insert(t.Context(), []offstage.NewJob{keyed("b", offstage.Skip), keyed("a", offstage.Skip)})
			done <- err
		}()
		s.awaitLock()
		peer := newStandOn(t, s)
		peer.insert(keyed("b", offstage.Skip)) // would wait for who waits for a
		commit()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("completions", func(t *testing.T) {
		s := newStand(t)
		s.insert(keyed("b", offstage.Skip))
		s.insert(keyed("a", offstage.Skip))
		request := s.completed(2)
		s.whileLocked("a", "b", func() error {
			_, err := s.Finish(t.Context(), request)
			return err
		})
	})
}

// completed claims n jobs and returns what completes them.
func (s *stand) completed(n int) offstage.FinishRequest {
	s.Helper()
	claim, err := s.Store.Claim(s.Context(), s.request(false))
	if err != nil || len(claim.Jobs) != n {
		s.Fatalf("claimed %d jobs, %v; want %d", len(claim.Jobs), err, n)
	}
	request := offstage.FinishRequest{Worker: s.worker, Release: []int64{claim.Seq}}
	for _, job := range claim.Jobs {
		request.Results = append(request.Results, offstage.Result{
			Job: job.ID, Run: job.Run, Claim: claim.Seq, UniqueKey: job.UniqueKey,
			Outcome: offstage.OutcomeCompleted, Next: offstage.Completed, Started: true, Ran: time.Millisecond,
		})
	}
	return request
}

// A follower that is enqueued while its holder ends is seen by that end: the key
// is locked in one statement, and looked at in the next.
func TestAFollowerThatComesWithTheEndIsNotLeftWaiting(t *testing.T) {
	s := newStand(t)
	s.insert(keyed("a", offstage.KeepLast))
	request := s.completed(1)
	follower, commit := s.begin(keyed("a", offstage.KeepLast))
	done := make(chan error, 1)
	go func() {
		_, err := s.Finish(t.Context(), request)
		done <- err
	}()
	s.awaitLock()
	commit()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), follower); err != nil || got.State != offstage.Ready {
		t.Errorf("the follower is %s, %v; want ready", got.State, err)
	}
}
