package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestJobsRunAndAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (int, error) {
			if job.Args.N < 0 && job.Run == 1 {
				return 0, errors.New("negative")
			}
			return 2 * job.Args.N, nil
		})
		r.run()
		good, bad := r.enqueue(task{21}), r.enqueue(task{-1})
		if got := r.await(good, offstage.Completed); string(got.Result) != "42" || got.Run != 1 {
			t.Errorf("result %s in run %d; want 42 in run 1", got.Result, got.Run)
		}
		failed := r.await(bad, offstage.Retrying)
		if failed.Error != "negative" || failed.Errors != 1 {
			t.Errorf("error %q, %d errors", failed.Error, failed.Errors)
		}
		if got := r.await(bad, offstage.Completed); got.Run != 2 {
			t.Errorf("completed in run %d; want 2", got.Run)
		}
		r.endWell()
		stats, err := r.client.Stats(context.Background())
		if err != nil || len(stats.Workers) != 0 {
			t.Errorf("workers left: %v, %v", stats.Workers, err)
		}
	})
}

// vicious is an error whose own methods panic.
type vicious struct{}

func (*vicious) Error() string { panic("no text") }

func TestHowHandlersEnd(t *testing.T) {
	big := strings.Repeat("x", offstage.MaxResult)
	cases := []struct {
		name    string
		handler func(ctx context.Context, job *offstage.Job[task]) (any, error)
		state   offstage.State
		outcome offstage.Outcome
		says    string
		trace   string
	}{
		{"panic", func(context.Context, *offstage.Job[task]) (any, error) { panic("ouch") },
			offstage.Retrying, offstage.OutcomeErrored, "panic: ouch", "execute_test.go"},
		{"panic with an error", func(context.Context, *offstage.Job[task]) (any, error) { panic(errors.New("deep")) },
			offstage.Retrying, offstage.OutcomeErrored, "panic: deep", "execute_test.go"},
		{"Goexit", func(context.Context, *offstage.Job[task]) (any, error) { runtime.Goexit(); return nil, nil },
			offstage.Retrying, offstage.OutcomeErrored, "Goexit", ""},
		{"an error that panics", func(context.Context, *offstage.Job[task]) (any, error) { return nil, (*vicious)(nil) },
			offstage.Retrying, offstage.OutcomeErrored, "no text", ""},
		{"Fail", func(context.Context, *offstage.Job[task]) (any, error) { return nil, offstage.Fail(errors.New("no")) },
			offstage.Failed, offstage.OutcomeErrored, "no", ""},
		{"Cancel", func(context.Context, *offstage.Job[task]) (any, error) {
			return nil, offstage.Cancel(errors.New("void"))
		},
			offstage.Cancelled, offstage.OutcomeCancelled, "void", ""},
		{"Snooze", func(context.Context, *offstage.Job[task]) (any, error) { return nil, offstage.Snooze(time.Hour) },
			offstage.Scheduled, offstage.OutcomeSnoozed, "1h", ""},
		{"a result too long", func(context.Context, *offstage.Job[task]) (any, error) { return big, nil },
			offstage.Failed, offstage.OutcomeErrored, "1048578 bytes of JSON are more than the limit of 1048576", ""},
		{"a result that is no JSON", func(context.Context, *offstage.Job[task]) (any, error) { return make(chan int), nil },
			offstage.Failed, offstage.OutcomeErrored, "chan int", ""},
		{"a raw result of bad text", func(context.Context, *offstage.Job[task]) (any, error) { return json.RawMessage("\"\xff\""), nil },
			offstage.Failed, offstage.OutcomeErrored, "not valid JSON", ""},
		{"timeout", func(ctx context.Context, _ *offstage.Job[task]) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
			offstage.Retrying, offstage.OutcomeTimedOut, "deadline", ""},
		{"late but good", func(ctx context.Context, _ *offstage.Job[task]) (any, error) { <-ctx.Done(); return 1, nil },
			offstage.Completed, offstage.OutcomeCompleted, "", ""},
		{"bad text", func(context.Context, *offstage.Job[task]) (any, error) { return nil, errors.New("a\x00b\xff") },
			offstage.Retrying, offstage.OutcomeErrored, "a\uFFFDb\uFFFD", ""},
		{"long text", func(context.Context, *offstage.Job[task]) (any, error) { return nil, errors.New(big) },
			offstage.Retrying, offstage.OutcomeErrored, "xxx…", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, offstagetest.NewStore(), worker.Config{})
				worker.HandleResult(r.worker, c.handler, worker.Timeout(time.Minute))
				other := make(chan offstage.ID, 1)
				worker.HandleNamed(r.worker, "other", func(_ context.Context, job *offstage.Job[int]) error { other <- job.ID; return nil })
				id, neighbour := r.enqueue(task{}), r.enqueue(offstage.Named("other", 1))
				r.run()
				got := r.await(id, c.state)
				last := got.Attempts[0]
				if last.Outcome != c.outcome || !strings.Contains(last.Error, c.says) || !strings.Contains(last.Trace, c.trace) {
					t.Errorf("got %v %.200q trace %.50q; want %v, saying %q", last.Outcome, last.Error, last.Trace, c.outcome, c.says)
				}
				if len(last.Error) > worker.MaxText {
					t.Errorf("the error has %d bytes", len(last.Error))
				}
				if got := <-other; got != neighbour {
					t.Error("the neighbour did not run")
				}
				r.endWell()
			})
		})
	}
}

func TestTimeoutOfTheJobComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		left := make(chan time.Duration, 1)
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nil
		}, worker.Timeout(time.Hour))
		r.run()
		r.await(r.enqueue(task{}, offstage.Timeout(time.Second)), offstage.Completed)
		if got := <-left; got != time.Second {
			t.Errorf("the handler had %v; want the job's own second", got)
		}
		r.endWell()
	})
}

func TestWhatMustNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		unknown := r.enqueue(offstage.Named("nobody", 1))
		if got := r.await(unknown, offstage.Blocked); got.Waits != offstage.WaitsKindUnknown || !got.Attempts[0].StartedAt.IsZero() || got.Errors != 0 {
			t.Errorf("unknown kind: waits for %q, started %v, errors %d", got.Waits, got.Attempts[0].StartedAt, got.Errors)
		}
		if err := r.client.PauseKind(t.Context(), "task"); err != nil {
			t.Fatal(err)
		}
		paused := r.enqueue(task{})
		if got := r.await(paused, offstage.Blocked); got.Waits != offstage.WaitsKindPaused {
			t.Errorf("paused kind: waits for %q", got.Waits)
		}
		if err := r.client.ResumeKind(t.Context(), "task"); err != nil {
			t.Fatal(err)
		}
		r.await(paused, offstage.Completed)
		r.endWell()

		later := newRig(t, store, worker.Config{})
		worker.HandleNamed(later.worker, "nobody", func(context.Context, *offstage.Job[int]) error { return nil })
		later.run()
		later.await(unknown, offstage.Completed)
		later.endWell()
	})
}

func TestArgsThatDoNotDecode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		got := r.await(r.enqueue(offstage.Named("task", "text")), offstage.Retrying)
		for _, part := range []string{`"task"`, "worker_test.task", "string"} {
			if !strings.Contains(got.Error, part) {
				t.Errorf("error %q does not name %s", got.Error, part)
			}
		}
		r.endWell()
	})
}

func TestLongArgsAreLoadedAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		text := strings.Repeat("long", 5000)
		worker.HandleNamed(r.worker, "long", func(_ context.Context, job *offstage.Job[string]) error {
			if job.Args != text || len(job.Facts.Args) != len(text)+2 {
				return errors.New("not what was enqueued")
			}
			return nil
		})
		r.run()
		r.await(r.enqueue(offstage.Named("long", text)), offstage.Completed)
		r.endWell()
	})
}

func TestCancelReachesARunningJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, struct{ offstage.Store }{store}, worker.Config{}) // nothing wakes it
		causes := make(chan error, 1)
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		})
		r.run()
		id := r.enqueue(task{})
		r.await(id, offstage.Running)
		asked := time.Now()
		if state, err := r.client.Cancel(t.Context(), id); err != nil || state != offstage.Running {
			t.Fatalf("cancel answered %v, %v", state, err)
		}
		if cause := <-causes; !errors.Is(cause, offstage.ErrCancelled) {
			t.Errorf("cause %v", cause)
		}
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("the cancel took %v", took)
		}
		r.await(id, offstage.Cancelled)
		r.endWell()
	})
}

func TestMiddlewareAndCarriedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		layer := func(name string) worker.Middleware {
			return func(next worker.HandlerFunc) worker.HandlerFunc {
				return func(ctx context.Context, job *offstage.Job[json.RawMessage]) (json.RawMessage, error) {
					seen.add(name + " " + string(job.Args))
					job.Args = json.RawMessage(`{"n":7}`)
					result, err := next(ctx, job)
					seen.add(name + " got " + string(result))
					return result, err
				}
			}
		}
		r := newRig(t, offstagetest.NewStore(), worker.Config{Middleware: []worker.Middleware{layer("outer"), layer("inner")}})
		worker.HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (string, error) {
			if job.Args.N != 7 {
				return "", errors.New("the middleware's arguments were lost")
			}
			return offstage.Carried(ctx, "tenant"), nil
		})
		r.run()
		receipt, err := r.client.Enqueue(offstage.Carry(t.Context(), "tenant", "acme"), task{1})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.await(receipt.ID, offstage.Completed); string(got.Result) != `"acme"` {
			t.Errorf("result %s; want the carried tenant", got.Result)
		}
		want := `outer {"n":1}, inner {"n":7}, inner got "acme", outer got "acme"`
		if got := strings.Join(seen.all(), ", "); got != want {
			t.Errorf("middleware saw %s; want %s", got, want)
		}
		r.endWell()
	})
}

