package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
)

func TestObserver(t *testing.T) {
	// Beats of the observer, a second apart unless it is late; each shows the
	// peer's counter. A negative counter is a beat that failed.
	type beat struct {
		after   time.Duration
		counter int64
	}
	every := func(counters ...int64) (beats []beat) {
		for _, counter := range counters {
			beats = append(beats, beat{time.Second, counter})
		}
		return beats
	}
	cases := []struct {
		name  string
		beats []beat
		dead  bool
	}{
		{"lives", every(1, 2, 3, 4, 5, 6, 7, 8), false},
		{"counts backwards after a crash of the server", every(5, 4, 3, 2, 1, 9, 8, 7), false},
		{"stands still for a lease", every(7, 7, 7, 7, 7, 7), true},
		{"stands still for less", every(7, 7, 7, 7, 7), false},
		{"moves at the last moment", every(7, 7, 7, 7, 7, 8), false},
		{"an own beat failed meanwhile", every(7, 7, 7, -1, 7, 7, 7, 7, 7), false},
		{"and then a whole lease", every(7, 7, 7, -1, 7, 7, 7, 7, 7, 7), true},
		{"the observer was late", append(every(7, 7, 7), beat{3 * time.Second, 7}, beat{time.Second, 7}), false},
		{"the observer was a little late", append(every(7, 7, 7), beat{2 * time.Second, 7}, beat{time.Second, 7}), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := observer{lease: 5 * time.Second, beat: time.Second}
			at, dead := now(), false
			for _, beat := range c.beats {
				at = moment{mono: at.mono.Add(beat.after), wall: at.wall.Add(beat.after)}
				if beat.counter < 0 {
					o.restart()
					continue
				}
				dead = len(o.observe(at, at, []offstage.Peer{{ID: 2, Counter: beat.counter}})) > 0
			}
			if dead != c.dead {
				t.Errorf("dead %v; want %v", dead, c.dead)
			}
		})
	}
}

func TestObserverCountsFromTheAnswerToTheQuestion(t *testing.T) {
	o := observer{lease: 5 * time.Second, beat: time.Second}
	start := now()
	at := func(d time.Duration) moment {
		return moment{mono: start.mono.Add(d), wall: start.wall.Add(d)}
	}
	peer := []offstage.Peer{{ID: 2, Counter: 1}}
	for i := range time.Duration(6) { // each answer takes 900 ms
		if dead := o.observe(at(i*time.Second), at(i*time.Second+900*time.Millisecond), peer); len(dead) > 0 {
			t.Errorf("dead at second %d: the counter is known to stand still for less than a lease", i)
		}
	}
	if dead := o.observe(at(6*time.Second), at(6900*time.Millisecond), peer); len(dead) == 0 {
		t.Error("not dead after more than a lease")
	}
	if dead := o.observe(at(7*time.Second), at(7*time.Second), []offstage.Peer{{ID: 3, Dead: true}}); len(dead) != 1 {
		t.Error("a peer that is proved dead is not")
	}
}

func TestADeadWorkersJobsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		first := newRig(t, store, Config{})
		hold(first)
		first.run()
		var ids []offstage.ID
		for range 250 {
			ids = append(ids, first.enqueue(task{}))
		}
		first.await(ids[0], offstage.Running)
		tick(time.Second)
		// The first process is cut off from now on: for the store it is dead.
		dead := first.get(ids[0]).Worker
		store.before(func(_ context.Context, call string, in any) error {
			if id, ok := in.(offstage.WorkerID); ok && id == dead {
				return lost
			}
			if request, ok := in.(offstage.ClaimRequest); ok && request.Worker == dead {
				return lost
			}
			if request, ok := in.(offstage.FinishRequest); ok && request.Worker == dead {
				return lost
			}
			return nil
		})
		died := time.Now()
		second := newRig(t, store, Config{})
		Handle(second.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		second.run()
		for _, id := range ids {
			got := second.await(id, offstage.Completed)
			if got.Attempts[len(got.Attempts)-1].Worker == dead {
				t.Fatal("the dead worker completed it")
			}
		}
		if took := time.Since(died); took > 10*time.Second {
			t.Errorf("all ran again after %v; want within 10s", took)
		}
		second.endWell()
		if err := first.end(); err == nil {
			t.Error("the first worker could not record its results and says nothing of it")
		}
	})
}

func TestOneThatMissesBeatsItselfCondemnsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		if _, err := store.Store.Register(t.Context(), offstage.WorkerInfo{Name: "silent"}); err != nil {
			t.Fatal(err)
		}
		var beats atomic.Int64
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "Beat" && beats.Add(1)%4 == 0 {
				return lost
			}
			return nil
		})
		r := newRig(t, store, Config{})
		r.run()
		tick(time.Minute)
		if n := store.count("Rescue"); n != 0 {
			t.Errorf("%d rescues by a process that misses every fourth of its own beats", n)
		}
		store.before(nil)
		tick(DefaultLease + 2*time.Second)
		if n := store.count("Rescue"); n != 1 {
			t.Errorf("%d rescues after a lease of good beats; want one", n)
		}
		r.endWell()
	})
}

func TestRescueDoesNotDelayBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		dead, err := store.Store.Register(t.Context(), offstage.WorkerInfo{Name: "dead"})
		if err != nil {
			t.Fatal(err)
		}
		store.before(func(ctx context.Context, call string, in any) error {
			if peer, ok := in.(offstage.Peer); ok && peer.ID == dead {
				<-ctx.Done()
				return errors.Join(lost, ctx.Err())
			}
			return nil
		})
		r := newRig(t, store, Config{})
		causes := hold(r)
		r.run()
		r.await(r.enqueue(task{}), offstage.Running)
		tick(time.Minute)
		if store.count("Rescue") == 0 || store.count("Beat") < 55 {
			t.Errorf("%d rescues were tried, %d beats sent in a minute", store.count("Rescue"), store.count("Beat"))
		}
		select {
		case cause := <-causes:
			t.Errorf("the job was cancelled: %v", cause)
		default:
		}
		r.endWell()
	})
}
