package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestStopGivesGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 2}}})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			select {
			case <-time.After(time.Duration(job.Args.N) * time.Second):
				return nil
			case <-ctx.Done():
				return fmt.Errorf("stopped: %w", context.Cause(ctx))
			}
		})
		short, long, waiting := r.enqueue(task{10}), r.enqueue(task{1000}), r.enqueue(task{1})
		r.run()
		r.await(long, offstage.Running)
		began := time.Now()
		r.endWell()
		if took := time.Since(began); took != worker.DefaultGrace {
			t.Errorf("Run took %v to return; want the grace period of %v", took, worker.DefaultGrace)
		}
		if got := r.get(short); got.State != offstage.Completed {
			t.Errorf("the short job is %v", got.State)
		}
		got := r.get(long)
		if got.State != offstage.Ready || got.Errors != 0 || got.Attempts[0].Outcome != offstage.OutcomeInterrupted {
			t.Errorf("the long job is %v, %d errors, outcome %v; want it handed back", got.State, got.Errors, got.Attempts[0].Outcome)
		}
		if got := r.get(waiting); got.State != offstage.Ready || got.Run != 0 {
			t.Errorf("the waiting job is %v, run %d: fetched after the stop", got.State, got.Run)
		}
		stats, err := r.client.Stats(t.Context())
		if err != nil || len(stats.Workers) != 0 {
			t.Errorf("workers left: %+v, %v", stats.Workers, err)
		}
	})
}

func TestStopNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		r.await(id, offstage.Running)
		began := time.Now()
		r.worker.Stop(false)
		tick(3 * time.Second)
		r.worker.Stop(true)
		r.worker.Stop(true)
		if cause := <-causes; !errors.Is(cause, offstage.ErrShutdown) {
			t.Errorf("cause %v", cause)
		}
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		r.stop()
	})
}

func TestStopNowThoughAClaimHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		store.before(func(ctx context.Context, call string, _ any) error {
			if call == "Claim" {
				<-ctx.Done()
				return errors.Join(lost, ctx.Err())
			}
			return nil
		})
		r := newRig(t, store, worker.Config{})
		r.run()
		tick(100 * time.Millisecond)
		began := time.Now()
		r.worker.Stop(true)
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > worker.StopTime {
			t.Errorf("Run took %v to return", took)
		}
		r.stop()
	})
}

func TestWithoutGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Grace: -1})
		hold(r)
		id := r.enqueue(task{})
		r.run()
		r.await(id, offstage.Running)
		began := time.Now()
		r.endWell()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestADeafHandlerIsNamedAndItsJobHandedBackLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		wake := make(chan struct{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Args.N == 1 {
				<-wake
			}
			return nil
		})
		deaf := r.enqueue(task{1})
		r.run()
		r.await(deaf, offstage.Running)
		var calls journal
		store.before(func(_ context.Context, call string, in any) error {
			calls.add(call)
			return nil
		})
		began := time.Now()
		err := r.end()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("task (job %d)", deaf)) {
			t.Errorf("Run returned %v; want the handler's kind and job", err)
		}
		if took := time.Since(began); took != worker.DefaultGrace+time.Second {
			t.Errorf("Run took %v; want a second more than the grace period", took)
		}
		if got := r.get(deaf); got.State != offstage.Ready || got.Errors != 0 || got.Attempts[0].Outcome != offstage.OutcomeInterrupted {
			t.Errorf("the job is %v, %d errors", got.State, got.Errors)
		}
		all := calls.all()
		if n := len(all); n < 2 || all[n-2] != "Finish" || all[n-1] != "Unregister" {
			t.Errorf("the last calls were %v; want Finish, Unregister", all[max(len(all)-4, 0):])
		}
		close(wake)
		synctest.Wait()
		if got := r.get(deaf); got.State != offstage.Ready {
			t.Errorf("what the handler returned later counted: %v", got.State)
		}
	})
}

func TestADeafHandlerIsReportedAndKeepsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		r := newRig(t, offstagetest.NewStore(), worker.Config{Logger: log.logger(), Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 1}}})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { tick(time.Minute); return nil }, worker.Timeout(time.Second))
		first, second := r.enqueue(task{}), r.enqueue(task{})
		r.run()
		r.await(first, offstage.Running)
		tick(50 * time.Second)
		if n := log.count("ignores"); n != 1 {
			t.Errorf("reported %d times", n)
		}
		if got := r.get(second); got.State != offstage.Ready {
			t.Errorf("the second job is %v: the slot was given away", got.State)
		}
		r.await(second, offstage.Completed)
		r.endWell()
	})
}

