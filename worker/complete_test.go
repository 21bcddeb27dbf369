package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// beginComplete completes the job in a transaction that is left open.
func beginComplete(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task], value any) (*offstagetest.Transaction, error) {
	tx := store.Begin()
	return tx, job.CompleteWith(ctx, offstagetest.Tx(tx), value)
}

// completions are handlers that call Complete, and what becomes of their jobs.
var completions = []struct {
	name    string
	handler func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error
	state   offstage.State
	says    string
	result  string
}{
	{"commits", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		tx, err := beginComplete(ctx, store, job, "done")
		return errors.Join(err, tx.Commit())
	}, offstage.Completed, "", `"done"`},
	{"commits, then fails", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		tx, err := beginComplete(ctx, store, job, nil)
		return errors.Join(err, tx.Commit(), errors.New("after all"))
	}, offstage.Completed, "", ""},
	{"commits, then panics", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		tx, err := beginComplete(ctx, store, job, nil)
		panic(errors.Join(err, tx.Commit()))
	}, offstage.Completed, "", ""},
	{"rolls back and forgets", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		tx, err := beginComplete(ctx, store, job, nil)
		return errors.Join(err, tx.Rollback())
	}, offstage.Failed, "did not commit", ""},
	{"rolls back and says why", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		tx, err := beginComplete(ctx, store, job, nil)
		return errors.Join(err, tx.Rollback(), errors.New("no money"))
	}, offstage.Failed, "no money", ""},
	{"tries again in another transaction", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		tx, err := beginComplete(ctx, store, job, 1)
		tx2, err2 := beginComplete(ctx, store, job, 2)
		return errors.Join(err, err2, tx.Rollback(), tx2.Commit())
	}, offstage.Completed, "", "2"},
	{"has a result too long", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		_, err := beginComplete(ctx, store, job, strings.Repeat("x", offstage.MaxResult))
		return err
	}, offstage.Failed, "limit of 1048576", ""},
	{"has a result that is no JSON", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		_, err := beginComplete(ctx, store, job, make(chan int))
		return err
	}, offstage.Failed, "chan int", ""},
	{"has a foreign transaction", func(ctx context.Context, store *offstagetest.Store, job *offstage.Job[task]) error {
		return job.Complete(ctx, offstagetest.Tx(offstagetest.NewStore().Begin()))
	}, offstage.Failed, offstage.ErrForeignTx.Error(), ""},
}

func TestComplete(t *testing.T) {
	for _, c := range completions {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := offstagetest.NewStore()
				r := newRig(t, store, worker.Config{})
				worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
					offstage.Logger(ctx).Info("a line")
					return c.handler(ctx, store, job)
				}, worker.Retry(offstage.RetryPolicy{MaxAttempts: 1}))
				r.run()
				got := r.await(r.enqueue(task{}), c.state)
				if !strings.Contains(got.Error, c.says) || string(got.Result) != c.result || len(got.Attempts) != 1 {
					t.Errorf("error %q, result %s, %d attempts; want an error saying %q, result %s", got.Error, got.Result, len(got.Attempts), c.says, c.result)
				}
				if !strings.Contains(string(got.Attempts[0].Log), "a line") {
					t.Errorf("the log is %s", got.Attempts[0].Log)
				}
				r.endWell()
				if claims, err := store.Claims(t.Context(), got.Attempts[0].Worker); err != nil || len(claims) != 0 {
					t.Errorf("claims left: %v, %v", claims, err)
				}
			})
		})
	}
}

func TestCompleteOutsideAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, store, worker.Config{})
		contexts, jobs := make(chan context.Context, 1), make(chan *offstage.Job[task], 1)
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			contexts <- ctx
			jobs <- job
			return errors.New("no")
		})
		r.run()
		id := r.enqueue(task{})
		r.await(id, offstage.Retrying)
		late, job := <-contexts, <-jobs
		if err := job.Complete(late, offstagetest.Tx(store.Begin())); !errors.Is(err, offstage.ErrNotRunning) {
			t.Errorf("after the attempt's end Complete answered %v", err)
		}
		offstage.Progress(late, 1, 1, "late")
		offstage.Logger(late).Info("late")
		if err := job.Complete(context.Background(), offstagetest.Tx(store.Begin())); !errors.Is(err, offstage.ErrNotRunning) {
			t.Errorf("outside a handler Complete answered %v", err)
		}
		tick(time.Second)
		if got := r.get(id); got.Progress != nil || got.Attempts[0].Log != nil {
			t.Errorf("what came late was kept: %+v, %s", got.Progress, got.Attempts[0].Log)
		}
		r.endWell()
	})
}

func TestCompleteAfterTheLeaseIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, store, worker.Config{})
		answers := make(chan error, 1)
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Run > 1 {
				return nil
			}
			<-ctx.Done()
			tx := store.Begin()
			err := job.Complete(context.WithoutCancel(ctx), offstagetest.Tx(tx))
			answers <- err
			return err
		})
		id := r.enqueue(task{})
		r.run()
		worker := r.await(id, offstage.Running).Worker
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: worker, Dead: true}, 10); err != nil {
			t.Fatal(err)
		}
		if err := <-answers; !errors.Is(err, offstage.ErrLeaseLost) {
			t.Errorf("Complete answered %v", err)
		}
		if got := r.await(id, offstage.Completed); got.Run != 2 {
			t.Errorf("completed in run %d", got.Run)
		}
		r.endWell()
	})
}

// openTx is a store on which the rows of a transaction that is still open block
// a Finish, as in a real database.
type openTx struct {
	*tap
	open chan struct{}
}

func (s openTx) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	if len(req.Results) > 0 && strings.Contains(req.Results[0].Error, "did not commit") {
		select {
		case <-s.open:
		case <-ctx.Done():
			return nil, errors.Join(lost, ctx.Err())
		}
	}
	return s.tap.Finish(ctx, req)
}

func TestCompleteInATransactionThatIsCommittedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openTx{newTap(), make(chan struct{})}
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Args.N == 2 {
				return nil
			}
			tx := store.Begin()
			time.AfterFunc(time.Minute, func() {
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
				close(store.open)
			})
			return job.Complete(ctx, offstagetest.Tx(tx))
		})
		id := r.enqueue(task{1})
		r.run()
		r.await(id, offstage.Running)
		r.await(r.enqueue(task{2}), offstage.Completed) // the others are not held up
		if got := r.await(id, offstage.Completed); len(got.Attempts) != 1 {
			t.Errorf("%d attempts", len(got.Attempts))
		}
		r.endWell()
	})
}

func TestCompleteWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := offstagetest.NewStore()
		store := faultstore.Wrap(inner)
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			tx := inner.Begin()
			if err := job.Complete(ctx, offstagetest.Tx(tx)); err != nil {
				return err
			}
			store.Break(faultstore.Fault{Mode: faultstore.Before, Class: offstage.FaultDown})
			time.AfterFunc(time.Minute, func() { store.Heal() })
			return tx.Commit()
		})
		r.client = offstage.NewClient(inner)
		id := r.enqueue(task{})
		r.run()
		r.await(id, offstage.Completed)
		tick(2 * time.Minute)
		if got := r.get(id); len(got.Attempts) != 1 {
			t.Errorf("%d attempts", len(got.Attempts))
		}
		r.endWell()
	})
}
