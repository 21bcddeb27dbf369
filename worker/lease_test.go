package worker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// hold registers a handler that runs until its context ends, and returns where
// the causes come out.
func hold(r *rig) <-chan error {
	causes := make(chan error, 1000)
	worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	return causes
}

// awaitCause lets time pass until a handler's context ends, and returns the cause.
func (r *rig) awaitCause(causes <-chan error) error {
	r.Helper()
	select {
	case cause := <-causes:
		return cause
	case <-time.After(time.Hour):
		r.Fatal("no context ended")
		return nil
	}
}

// failAll makes every call of a store fail but those of the client.
func failAll(err error) func(context.Context, string, any) error {
	return func(context.Context, string, any) error { return err }
}

func TestSilenceCancelsBeforeTheLeaseEnds(t *testing.T) {
	for _, lease := range []time.Duration{5 * time.Second, time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			store := newTap()
			r := newRig(t, store, worker.Config{Lease: lease})
			causes := hold(r)
			id := r.enqueue(task{})
			r.run()
			r.await(id, offstage.Running)
			tick(2*time.Second + time.Millisecond)
			began := time.Now()
			store.before(failAll(lost))
			cause := r.awaitCause(causes)
			if !errors.Is(cause, offstage.ErrLeaseLost) {
				t.Errorf("cause %v", cause)
			}
			margin := min(time.Second, lease/5)
			if took := time.Since(began); took > lease-margin || took < lease-margin-lease/5-time.Second/2 {
				t.Errorf("lease %v: cancelled after %v of silence; want at most %v", lease, took, lease-margin)
			}
			store.before(nil)
			if got := r.awaitRun(id, 2, offstage.Running); got.Attempts[0].Outcome != offstage.OutcomeInterrupted || got.Errors != 0 {
				t.Errorf("the attempt was recorded as %v, %d errors", got.Attempts[0].Outcome, got.Errors)
			}
			r.endWell()
		})
	}
}

func TestALeaseCountsFromTheSendingOfABeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		causes := hold(r)
		r.run()
		r.await(r.enqueue(task{}), offstage.Running)
		const slow = 800 * time.Millisecond
		var answered time.Time // the last beat
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "Beat" {
				tick(slow)
				answered = time.Now()
			}
			return nil
		})
		tick(5 * time.Second)
		store.before(failAll(lost))
		r.awaitCause(causes)
		// Its peers have seen the counter stand still since it was sent.
		if most := worker.DefaultLease - time.Second - slow; time.Since(answered) > most {
			t.Errorf("cancelled %v after the last answer; want at most %v", time.Since(answered), most)
		}
		store.before(nil)
		r.endWell()
	})
}

func TestAServerThatIsDownCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		done := make(chan struct{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Args.N == 1 {
				<-done
			}
			return ctx.Err()
		})
		r.run()
		long := r.enqueue(task{1})
		r.await(long, offstage.Running)
		var order journal
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "Beat" && order.all() == nil { // the connection breaks, then nobody listens
				order.add("broken")
				return lost
			}
			return down
		})
		tick(20 * time.Second)
		next := r.enqueue(task{2})
		close(done)
		tick(2 * time.Second)
		claims := store.count("Claim")
		tick(8 * time.Second)
		if n := store.count("Claim") - claims; n > 0 {
			t.Errorf("%d claims were tried while results wait", n)
		}
		store.before(func(_ context.Context, call string, in any) error {
			if call == "Finish" || call == "Claim" {
				order.add(call)
			}
			return nil
		})
		got := r.await(long, offstage.Completed)
		if got.Run != 1 {
			t.Errorf("it took %d runs", got.Run)
		}
		r.await(next, offstage.Completed)
		if calls := order.all(); calls[1] != "Finish" {
			t.Errorf("on return the worker called %v; want the finished results first", calls[1:])
		}
		r.endWell()
	})
}

func TestOneThatWasTakenForDeadBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		worker := r.await(id, offstage.Running).Worker
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: worker, Dead: true}, 100); err != nil {
			t.Fatal(err)
		}
		if cause := r.awaitCause(causes); !errors.Is(cause, offstage.ErrLeaseLost) {
			t.Errorf("cause %v", cause)
		}
		again := r.awaitRun(id, 2, offstage.Running)
		if again.Worker == worker || again.Run != 2 || again.Lost != 1 {
			t.Errorf("runs under worker %d (was %d), run %d, lost %d", again.Worker, worker, again.Run, again.Lost)
		}
		if again.Attempts[0].Outcome != offstage.OutcomeLost {
			t.Errorf("the first attempt is %v: the late result counted", again.Attempts[0].Outcome)
		}
		r.endWell()
	})
}

func TestNothingStartsOnAnInvalidLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		// A claim is answered just after the machine was suspended for an hour:
		// monotonic time has hardly moved.
		var jump atomic.Int64
		r.worker.SetWall(func() time.Duration { return time.Duration(jump.Load()) })
		var order journal
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { order.add("start"); return nil })
		r.run()
		tick(500 * time.Millisecond)
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "Claim" {
				jump.Store(int64(time.Hour))
			}
			if call == "Beat" {
				order.add("beat")
			}
			return nil
		})
		r.await(r.enqueue(task{}), offstage.Completed)
		if got := order.all(); got[0] != "beat" || got[1] != "start" {
			t.Errorf("the order was %v; want a beat before the start", got)
		}
		r.endWell()
	})
}

func TestAClockThatIsSetCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		var jump atomic.Int64
		r.worker.SetWall(func() time.Duration { return time.Duration(jump.Load()) })
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		r.await(id, offstage.Running)
		jump.Store(int64(time.Hour))
		tick(time.Minute)
		select {
		case cause := <-causes:
			t.Errorf("the job was cancelled: %v", cause)
		default:
		}
		r.endWell()
	})
}

func TestShortLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Lease: worker.MinLease})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { tick(time.Minute); return ctx.Err() })
		id := r.enqueue(task{})
		r.run()
		if got := r.await(id, offstage.Completed); got.Run != 1 {
			t.Errorf("took %d runs", got.Run)
		}
		r.endWell()
	})
}

// What waited for a valid lease is claimed as soon as a heartbeat has renewed it.
func TestARenewedLeaseIsUsedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		tick(10*time.Second + 300*time.Millisecond)
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "Beat" {
				return lost
			}
			return nil
		})
		tick(worker.DefaultLease)
		id := r.enqueue(task{})
		tick(worker.DefaultLease)
		if state := r.get(id).State; state != offstage.Ready {
			t.Fatalf("the job is %v though the lease is over", state)
		}
		store.before(nil)
		asked := time.Now()
		r.await(id, offstage.Completed)
		if took := time.Since(asked); took > time.Second {
			t.Errorf("the job ended %v after heartbeats succeeded again", took)
		}
		r.endWell()
	})
}
