package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// soon retries after a second.
var soon = worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return time.Second }})

// steps runs one job with this handler until it has ended, and returns it.
func steps(t *testing.T, store offstage.Store, handler func(ctx context.Context, job *offstage.Job[task]) error) offstage.Details {
	t.Helper()
	r := newRig(t, store, worker.Config{})
	worker.Handle(r.worker, handler, soon)
	id := r.enqueue(task{})
	r.run()
	defer r.endWell()
	for range 100_000 {
		synctest.Wait()
		if got := r.get(id); got.State.Terminal() {
			return got
		}
		tick(100 * time.Millisecond)
	}
	t.Fatalf("the job never ended: %+v", r.get(id))
	return offstage.Details{}
}

// once is a step that counts how often it is done.
func once[T any](ctx context.Context, name string, count *int, value T) (T, error) {
	return offstage.Step(ctx, name, func(context.Context) (T, error) { *count++; return value, nil })
}

func TestStepsAreNotDoneAgain(t *testing.T) {
	type receipt struct{ ID, Note string }
	synctest.Test(t, func(t *testing.T) {
		charges, mails := 0, 0
		got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
			paid, err := once(ctx, "charge", &charges, receipt{"ch_1", fmt.Sprint("attempt ", job.Run)})
			if err != nil {
				return err
			}
			if paid != (receipt{"ch_1", "attempt 1"}) {
				t.Errorf("attempt %d got %+v", job.Run, paid)
			}
			if job.Run < 3 {
				return errors.New("no mail today")
			}
			_, err = once(ctx, "mail", &mails, 0)
			return err
		})
		if charges != 1 || mails != 1 || got.Run != 3 || len(got.Steps) != 2 {
			t.Errorf("%d charges, %d mails, %d attempts, steps %+v", charges, mails, got.Run, got.Steps)
		}
	})
}

// misuses are handlers that use steps in a way they must not, and what they are
// told.
var misuses = map[string]struct {
	handler func(ctx context.Context) error
	is      error
	says    []string
}{
	"the same name twice": {func(ctx context.Context) error {
		n := 0
		_, err := once(ctx, "a", &n, 1)
		_, err2 := once(ctx, "a", &n, 1)
		return errors.Join(err, err2)
	}, offstage.ErrStepTwice, []string{`"a"`, "job 1"}},
	"a step inside a step": {func(ctx context.Context) error {
		_, err := offstage.Step(ctx, "outer", func(ctx context.Context) (int, error) {
			n := 0
			return once(ctx, "inner", &n, 1)
		})
		return err
	}, nil, []string{`"inner"`, `"outer"`}},
	"a cursor inside a step": {func(ctx context.Context) error {
		_, err := offstage.Step(ctx, "outer", func(ctx context.Context) (int, error) {
			_, err := offstage.OpenCursor[int](ctx, "inner")
			return 0, err
		})
		return err
	}, nil, []string{`"inner"`, `"outer"`}},
	"no name": {func(ctx context.Context) error {
		n := 0
		_, err := once(ctx, "", &n, 1)
		return err
	}, nil, []string{"step", "empty"}},
	"a long name": {func(ctx context.Context) error {
		n := 0
		_, err := once(ctx, strings.Repeat("x", offstage.MaxStepName+1), &n, 1)
		return err
	}, nil, []string{"step", "201", "200"}},
	"no JSON": {func(ctx context.Context) error {
		n := 0
		_, err := once(ctx, "a", &n, make(chan int))
		return err
	}, nil, []string{`"a"`, "chan int"}},
	"fields that JSON would lose": {func(ctx context.Context) error {
		n := 0
		_, err := once(ctx, "a", &n, struct{ id string }{"ch_1"})
		return err
	}, nil, []string{`"a"`, "value.id", "unexported"}},
	"too long": {func(ctx context.Context) error {
		n := 0
		_, err := once(ctx, "a", &n, strings.Repeat("x", offstage.MaxResult))
		return err
	}, nil, []string{`"a"`, "1048576"}},
	"no retries": {func(ctx context.Context) error {
		_, err := offstage.Step(ctx, "a", func(context.Context) (int, error) { return 0, nil }, offstage.StepRetry(0, nil))
		return err
	}, nil, []string{"step retry", "1 to 100"}},
	"no time": {func(ctx context.Context) error {
		_, err := offstage.Step(ctx, "a", func(context.Context) (int, error) { return 0, nil }, offstage.StepTimeout(0))
		return err
	}, nil, []string{"step timeout"}},
	"a foreign transaction": {func(ctx context.Context) error {
		_, err := offstage.StepTx(ctx, offstagetest.Tx(offstagetest.NewStore().Begin()), "a", func(context.Context) (int, error) { return 0, nil })
		return err
	}, offstage.ErrForeignTx, nil},
}

