package worker_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// openSQLite opens the store in a file, fit for a bubble.
func openSQLite(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path, sqlite.WithoutWatch())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestHoursOnSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hours.db")
	synctest.Test(t, func(t *testing.T) {
		store := openSQLite(t, path)
		r := newRig(t, store, worker.Config{})
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (string, error) {
			offstage.Progress(ctx, int64(job.Run), 5, "trying")
			offstage.Logger(ctx).Info("trying", "run", job.Run)
			if job.Run < job.Args.N {
				return "", fmt.Errorf("run %d", job.Run)
			}
			return "done", nil
		})
		r.run()
		retried, later := r.enqueue(task{8}), r.enqueue(task{}, offstage.After(10*time.Hour))
		asked := time.Now()
		tick(10*time.Hour + time.Minute)
		if got := r.get(later); got.State != offstage.Completed || got.FinishedAt.Sub(asked) < 10*time.Hour || got.FinishedAt.Sub(asked) > 10*time.Hour+time.Second {
			t.Errorf("the job for ten hours later is %v, finished after %v", got.State, got.FinishedAt.Sub(asked))
		}
		got := r.get(retried)
		if got.State != offstage.Completed || got.Run != 8 || string(got.Result) != `"done"` || got.Progress.Done != 8 {
			t.Errorf("the retried job is %v in run %d, result %s, progress %+v", got.State, got.Run, got.Result, got.Progress)
		}
		r.endWell()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCompleteInATransactionOfSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tx.db")
	synctest.Test(t, func(t *testing.T) {
		store := openSQLite(t, path)
		db := store.DB()
		if _, err := db.Exec("CREATE TABLE effect (n INTEGER)"); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO effect VALUES (?)", job.Args.N)
			if err = errors.Join(err, job.Complete(ctx, sqlite.Tx(tx))); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			if job.Run == 1 {
				return errors.Join(errors.New("at the last moment"), tx.Rollback())
			}
			return tx.Commit()
		}, worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return time.Second }}))
		r.run()
		for n := range 20 {
			r.enqueue(task{n})
		}
		tick(time.Minute)
		var effects int
		if err := db.QueryRow("SELECT count(*) FROM effect").Scan(&effects); err != nil || effects != 20 {
			t.Errorf("%d effects, %v; want one of each job", effects, err)
		}
		r.endWell()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestADeadProcessOnSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.db")
	synctest.Test(t, func(t *testing.T) {
		dies, lives := openSQLite(t, path), openSQLite(t, path)
		first := newRig(t, dies, worker.Config{})
		causes := hold(first)
		first.run()
		id := first.enqueue(task{})
		first.await(id, offstage.Running)
		died := time.Now()
		if err := dies.Close(); err != nil { // as much of a death as fits into one process
			t.Fatal(err)
		}
		if err := <-first.ended; !errors.Is(err, offstage.ErrClosed) {
			t.Errorf("Run returned %v", err)
		}
		if cause := <-causes; cause == nil {
			t.Error("the handler was not cancelled")
		}
		second := newRig(t, lives, worker.Config{})
		worker.Handle(second.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		second.run()
		if got := second.await(id, offstage.Completed); got.Attempts[0].Outcome != offstage.OutcomeLost {
			t.Errorf("the first attempt is %v", got.Attempts[0].Outcome)
		}
		if took := time.Since(died); took > 2*time.Second {
			t.Errorf("it ran again after %v; a dead process is recognised, not waited for", took)
		}
		second.endWell()
		first.stop()
		if err := lives.Close(); err != nil {
			t.Error(err)
		}
	})
}
