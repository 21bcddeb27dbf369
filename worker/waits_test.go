package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var woke []time.Duration
		begun := time.Now()
		got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
			if _, err := once(ctx, "before", &n, 1); err != nil {
				return err
			}
			for _, name := range []string{"first", "second"} {
				if err := offstage.Sleep(ctx, name, 30*time.Minute); err != nil {
					return err
				}
				woke = append(woke, time.Since(begun).Truncate(time.Minute))
			}
			return nil
		})
		if n != 1 || got.State != offstage.Completed || got.Run != 3 || got.Errors != 0 {
			t.Errorf("done %d times, %s in run %d after %d errors", n, got.State, got.Run, got.Errors)
		}
		if fmt.Sprint(woke) != "[30m0s 1h0m0s 1h0m0s]" {
			t.Errorf("it woke after %v", woke)
		}
	})
}

// A job that sleeps holds no slot, and one that is woken too early sleeps on.
func TestSleepHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 1}}})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Args.N == 2 {
				return nil
			}
			return offstage.Sleep(ctx, "nap", time.Hour)
		})
		r.run()
		id := r.enqueue(task{1})
		worker := r.await(id, offstage.Scheduled).Attempts[0].Worker
		r.await(r.enqueue(task{2}), offstage.Completed)
		tick(2 * time.Second)
		if claims, err := store.Claims(t.Context(), worker); err != nil || len(claims) != 0 {
			t.Errorf("claims %v, %v", claims, err)
		}
		if _, err := r.client.RunNow(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got := r.awaitRun(id, 2, offstage.Scheduled); got.Attempts[1].Outcome != offstage.OutcomeSnoozed {
			t.Errorf("outcome %s", got.Attempts[1].Outcome)
		}
		tick(59 * time.Minute)
		if got := r.await(id, offstage.Completed); got.FinishedAt.Sub(got.CreatedAt) < time.Hour || got.FinishedAt.Sub(got.CreatedAt) > time.Hour+2*time.Second {
			t.Errorf("it slept for %v", got.FinishedAt.Sub(got.CreatedAt))
		}
		r.endWell()
	})
}

// A wait that the handler does not return is an error that says so, and nothing
// more is done in the attempt.
func TestSwallowedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		store := offstagetest.NewStore()
		got := steps(t, store, func(ctx context.Context, job *offstage.Job[task]) error {
			_ = offstage.Sleep(ctx, "nap", time.Minute)
			_, _ = once(ctx, "after", &n, 1)
			tx := store.Begin()
			_, _ = offstage.StepTx(ctx, offstagetest.Tx(tx), "after, in a transaction", func(context.Context) (int, error) { n++; return n, nil })
			if err := tx.Commit(); err != nil {
				return err
			}
			if job.Run == 1 && n > 0 {
				t.Error("a step was done after the sleep had begun")
			}
			return nil
		})
		if first := got.Attempts[0]; first.Outcome != offstage.OutcomeErrored || !strings.Contains(first.Error, "nap") || !strings.Contains(first.Error, "must return") {
			t.Errorf("the first attempt: %s, %q", first.Outcome, first.Error)
		}
	})
}

func TestWaitForASignal(t *testing.T) {
	type payment struct{ Cents int }
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		n := 0
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (int, error) {
			if _, err := once(ctx, "order", &n, 1); err != nil {
				return 0, err
			}
			paid, err := offstage.WaitFor[payment](ctx, fmt.Sprintf("order %d paid", job.Args.N))
			if err != nil {
				return 0, err
			}
			if job.Run < 3 {
				return 0, errors.New("after the signal")
			}
			return paid.Cents, nil
		}, soon)
		r.run()
		id := r.enqueue(task{17})
		if got := r.await(id, offstage.Blocked); !strings.Contains(got.Waits, "order 17 paid") {
			t.Errorf("it waits for %q", got.Waits)
		}
		tick(5 * time.Hour)
		for i, want := range []int{1, 0} { // the second is a repeat
			if woken, err := r.client.Signal(t.Context(), "order 17 paid", payment{100 + i}); err != nil || woken != want {
				t.Errorf("signal %d woke %d, %v", i, woken, err)
			}
		}
		if got := r.await(id, offstage.Completed); string(got.Result) != "100" || got.Run != 3 || got.Errors != 1 || n != 1 {
			t.Errorf("result %s in run %d, %d errors; ordered %d times", got.Result, got.Run, got.Errors, n)
		}
		r.endWell()
	})
}

// When the time is over, that is remembered, though the signal comes later.
func TestWaitWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			_, err := offstage.WaitFor[int](ctx, "paid", offstage.Within(time.Hour))
			if !errors.Is(err, offstage.ErrNoSignal) {
				return err
			}
			if job.Run < 3 {
				return errors.New("again")
			}
			return nil
		}, worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return time.Minute }}))
		r.run()
		id := r.enqueue(task{})
		r.await(id, offstage.Scheduled)
		tick(59 * time.Minute)
		got := r.await(id, offstage.Retrying)
		if waited := got.FinishedAt.Sub(got.CreatedAt); waited < time.Hour || waited > time.Hour+2*time.Second {
			t.Errorf("it waited for %v", waited)
		}
		if woken, err := r.client.Signal(t.Context(), "paid", 1); err != nil || woken != 0 {
			t.Errorf("the late signal woke %d, %v", woken, err)
		}
		if got := r.await(id, offstage.Completed); got.Run != 3 {
			t.Errorf("completed in run %d", got.Run)
		}
		r.endWell()
	})
}

