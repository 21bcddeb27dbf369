package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

// hold registers a handler that runs until its context ends, and returns where
// the causes come out.
func hold(r *rig) <-chan error {
	causes := make(chan error, 1000)
	Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	return causes
}

// failAll makes every call of a store fail but those of the client.
func failAll(err error) func(context.Context, string, any) error {
	return func(context.Context, string, any) error { return err }
}

func TestSilenceCancelsBeforeTheLeaseEnds(t *testing.T) {
	for _, lease := range []time.Duration{5 * time.Second, time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			store := newTap()
			r := newRig(t, store, Config{Lease: lease})
			causes := hold(r)
			id := r.enqueue(task{})
			r.run()
			r.await(id, offstage.Running)
			tick(2*time.Second + time.Millisecond)
			began := time.Now()
			store.before(failAll(lost))
			cause := <-causes
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

func TestAServerThatIsDownCancelsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, Config{})
		done := make(chan struct{})
		Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
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
		r := newRig(t, store, Config{})
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		worker := r.await(id, offstage.Running).Worker
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: worker, Dead: true}, 100); err != nil {
			t.Fatal(err)
		}
		if cause := <-causes; !errors.Is(cause, offstage.ErrLeaseLost) {
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
		r := newRig(t, store, Config{})
		// A claim is answered just after the machine was suspended for an hour:
		// monotonic time has hardly moved.
		var jump time.Duration
		suspended := make(chan struct{})
		r.worker.clock = func() moment {
			at := now()
			select {
			case <-suspended:
				at.wall = at.wall.Add(jump)
			default:
			}
			return at
		}
		var order journal
		Handle(r.worker, func(context.Context, *offstage.Job[task]) error { order.add("start"); return nil })
		r.run()
		tick(500 * time.Millisecond)
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "Claim" && jump == 0 {
				jump = time.Hour
				close(suspended)
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
		r := newRig(t, store, Config{})
		set := make(chan struct{})
		r.worker.clock = func() moment {
			at := now()
			select {
			case <-set:
				at.wall = at.wall.Add(time.Hour)
			default:
			}
			return at
		}
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		r.await(id, offstage.Running)
		close(set)
		tick(time.Minute)
		select {
		case cause := <-causes:
			t.Errorf("the job was cancelled: %v", cause)
		default:
		}
		r.endWell()
	})
}

func TestSuspendedAndThenCutOffIsCancelledSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLease(Config{Lease: 5 * time.Second, Beat: time.Second}, now)
		var jump time.Duration
		l.clock = func() moment {
			at := now()
			at.wall = at.wall.Add(jump)
			return at
		}
		l.open(&session{id: 1}, l.clock())
		tick(time.Second)
		jump = time.Hour
		if lost, beat, _ := l.silent(); lost || !beat {
			t.Errorf("just after the jump: lost %v, beat %v; want a beat to find out", lost, beat)
		}
		l.heard(l.clock(), lost)
		tick(l.margin + time.Millisecond)
		if lost, _, _ := l.silent(); !lost {
			t.Error("no beat got through, yet the handlers go on")
		}
	})
}

func TestLeaseThroughOutages(t *testing.T) {
	// Each step is one beat, a second after the one before.
	cases := []struct {
		name  string
		beats []error
		lost  bool
	}{
		{"all well", []error{nil, nil, nil, nil, nil, nil}, false},
		{"silence", []error{lost, lost, lost, lost}, true},
		{"three are not enough", []error{lost, lost, lost}, false},
		{"down", []error{down, down, down, down, down, down, down, down}, false},
		{"broken, then down", []error{lost, down, down, down, down, down, down}, false},
		{"a long outage, then slow to return", []error{lost, down, down, down, down, down, lost}, false},
		{"one answer of down in a silence", []error{lost, lost, down, lost}, true},
		{"a long outage, then silence", []error{down, down, down, down, down, down, lost, lost, lost, lost}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLease(Config{Lease: 5 * time.Second, Beat: time.Second}, now)
				l.open(&session{id: 1}, l.clock())
				for _, answer := range c.beats {
					tick(time.Second)
					l.heard(l.clock(), answer)
				}
				if lost, _, _ := l.silent(); lost != c.lost {
					t.Errorf("lost %v; want %v", lost, c.lost)
				}
			})
		})
	}
}

func TestShortLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), Config{Lease: MinLease})
		Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { tick(time.Minute); return ctx.Err() })
		id := r.enqueue(task{})
		r.run()
		if got := r.await(id, offstage.Completed); got.Run != 1 {
			t.Errorf("took %d runs", got.Run)
		}
		r.endWell()
	})
}
