package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

// beats lets a minute pass and returns how many heartbeats came in it.
func beats(store *tap) int {
	before := store.count("Beat")
	tick(time.Minute)
	return store.count("Beat") - before
}

// readyTap is a store that tells of jobs that are ready, and of nothing else: what
// any other news brings is a heartbeat.
type readyTap struct{ *tap }

func (s readyTap) Watch(ctx context.Context, ready func(), wake func(offstage.News)) error {
	return s.tap.Watch(ctx, ready, func(news offstage.News) {
		if news == offstage.NewsReady {
			wake(news)
		}
	})
}

// A worker that is alone, holds nothing and is told of news beats half as often.
func TestHeartbeatsInACalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, readyTap{store}, worker.Config{})
		let := make(chan bool)
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { <-let; return nil })
		r.run()
		tick(10 * time.Second)
		if n := beats(store); n < 29 || n > 31 {
			t.Errorf("%d heartbeats in an idle minute, want 30", n)
		}

		// Right after a heartbeat, so that the next is as far away as it can be.
		for n := store.count("Beat"); store.count("Beat") == n; {
			tick(time.Millisecond)
		}
		tick(300 * time.Millisecond)
		id, n := r.enqueue(task{}), store.count("Beat")
		r.await(id, offstage.Running)
		tick(10 * time.Millisecond)
		if store.count("Beat") == n {
			t.Error("no heartbeat came when a job ended the calm")
		}
		if n := beats(store); n < 59 || n > 61 {
			t.Errorf("%d heartbeats in a minute with a job, want 60", n)
		}
		let <- true
		tick(5 * time.Second)
		if n := beats(store); n < 29 || n > 31 {
			t.Errorf("%d heartbeats in an idle minute after a job, want 30", n)
		}

		// Jobs that come and go end the calm for as long as they do.
		busy := store.count("Beat")
		for range 120 {
			r.enqueue(task{})
			let <- true
			tick(500 * time.Millisecond)
		}
		if n := store.count("Beat") - busy; n < 59 || n > 62 {
			t.Errorf("%d heartbeats in a minute of short jobs, want 60", n)
		}
		r.endWell()
	})
}

// blindTap is a store that tells nobody of news.
type blindTap struct{ *tap }

func (blindTap) Watch(context.Context, func(), func(offstage.News)) error {
	return offstage.ErrNotFound
}

// Where a calm could do harm, heartbeats keep their pace.
func TestHeartbeatsWithoutACalm(t *testing.T) {
	for name, test := range map[string]struct {
		store func(*tap) offstage.Store
		lease time.Duration
		begin func(*rig)
	}{
		"beside a peer": {begin: func(r *rig) {
			other := newRig(r.T, r.store.(*tap).Store, worker.Config{})
			worker.Handle(other.worker, func(context.Context, *offstage.Job[task]) error { return nil })
			other.run()
			stop := r.stop
			r.stop = func() { other.stop(); stop() }
		}},
		"untold of news":                {store: func(s *tap) offstage.Store { return blindTap{s} }},
		"with few heartbeats per lease": {lease: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				meter := newTap()
				var store offstage.Store = meter
				if test.store != nil {
					store = test.store(meter)
				}
				r := newRig(t, store, worker.Config{Lease: test.lease, Beat: time.Second})
				worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
				r.run()
				if test.begin != nil {
					test.begin(r)
				}
				tick(10 * time.Second)
				if n := beats(meter); n < 59 || n > 61 {
					t.Errorf("%d heartbeats in a minute, want 60", n)
				}
				r.endWell()
			})
		})
	}
}

// A heartbeat that hangs in a calm leaves time for another before the lease is over.
func TestAHeartbeatMayBeLostInACalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, hang := newTap(), new(atomic.Bool)
		store.before(func(ctx context.Context, call string, _ any) error {
			if call == "Beat" && hang.Swap(false) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, _ *offstage.Job[task]) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Second):
				return nil
			}
		})
		r.run()
		tick(10*time.Second + time.Millisecond)
		hang.Store(true)
		for hang.Load() {
			tick(time.Millisecond)
		}
		if job := r.await(r.enqueue(task{}), offstage.Completed); job.Run != 1 {
			t.Errorf("a job that began beside the lost heartbeat was run %d times", job.Run)
		}
		r.endWell()
	})
}