// silent is a store that never knocks, as PostgreSQL does when a job completes.
type silent struct{ *offstagetest.Store }

func (silent) Watch(ctx context.Context, ready func(), _ func(offstage.News)) error {
	ready()
	<-ctx.Done()
	return nil
}

func TestSuspectsRunOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := silent{offstagetest.NewStore()}
		r := newRig(t, store, worker.Config{Lease: 10 * time.Second})
		for range 3 {
			r.enqueue(task{1})
		}
		for range offstage.MaxLost - 1 { // workers that die with all three
			die(t, store)
		}
		var seen journal
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			if job.Args.N == 1 {
				seen.add("begin")
				tick(800 * time.Millisecond) // shorter than a suspect is kept apart
				seen.add("end")
			} else {
				seen.add("other")
			}
			return nil
		})
		r.enqueue(task{2})
		r.run()
		tick(time.Second / 2)
		if got := strings.TrimPrefix(strings.Join(seen.all(), " "), "other "); got != "begin" {
			t.Errorf("after half a second: %s; want one suspect, and nothing beside it", got)
		}
		tick(2 * time.Second) // each of the three at once after the one before
		got := strings.Join(seen.all(), " ")
		if strings.Contains(got, "begin other") || !strings.Contains(got, "other") || strings.ReplaceAll(got, "other ", "") != "begin end begin end begin end" {
			t.Errorf("suspects and the other job ran as %s", got)
		}
		r.endWell()
	})
}

func TestSuspectsAreLeftToOtherWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		var rigs []*rig
		var mu sync.Mutex
		running := map[int]int{}
		for i := range 3 {
			r := newRig(t, store, worker.Config{})
			worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
				mu.Lock()
				running[i]++
				mu.Unlock()
				tick(time.Minute)
				return nil
			})
			rigs = append(rigs, r)
		}
		var ids []offstage.ID
		for range 4 {
			ids = append(ids, rigs[0].enqueue(task{}))
		}
		for range offstage.SuspectLost {
			die(t, store)
		}
		for _, r := range rigs {
			r.run()
		}
		tick(2 * time.Second)
		mu.Lock()
		if len(running) != 3 {
			t.Errorf("after two seconds suspects run in %v; want one in each worker", running)
		}
		mu.Unlock()
		claims := store.count("Claim")
		tick(30 * time.Second)
		if n := store.count("Claim") - claims; n > 100 {
			t.Errorf("%d claims while every worker had a suspect", n)
		}
		for _, id := range ids {
			rigs[0].await(id, offstage.Completed)
		}
		for _, r := range rigs {
			r.endWell()
		}
	})
}

func TestSuspectsThatWaitForTheirTurnAreNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := faultstore.Wrap(offstagetest.NewStore())
		r := newRig(t, store, worker.Config{})
		ids := []offstage.ID{r.enqueue(task{}), r.enqueue(task{}), r.enqueue(task{})}
		for range offstage.SuspectLost {
			die(t, store)
		}
		store.Break(faultstore.Fault{Method: "Suspect", Mode: faultstore.Before, Count: 2})
		started := make(chan offstage.ID, len(ids))
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			started <- job.ID
			<-ctx.Done()
			return ctx.Err()
		})
		r.run()
		blamed := <-started
		held := r.get(blamed).Worker
		if n := store.Heal(); n != 2 {
			t.Errorf("the suspect started though it was not named: %d faults struck of 2", n)
		}
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: held, Dead: true}, 100); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			got := r.get(id)
			if failed := got.State == offstage.Failed; failed != (id == blamed) {
				t.Errorf("job %d is %s; %d alone was running when its worker died", id, got.State, blamed)
			}
		}
		r.endWell()
	})
}

// die is the life of a worker that claims everything, is never heard of again,
// and is rescued.
func die(t *testing.T, store offstage.Store) {
	t.Helper()
	id, err := store.Register(t.Context(), offstage.WorkerInfo{Name: "dies"})
	if err != nil {
		t.Fatal(err)
	}
	pools := []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: 1000}}
	if _, err := store.Claim(t.Context(), offstage.ClaimRequest{Worker: id, Seq: 1, Pools: pools}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: id, Dead: true}, 1000); err != nil {
		t.Fatal(err)
	}
}