// The names of signals may be as long as those of steps, and differ only at their
// end: each wait has a time of its own.
func TestWaitWithinForLongNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
			long := strings.Repeat("ü", offstage.MaxStepName/2-1)
			for _, end := range []string{"a", "b"} {
				if _, err := offstage.WaitFor[int](ctx, long+end, offstage.Within(time.Hour)); !errors.Is(err, offstage.ErrNoSignal) {
					return err
				}
			}
			return nil
		})
		if waited := time.Since(begun).Truncate(time.Minute); got.State != offstage.Completed || waited != 2*time.Hour {
			t.Errorf("%s after %v", got.State, waited)
		}
		for _, step := range got.Steps {
			if !utf8.ValidString(step.Name) {
				t.Errorf("a step has the name %q", step.Name)
			}
		}
	})
}

func TestSignalInATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		client := offstage.NewClient(store)
		tx := store.Begin()
		if _, err := client.In(offstagetest.Tx(tx)).Signal(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, found, err := store.FindSignal(t.Context(), "a"); found || err != nil {
			t.Errorf("found %t, %v", found, err)
		}
		var invalid *offstage.InvalidError
		if _, err := client.Signal(t.Context(), "", nil); !errors.As(err, &invalid) {
			t.Errorf("no name: %v", err)
		}
		if _, err := client.Signal(t.Context(), "a", make(chan int)); !errors.As(err, &invalid) {
			t.Errorf("no JSON: %v", err)
		}
	})
}

// part is a child's work.
type part struct {
	N int `json:"n"`
}

func (part) Kind() string { return "part" }

func TestChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 1}}})
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[part]) (int, error) {
			if job.Args.N == 3 && job.Run == 1 {
				return 0, errors.New("once more")
			}
			return job.Args.N * 10, nil
		}, soon)
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (int, error) {
			var parts []*offstage.Receipt
			for n := range job.Args.N {
				child, err := r.client.EnqueueChild(ctx, fmt.Sprint("part ", n), part{n})
				if err != nil {
					return 0, err
				}
				parts = append(parts, child)
			}
			sum := 0
			for _, child := range parts {
				result, err := offstage.Await[int](ctx, child)
				if err != nil {
					return 0, err
				}
				sum += result
			}
			return sum, nil
		}, soon)
		r.run()
		id := r.enqueue(task{5})
		if got := r.await(id, offstage.Completed); string(got.Result) != "100" || got.Errors != 0 {
			t.Errorf("result %s after %d errors", got.Result, got.Errors)
		}
		if children := offstagetest.Enqueued[part](t, r.store); len(children) != 5 || children[0].Parent != id {
			t.Errorf("%d children, the first of job %d", len(children), children[0].Parent)
		}
		r.endWell()
	})
}

// How a child ended is remembered, though it is gone.
func TestChildThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[part]) error {
			return offstage.Fail(errors.New("no memory"))
		})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			child, err := r.client.EnqueueChild(ctx, "part", part{1})
			if err != nil {
				return err
			}
			_, err = offstage.Await[int](ctx, child)
			var ended *offstage.EndedError
			if !errors.As(err, &ended) {
				return err
			}
			if ended.State != offstage.Failed || !strings.Contains(ended.Message, "no memory") {
				t.Errorf("the child %+v", ended)
			}
			if job.Errors == 0 {
				return errors.Join(errors.New("again"), r.client.Delete(ctx, child.ID))
			}
			return nil
		}, soon)
		r.run()
		if got := r.await(r.enqueue(task{}), offstage.Completed); got.Errors != 1 {
			t.Errorf("%d errors", got.Errors)
		}
		r.endWell()
	})
}

func TestMisusesOfWaits(t *testing.T) {
	client := offstage.NewClient(offstagetest.NewStore())
	ctx := t.Context()
	_, wait := offstage.WaitFor[int](ctx, "a")
	_, child := client.EnqueueChild(ctx, "a", part{})
	for i, err := range []error{offstage.Sleep(ctx, "a", 1), wait, child} {
		if !errors.Is(err, offstage.ErrNotRunning) {
			t.Errorf("call %d outside a handler answered %v", i, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
			var invalid *offstage.InvalidError
			_, within := offstage.WaitFor[int](ctx, "a", offstage.Within(0))
			_, unique := client.EnqueueChild(ctx, "c", part{}, offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip}))
			for i, err := range []error{offstage.Sleep(ctx, "b", -1), within, unique} {
				if !errors.As(err, &invalid) {
					t.Errorf("call %d answered %v", i, err)
				}
			}
			return nil
		})
	})
}

// While the store fails, a job that would wait keeps trying.
func TestWaitsWhileTheStoreFails(t *testing.T) {
	for _, method := range []string{"FindSignal", "RememberChild"} {
		synctest.Test(t, func(t *testing.T) {
			inner := offstagetest.NewStore()
			store := faultstore.Wrap(inner)
			client := offstage.NewClient(inner)
			if _, err := client.Signal(t.Context(), "a", 7); err != nil {
				t.Fatal(err)
			}
			got := steps(t, store, func(ctx context.Context, job *offstage.Job[task]) error {
				store.Break(faultstore.Fault{Method: method, Mode: faultstore.After, Class: offstage.FaultUnknown})
				time.AfterFunc(time.Minute, func() { store.Heal() })
				_, err := offstage.WaitFor[int](ctx, "a")
				_, err2 := client.EnqueueChild(ctx, "part", part{1}, offstage.InQueue("other"))
				return errors.Join(err, err2)
			})
			if got.Run != 1 || len(offstagetest.Enqueued[part](t, inner)) != 1 {
				t.Errorf("%s: run %d, children %d", method, got.Run, len(offstagetest.Enqueued[part](t, inner)))
			}
		})
	}
}