func TestMisusesOfSteps(t *testing.T) {
	for name, c := range misuses {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
					err := c.handler(ctx)
					if err == nil {
						t.Error("no error")
						return nil
					}
					if c.is != nil && !errors.Is(err, c.is) {
						t.Errorf("%v is not %v", err, c.is)
					}
					return offstage.Cancel(err)
				})
				for _, part := range c.says {
					if !strings.Contains(got.Error, part) {
						t.Errorf("%q does not say %q", got.Error, part)
					}
				}
			})
		})
	}
}

// A later attempt that comes past most of the steps that a job can have may do
// another one.
func TestManySteps(t *testing.T) {
	const many = offstage.MaxSteps/2 + 100
	synctest.Test(t, func(t *testing.T) {
		n := 0
		got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
			for i := range many {
				if _, err := once(ctx, fmt.Sprint("step ", i), &n, i); err != nil {
					return err
				}
			}
			if job.Run == 1 {
				return errors.New("not the last one")
			}
			_, err := once(ctx, "the last one", &n, 0)
			return err
		})
		if n != many+1 || got.State != offstage.Completed || got.Run != 2 {
			t.Errorf("%d steps were done, %s in run %d: %s", n, got.State, got.Run, got.Error)
		}
	})
}

func TestStepsOutsideAHandler(t *testing.T) {
	ctx := t.Context()
	_, step := offstage.Step(ctx, "a", func(context.Context) (int, error) { return 0, nil })
	_, stepTx := offstage.StepTx(ctx, nil, "a", func(context.Context) (int, error) { return 0, nil })
	_, cursor := offstage.OpenCursor[int](ctx, "a")
	_, once := offstage.Once(ctx, nil, "a")
	for i, err := range []error{step, stepTx, cursor, once} {
		if !errors.Is(err, offstage.ErrNotRunning) {
			t.Errorf("call %d answered %v", i, err)
		}
	}
	if key := offstage.IdempotencyKey(ctx); key != "" {
		t.Errorf("the key is %q", key)
	}
	if err := offstage.Interrupted(ctx); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// A value that does not decode is an error that names step, job and type; the
// step is not done again.
func TestStepWhoseTypeHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) (err error) {
			if job.Run == 1 {
				_, err = once(ctx, "charge", &n, "ch_1")
				return errors.Join(err, errors.New("later"))
			}
			_, err = once(ctx, "charge", &n, map[string]int{})
			return offstage.Cancel(err)
		})
		for _, part := range []string{`"charge"`, "job 1", "(task)", "map[string]int", "attempt 1"} {
			if !strings.Contains(got.Error, part) {
				t.Errorf("%q does not say %q", got.Error, part)
			}
		}
		if n != 1 {
			t.Errorf("the step was done %d times", n)
		}
	})
}

func TestStepRetriesAndTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, tries := 0, 0
		var waits []time.Duration
		last := time.Now()
		got := steps(t, offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[task]) error {
			if _, err := once(ctx, "before", &before, 1); err != nil {
				return err
			}
			_, err := offstage.Step(ctx, "flaky", func(ctx context.Context) (int, error) {
				tries++
				waits, last = append(waits, time.Since(last)), time.Now()
				switch tries {
				case 1:
					return 0, errors.New("no")
				case 2:
					<-ctx.Done()
					return 0, ctx.Err()
				case 3:
					return 0, offstage.RetryAfter(9 * time.Second)
				case 4:
					return 0, offstage.RetryAfter(time.Hour) // too long to hold a slot
				}
				return tries, nil
			}, offstage.StepRetry(5, func(failed int) time.Duration { return time.Duration(failed) * time.Second }), offstage.StepTimeout(time.Minute))
			return err
		})
		want := []time.Duration{0, time.Second, time.Minute + 2*time.Second, 9 * time.Second, time.Hour}
		if len(waits) == 5 {
			waits[0], waits[4] = 0, waits[4].Truncate(time.Minute)
		}
		if !slices.Equal(waits, want) {
			t.Errorf("the tries came after %v; want %v", waits, want)
		}
		if got.State != offstage.Completed || got.Run != 2 || before != 1 {
			t.Errorf("%s after %d attempts, %d times before", got.State, got.Run, before)
		}
		if step := got.Steps[1]; step.Tries != 1 || step.Run != 2 {
			t.Errorf("the step is %+v", step)
		}
		if error := got.Attempts[0].Error; !strings.Contains(error, `step "flaky"`) {
			t.Errorf("the error is %q", error)
		}
	})
}