func TestClaimedButNotStartedIsHandedBackAtTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		naming := make(chan struct{})
		store.before(func(ctx context.Context, call string, _ any) error {
			if call != "Suspect" {
				return nil
			}
			close(naming)
			tick(2 * time.Second) // the store takes its time, and then the job may not start any more
			return nil
		})
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error {
			t.Error("a job was started after the stop")
			return nil
		})
		id := r.enqueue(task{})
		die(t, store)
		die(t, store) // it is a suspect: it does not start before its name is known
		r.run()
		<-naming
		r.endWell()
		got := r.get(id)
		if got.State != offstage.Ready || got.Lost != 2 || !got.Attempts[2].StartedAt.IsZero() {
			t.Errorf("it is %s with lost %d, started %v; want it handed back, and never started", got.State, got.Lost, got.Attempts[2].StartedAt)
		}
	})
}

func TestSuspectsBeyondTheFirstAreHandedBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		started := make(chan struct{}, 10)
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error {
			started <- struct{}{}
			tick(5 * time.Second)
			return nil
		})
		ids := []offstage.ID{r.enqueue(task{}), r.enqueue(task{}), r.enqueue(task{})}
		die(t, store)
		die(t, store) // all three are suspects: one at a time
		r.run()
		<-started
		r.stop()
		tick(time.Second)
		atOnce := 0
		for _, id := range ids {
			if r.get(id).State == offstage.Ready {
				atOnce++
			}
		}
		if atOnce != 2 {
			t.Errorf("%d were handed back at once; want 2", atOnce)
		}
		began := time.Now()
		r.endWell()
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("Run took %v more; want the 4s that the one which runs has left", took)
		}
		ready, completed := 0, 0
		for _, id := range ids {
			switch got := r.get(id); got.State {
			case offstage.Completed:
				completed++
			case offstage.Ready:
				ready++
				if got.Lost != 2 || !got.Attempts[2].StartedAt.IsZero() {
					t.Errorf("handed back with lost %d, started %v", got.Lost, got.Attempts[2].StartedAt)
				}
			}
		}
		if completed != 1 || ready != 2 {
			t.Errorf("%d completed, %d ready; want 1 and 2", completed, ready)
		}
	})
}

func TestStopWhileTheStoreIsAway(t *testing.T) {
	for name, answer := range map[string]error{"down": down, "silent": lost} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newTap()
				r := newRig(t, store, worker.Config{})
				worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { tick(3 * time.Second); return nil })
				id := r.enqueue(task{})
				r.run()
				r.await(id, offstage.Running)
				store.before(failAll(answer))
				began := time.Now()
				err := r.end()
				if err == nil || !strings.Contains(err.Error(), "1 results") {
					t.Errorf("Run returned %v; want that a result was not taken", err)
				}
				if took := time.Since(began); took > worker.DefaultGrace+2*time.Second {
					t.Errorf("Run took %v", took)
				}
			})
		})
	}
}

func TestAClosedStoreEndsTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r := newRig(t, store, worker.Config{})
		causes := hold(r)
		r.run()
		r.await(r.enqueue(task{}), offstage.Running)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-r.ended; !errors.Is(err, offstage.ErrClosed) {
			t.Errorf("Run returned %v", err)
		}
		if cause := <-causes; cause == nil {
			t.Error("the handler was not cancelled")
		}
		r.stop()
	})
}

func TestRunBeforeTheStoreIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		store.before(failAll(down))
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		id := r.enqueue(task{})
		tick(time.Minute)
		store.before(nil)
		r.await(id, offstage.Completed)
		r.endWell()

		store.before(failAll(lost))
		never := newRig(t, store, worker.Config{})
		never.run()
		tick(time.Second)
		never.endWell()
	})
}

func TestRunTwiceAndStopFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		r.worker.Stop(false)
		r.run()
		if err := <-r.ended; err != nil {
			t.Errorf("a worker that was stopped before returned %v", err)
		}
		if err := r.worker.Run(t.Context()); err == nil {
			t.Error("Run ran twice")
		}
		r.stop()
	})
}
