package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// refusing makes a Finish answer bad data while a result of it holds what is bad.
func refusing(bad func(offstage.Result) bool) func(context.Context, string, any) error {
	return func(_ context.Context, call string, in any) error {
		request, ok := in.(offstage.FinishRequest)
		if !ok {
			return nil
		}
		for _, result := range request.Results {
			if bad(result) {
				return &offstage.StoreError{Class: offstage.FaultData, Op: "finish", Err: errors.New("no such text \x00\xff")}
			}
		}
		return nil
	}
}

func TestBadDataIsFoundAndItsNeighboursAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		refuse := refusing(func(result offstage.Result) bool { return string(result.Value) == "13" })
		store.before(func(ctx context.Context, call string, in any) error {
			if call == "Finish" {
				tick(10 * time.Millisecond) // in which others gather
			}
			return refuse(ctx, call, in)
		})
		r := newRig(t, store, worker.Config{})
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (int, error) {
			offstage.Logger(ctx).Info("hello")
			return job.Args.N, nil
		}, worker.Retry(offstage.RetryPolicy{MaxAttempts: 1}))
		var ids []offstage.ID
		for n := range 50 {
			ids = append(ids, r.enqueue(task{n}))
		}
		r.run()
		for n, id := range ids {
			want := offstage.Completed
			if n == 13 {
				want = offstage.Failed
			}
			got := r.await(id, want)
			if n == 13 && (!strings.Contains(got.Error, "could not be stored: offstage: finish: no such text") || got.Attempts[0].Log != nil || got.Result != nil) {
				t.Errorf("the culprit was recorded as %q, log %s, result %s", got.Error, got.Attempts[0].Log, got.Result)
			}
		}
		r.endWell()
	})
}

func TestABadTextOfAFailureKeepsItsOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		store.before(refusing(func(result offstage.Result) bool { return result.Error == "bad" }))
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { return offstage.Cancel(errors.New("bad")) })
		r.run()
		if got := r.await(r.enqueue(task{}), offstage.Cancelled); !strings.Contains(got.Error, "could not be stored") {
			t.Errorf("recorded as %q", got.Error)
		}
		r.endWell()
	})
}

func TestWhatCannotBeStoredAtAllHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		var log lines
		r := newRig(t, store, worker.Config{Logger: log.logger()})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { return nil })
		bad := r.enqueue(task{1})
		store.before(refusing(func(result offstage.Result) bool { return result.Job == bad }))
		good := r.enqueue(task{2})
		r.run()
		r.await(good, offstage.Completed)
		if log.count("cannot be stored in any form") != 1 {
			t.Error("the log says nothing of it")
		}
		r.endWell()
	})
}

func TestAResultIsRecordedOnceThoughTheAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := faultstore.Wrap(offstagetest.NewStore())
		var seen journal
		r := newRig(t, store, worker.Config{OnChange: func(_ context.Context, e worker.Event) { seen.add(e.To.String()) }})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { return nil })
		store.Break(faultstore.Fault{Method: "Finish", Mode: faultstore.After, Count: 3})
		id := r.enqueue(task{})
		r.run()
		if got := r.await(id, offstage.Completed); len(got.Attempts) != 1 {
			t.Errorf("%d attempts", len(got.Attempts))
		}
		tick(time.Second)
		if got := strings.Join(seen.all(), " "); got != "running completed" {
			t.Errorf("events: %s", got)
		}
		r.endWell()
	})
}

func TestFinishedResultsComeBeforeNewClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { return nil })
		r.run()
		tick(time.Second)
		var failing atomic.Bool
		var early atomic.Int64
		store.before(func(_ context.Context, call string, _ any) error {
			switch {
			case call == "Finish":
				failing.Store(true)
				return &offstage.StoreError{Class: offstage.FaultBusy, Op: call, Err: errors.New("busy")}
			case call == "Claim" && failing.Load():
				early.Add(1)
			}
			return nil
		})
		first := r.enqueue(task{})
		tick(time.Second)
		second := r.enqueue(task{})
		tick(10 * time.Second)
		// A look that was under way when the first write failed is no harm.
		if n := early.Load(); n > 1 {
			t.Errorf("%d claims while finished results could not be recorded", n)
		}
		store.before(nil)
		r.await(first, offstage.Completed)
		r.await(second, offstage.Completed)
		r.endWell()
	})
}

func TestFetchingWaitsWhenResultsPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 10}}})
		var ran journal
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { ran.add(""); return nil })
		var last offstage.ID
		for range 1000 {
			last = r.enqueue(task{})
		}
		store.before(func(ctx context.Context, call string, _ any) error {
			if call == "Finish" {
				<-ctx.Done() // the store takes results in no more, though it hands jobs out
				return ctx.Err()
			}
			return nil
		})
		r.run()
		tick(3 * time.Minute)
		if n := len(ran.all()); n > 30 {
			t.Errorf("%d jobs ran though no result was recorded; want at most three times the slots", n)
		}
		store.before(nil)
		r.await(last, offstage.Completed)
		r.endWell()
	})
}

// TestCompletionsAndLongArgsOutliveFaults breaks what such jobs need in each way,
// for a while, in the midst of work: every job is completed once, and no claim
// is left.
func TestCompletionsAndLongArgsOutliveFaults(t *testing.T) {
	methods := []string{"LoadArgs", "Ended", "Finish", "Claim", ""}
	classes := []offstage.FaultClass{offstage.FaultUnknown, offstage.FaultDown, offstage.FaultBusy}
	for _, method := range methods {
		for _, class := range classes {
			for _, mode := range []faultstore.Mode{faultstore.Before, faultstore.After, faultstore.Slow} {
				if mode != faultstore.Before && class != offstage.FaultUnknown {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", method, mode, class), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						failFor(t, faultstore.Fault{Method: method, Mode: mode, Class: class, Delay: 7 * time.Second})
					})
				})
			}
		}
	}
}

func failFor(t *testing.T, fault faultstore.Fault) {
	inner := offstagetest.NewStore()
	store := faultstore.Wrap(inner)
	r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 5}}})
	r.client = offstage.NewClient(inner)
	long := strings.Repeat("x", 10_000)
	worker.HandleNamed(r.worker, "text", func(ctx context.Context, job *offstage.Job[string]) error {
		offstage.Progress(ctx, 1, 2, "half")
		tick(300 * time.Millisecond)
		if job.Run%2 == 1 {
			return offstage.RetryAfter(100 * time.Millisecond)
		}
		tx := inner.Begin()
		if err := job.Complete(ctx, offstagetest.Tx(tx)); err != nil {
			return err
		}
		return tx.Commit()
	})
	var ids []offstage.ID
	for range 20 {
		ids = append(ids, r.enqueue(offstage.Named("text", long)))
	}
	r.run()
	tick(500 * time.Millisecond)
	store.Break(fault)
	tick(12 * time.Second)
	struck := store.Heal()
	for _, id := range ids {
		got := r.await(id, offstage.Completed)
		for i, attempt := range got.Attempts {
			if attempt.Outcome == offstage.OutcomeCompleted && i+1 < len(got.Attempts) {
				t.Errorf("job %d ran after it had completed: %+v", id, got.Attempts)
			}
		}
	}
	tick(5 * time.Second) // the last claims are released after their jobs' end
	workers, err := r.client.Stats(t.Context())
	if err != nil || len(workers.Workers) != 1 {
		t.Errorf("workers %+v, %v; want this one", workers.Workers, err)
	}
	claims, err := inner.Claims(t.Context(), workers.Workers[0].ID)
	if err != nil || len(claims) != 0 {
		t.Errorf("claims left: %+v, %v", claims, err)
	}
	r.endWell()
	if struck == 0 {
		t.Error("the fault never struck")
	}
}