// While the store fails, a step that was done waits to be remembered.
func TestStepsWhileTheStoreFails(t *testing.T) {
	for _, fault := range []faultstore.Fault{
		{Method: "Remember", Mode: faultstore.Before, Class: offstage.FaultDown},
		{Method: "Remember", Mode: faultstore.After, Class: offstage.FaultUnknown},
		{Method: "Remember", Mode: faultstore.Before, Class: offstage.FaultBusy},
		{Method: "Recall", Mode: faultstore.Before, Class: offstage.FaultUnknown},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := faultstore.Wrap(offstagetest.NewStore())
			n := 0
			got := steps(t, store, func(ctx context.Context, job *offstage.Job[task]) error {
				if job.Run == 1 {
					return errors.New("the next one")
				}
				store.Break(fault)
				time.AfterFunc(time.Minute, func() { store.Heal() })
				_, err := once(ctx, "a", &n, 1)
				return err
			})
			if n != 1 || got.State != offstage.Completed || got.Run != 2 || len(got.Steps) != 1 {
				t.Errorf("%+v: done %d times, %s in run %d, steps %+v", fault, n, got.State, got.Run, got.Steps)
			}
		})
	}
}

// A worker that was taken for dead cannot remember anything once another has
// begun to.
func TestStepsOfALostAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, store, worker.Config{})
		answers := make(chan error, 1)
		begun := make(chan struct{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Run > 1 {
				_, err := offstage.Step(ctx, "a", func(context.Context) (int, error) { return 2, nil })
				close(begun)
				return err
			}
			_, err := offstage.Step(ctx, "b", func(context.Context) (int, error) { <-begun; return 1, nil })
			answers <- err
			return err
		})
		id := r.enqueue(task{})
		r.run()
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: r.await(id, offstage.Running).Worker, Dead: true}, 10); err != nil {
			t.Fatal(err)
		}
		got := r.await(id, offstage.Completed)
		if err := <-answers; !errors.Is(err, offstage.ErrLeaseLost) {
			t.Errorf("the lost attempt's step answered %v", err)
		}
		if len(got.Steps) != 1 || got.Steps[0].Name != "a" {
			t.Errorf("steps %+v", got.Steps)
		}
		r.endWell()
	})
}

func TestStepTx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		n := 0
		got := steps(t, store, func(ctx context.Context, job *offstage.Job[task]) error {
			try := func(end func(*offstagetest.Transaction) error) (int, error) {
				tx := store.Begin()
				v, err := offstage.StepTx(ctx, offstagetest.Tx(tx), "invoice", func(context.Context) (int, error) { n++; return n, nil })
				return v, errors.Join(err, end(tx))
			}
			switch job.Run {
			case 1:
				_, err := try((*offstagetest.Transaction).Rollback)
				return errors.Join(err, errors.New("it was rolled back"))
			case 2:
				_, err := try((*offstagetest.Transaction).Rollback)
				v, err2 := try((*offstagetest.Transaction).Commit)
				if _, err := try((*offstagetest.Transaction).Rollback); !errors.Is(err, offstage.ErrStepTwice) {
					t.Errorf("a second time after the commit: %v", err)
				}
				return errors.Join(err, err2, fmt.Errorf("now it is %d", v))
			}
			v, err := try((*offstagetest.Transaction).Commit)
			if v != 3 {
				t.Errorf("the third attempt got %d", v)
			}
			return err
		})
		if n != 3 || got.State != offstage.Completed || len(got.Steps) != 1 {
			t.Errorf("done %d times, %s, steps %+v", n, got.State, got.Steps)
		}
	})
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		var firsts []bool
		steps(t, store, func(ctx context.Context, job *offstage.Job[task]) error {
			tx := store.Begin()
			first, err := offstage.Once(ctx, offstagetest.Tx(tx), "welcome 7")
			firsts = append(firsts, first)
			if job.Run == 1 {
				return errors.Join(err, tx.Rollback(), errors.New("again"))
			}
			if err := errors.Join(err, tx.Commit()); err != nil || job.Run == 3 {
				return err
			}
			return errors.New("again")
		})
		if !slices.Equal(firsts, []bool{true, true, false}) {
			t.Errorf("first: %v", firsts)
		}
		tx := store.Begin()
		if first, err := offstage.NewClient(store).In(offstagetest.Tx(tx)).Once(t.Context(), "welcome 7"); first || err != nil {
			t.Errorf("outside: %v, %v", first, err)
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := map[string]int{}
		note := func(ctx context.Context, parts ...string) {
			key := offstage.IdempotencyKey(ctx, parts...)
			if len(key) != 36 || key[14] != '8' {
				t.Errorf("%q is not a UUID of version 8", key)
			}
			keys[key]++
		}
		handler := func(ctx context.Context, job *offstage.Job[task]) error {
			note(ctx)
			note(ctx, "a", "b")
			note(ctx, "ab")
			for _, name := range []string{"charge", "mail"} {
				_, err := offstage.Step(ctx, name, func(ctx context.Context) (int, error) { note(ctx); return 0, errors.New("no") })
				_ = err // each attempt goes through both
			}
			if job.Run < 3 {
				return errors.New("again")
			}
			return nil
		}
		store := offstagetest.NewStore()
		steps(t, store, handler)
		steps(t, store, handler)
		if len(keys) != 10 {
			t.Errorf("%d keys for two jobs; want 5 for each", len(keys))
		}
		for key, n := range keys {
			if n != 3 {
				t.Errorf("key %s was given %d times in 3 attempts", key, n)
			}
		}
	})
}

func TestCursorGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		var done []int
		got := steps(t, saves{store}, func(ctx context.Context, job *offstage.Job[task]) error {
			cursor, err := offstage.OpenCursor[int](ctx, "rows", offstage.SaveEvery(0, 10))
			if err != nil {
				return err
			}
			last, _ := cursor.Value()
			for i := last + 1; i <= 100; i++ {
				tick(50 * time.Millisecond)
				done = append(done, i)
				if i == 35 && job.Run == 1 {
					return errors.New("the middle of it")
				}
				if err := cursor.Set(ctx, i); err != nil {
					return err
				}
			}
			return cursor.Save(ctx)
		})
		if got.State != offstage.Completed || got.Run != 2 || len(done) != 105 || done[35] != 31 {
			t.Errorf("%s in run %d, %d items done, the second attempt began with %d", got.State, got.Run, len(done), done[35])
		}
		if n := store.count("Remember"); n != 10 {
			t.Errorf("%d saves for 105 items, 10 at most between two of them", n)
		}
		if string(got.Steps[0].Value) != "100" || got.Steps[0].Kind != offstage.StepCursor {
			t.Errorf("the cursor is %+v", got.Steps[0])
		}
	})
}

// saves is a tap that counts what is remembered.
type saves struct{ *tap }

func (s saves) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	if err := s.note(ctx, "Remember", step); err != nil {
		return err
	}
	return s.Store.Remember(ctx, hold, step, raise)
}

// A loop that heeds Interrupted ends at once when the worker stops, costs no
// attempt, and goes on where it was.
func TestInterruptedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		var ends []int
		loop := func(ctx context.Context, job *offstage.Job[task]) error {
			cursor, err := offstage.OpenCursor[int](ctx, "rows")
			if err != nil {
				return err
			}
			for i, _ := cursor.Value(); i < 1000; {
				tick(10 * time.Millisecond)
				i++
				if err := cursor.Set(ctx, i); err != nil {
					ends = append(ends, i)
					return err
				}
			}
			return nil
		}
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, loop)
		id := r.enqueue(task{})
		r.run()
		r.await(id, offstage.Running)
		tick(5 * time.Second)
		begun := time.Now()
		r.endWell()
		if took := time.Since(begun); took > 20*time.Millisecond {
			t.Errorf("the stop took %v", took)
		}
		got := r.get(id)
		if got.State != offstage.Ready || got.Errors != 0 || got.Attempts[0].Outcome != offstage.OutcomeInterrupted {
			t.Errorf("%s, %d errors, outcome %s", got.State, got.Errors, got.Attempts[0].Outcome)
		}
		var saved int
		if err := json.Unmarshal(got.Steps[0].Value, &saved); err != nil || len(ends) != 1 || saved != ends[0] {
			t.Errorf("saved %d, %v; the loop ended at %v", saved, err, ends)
		}
		r = newRig(t, store, worker.Config{})
		worker.Handle(r.worker, loop)
		r.run()
		r.await(id, offstage.Completed)
		r.endWell()
	})
}

// A cancelled or timed out loop gets the cause.
func TestInterruptedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		causes := make(chan error, 2)
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			for {
				tick(100 * time.Millisecond)
				if err := offstage.Interrupted(ctx); err != nil {
					causes <- err
					return err
				}
			}
		})
		r.run()
		id := r.enqueue(task{}, offstage.Timeout(time.Second), offstage.MaxAttempts(1))
		if got := r.await(id, offstage.Failed); got.Outcome != offstage.OutcomeTimedOut || !errors.Is(<-causes, offstage.ErrTimeout) {
			t.Errorf("outcome %s", got.Outcome)
		}
		id = r.enqueue(task{})
		r.await(id, offstage.Running)
		if _, err := r.client.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		r.await(id, offstage.Cancelled)
		if err := <-causes; !errors.Is(err, offstage.ErrCancelled) {
			t.Errorf("the cause is %v", err)
		}
		r.endWell()
	})
}
