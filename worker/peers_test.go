package worker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

func TestADeadWorkersJobsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		first := newRig(t, store, worker.Config{})
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
		second := newRig(t, store, worker.Config{})
		worker.Handle(second.worker, func(context.Context, *offstage.Job[task]) error { return nil })
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
		r := newRig(t, store, worker.Config{})
		r.run()
		tick(time.Minute)
		if n := store.count("Rescue"); n != 0 {
			t.Errorf("%d rescues by a process that misses every fourth of its own beats", n)
		}
		store.before(nil)
		tick(worker.DefaultLease + 2*time.Second)
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
		r := newRig(t, store, worker.Config{})
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
