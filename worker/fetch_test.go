package worker_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestHighPriorityHasAPoolOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Pools: []worker.Pool{
			{Name: "high", Queues: []string{"high"}, Slots: 10},
			{Name: "shared", Queues: []string{"high", "low"}, Slots: 20},
		}})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error { tick(100 * time.Millisecond); return nil })
		for range 2000 {
			r.enqueue(task{}, offstage.InQueue("low"))
		}
		r.run()
		tick(time.Second)
		var high []offstage.ID
		for range 10 {
			high = append(high, r.enqueue(task{}, offstage.InQueue("high")))
		}
		asked := time.Now()
		for _, id := range high {
			r.await(id, offstage.Completed)
		}
		if took := time.Since(asked); took > 200*time.Millisecond {
			t.Errorf("the ten took %v; want 100ms and the time of a look", took)
		}
		r.endWell()
	})
}

func TestStrictOrderInASharedPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Pools: []worker.Pool{{Queues: []string{"high", "low"}, Slots: 7}}})
		began := map[int][]time.Time{} // by rank
		var mu sync.Mutex
		worker.HandleNamed(r.worker, "ranked", func(ctx context.Context, job *offstage.Job[int]) error {
			mu.Lock()
			began[job.Args] = append(began[job.Args], time.Now())
			mu.Unlock()
			tick(10 * time.Millisecond)
			return nil
		})
		for range 100 {
			r.enqueue(offstage.Named("ranked", 3), offstage.InQueue("low"), offstage.Priority(9))
			r.enqueue(offstage.Named("ranked", 2), offstage.InQueue("low"), offstage.Priority(0))
			r.enqueue(offstage.Named("ranked", 1), offstage.InQueue("high"), offstage.Priority(9))
		}
		r.run()
		tick(time.Minute)
		for rank := 1; rank < 3; rank++ {
			last, next := slices.MaxFunc(began[rank], time.Time.Compare), slices.MinFunc(began[rank+1], time.Time.Compare)
			if last.After(next) {
				t.Errorf("rank %d went on until %v, though rank %d began at %v", rank, last, rank+1, next)
			}
		}
		if n := len(began[1]) + len(began[2]) + len(began[3]); n != 300 {
			t.Errorf("%d jobs ran", n)
		}
		r.endWell()
	})
}

func TestWeightedPoolsShareByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{Pools: []worker.Pool{
			{Queues: []string{"a", "b", "empty"}, Slots: 20, Order: worker.Weighted, Weights: []int{3, 1, 5}},
		}})
		var a, b atomic.Int64
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			if job.Queue == "a" {
				a.Add(1)
			} else {
				b.Add(1)
			}
			tick(10 * time.Millisecond)
			return nil
		})
		for range 3000 {
			r.enqueue(task{}, offstage.InQueue("a"))
			r.enqueue(task{}, offstage.InQueue("b"))
		}
		r.run()
		tick(time.Second)
		if share := float64(a.Load()) / float64(b.Load()); share < 2 || share > 4.5 {
			t.Errorf("%d of a, %d of b; want about three to one", a.Load(), b.Load())
		}
		if n := a.Load() + b.Load(); n < 1900 {
			t.Errorf("%d jobs in a second; want about 2000: no slot stays free", n)
		}
		tick(time.Minute)
		r.endWell()
	})
}

func TestANewJobStartsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		store  func() offstage.Store
		within time.Duration
	}{
		"woken":   {func() offstage.Store { return offstagetest.NewStore() }, 0},
		"polling": {func() offstage.Store { return struct{ offstage.Store }{offstagetest.NewStore()} }, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.store(), worker.Config{})
				started := make(chan time.Time, 1)
				worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { started <- time.Now(); return nil })
				r.run()
				for range 20 {
					tick(time.Minute + 77*time.Millisecond)
					asked := time.Now()
					r.enqueue(task{})
					if took := (<-started).Sub(asked); took > c.within {
						t.Errorf("it started after %v; want at most %v", took, c.within)
					}
				}
				r.endWell()
			})
		})
	}
}

func TestAnIdleWorkerAsksLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		r.await(r.enqueue(task{}), offstage.Completed)
		tick(time.Minute)
		before, looks := store.count(""), store.count("Claim")
		tick(10 * time.Minute)
		if n := store.count("") - before; n > 3*600 {
			t.Errorf("%d calls in ten idle minutes; want at most three a second", n)
		}
		if n := store.count("Claim") - looks; n > 80 {
			t.Errorf("%d looks in ten idle minutes though knocks work", n)
		}
		if n := store.count("Sleep"); n != 1 {
			t.Errorf("Sleep was called %d times; want once", n)
		}
		r.endWell()
	})
}

// mute is a store that says it would knock, and never does.
type mute struct{ *tap }

func (s mute) Watch(ctx context.Context, ready func(), _ func(offstage.News)) error {
	ready()
	<-ctx.Done()
	return nil
}

func TestItSleepsBeforeItsLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		leader, err := store.Store.Register(t.Context(), offstage.WorkerInfo{Name: "leader"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Store.Lead(t.Context(), leader, time.Hour); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, mute{store}, worker.Config{})
		started := make(chan time.Time, 1)
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { started <- time.Now(); return nil })
		// The enqueuer looks whether anybody sleeps just before the worker says so.
		asked := make(chan time.Time, 1)
		store.before(func(_ context.Context, call string, in any) error {
			if call == "Sleep" && in.(bool) {
				r.enqueue(task{})
				asked <- time.Now()
			}
			return nil
		})
		r.run()
		if at := <-asked; (<-started).Sub(at) > 0 {
			t.Error("a job that came just before Sleep was not seen by a look after it")
		}
		r.endWell()
	})
}

func TestKnocksAreCalledOffWhileItIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 2}}})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { tick(100 * time.Millisecond); return nil })
		var flips journal
		store.before(func(_ context.Context, call string, in any) error {
			if asleep, ok := in.(bool); ok && call == "Sleep" {
				flips.add(map[bool]string{true: "asleep", false: "awake"}[asleep])
			}
			return nil
		})
		r.run()
		for range 5 { // short bursts leave the flag alone
			for range 6 {
				r.enqueue(task{})
			}
			tick(time.Second)
		}
		if got := strings.Join(flips.all(), " "); got != "asleep" {
			t.Errorf("after short bursts: %s", got)
		}
		for range 200 {
			r.enqueue(task{})
		}
		tick(time.Minute)
		if got := strings.Join(flips.all(), " "); got != "asleep awake asleep" {
			t.Errorf("after ten busy seconds: %s", got)
		}
		r.endWell()
	})
}

// pendingStore has transactions open at its first looks, as PostgreSQL may.
type pendingStore struct {
	*tap
	pending atomic.Bool
}

func (s *pendingStore) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	claim, err := s.tap.Claim(ctx, req)
	claim.Pending = s.pending.Load()
	return claim, err
}

func TestItKeepsLookingWhileTransactionsAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pendingStore{tap: newTap()}
		r := newRig(t, store, worker.Config{})
		r.run()
		tick(time.Minute + time.Second/3) // not when it looks for safety
		store.pending.Store(true)
		if _, err := r.client.Enqueue(t.Context(), task{}, offstage.InQueue("elsewhere")); err != nil {
			t.Fatal(err) // any news makes it look
		}
		before := store.count("Claim")
		tick(100 * time.Millisecond)
		if n := store.count("Claim") - before; n < 3 || n > 8 {
			t.Errorf("%d looks in the first 100ms; want them at 10, 20, 40 ms …", n)
		}
		before = store.count("Claim")
		tick(10 * time.Second)
		if n := store.count("Claim") - before; n < 18 || n > 40 {
			t.Errorf("%d looks in ten seconds; want one every 500ms", n)
		}
		store.pending.Store(false)
		tick(time.Second)
		before = store.count("Claim")
		tick(time.Minute)
		if n := store.count("Claim") - before; n > 10 {
			t.Errorf("%d looks in the minute after", n)
		}
		r.endWell()
	})
}

func TestShortJobsAreClaimedByTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		slow := func(_ context.Context, call string, _ any) error {
			if call == "Claim" || call == "Finish" {
				tick(2 * time.Millisecond)
			}
			return nil
		}
		store.before(slow)
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		var last offstage.ID
		for range 20_000 {
			last = r.enqueue(task{})
		}
		began := time.Now()
		r.run()
		r.await(last, offstage.Completed)
		if n := store.count("Claim"); n > 300 {
			t.Errorf("%d claims for 20000 jobs and 200 slots", n)
		}
		if n := store.count("Finish"); n > 400 {
			t.Errorf("%d writes of results", n)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v; want a hundred round trips of claims beside the writes", took)
		}
		r.endWell()
	})
}

func TestProcessesShareFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		const processes, jobs = 4, 20_000
		var did [processes]atomic.Int64
		var rigs []*rig
		for i := range processes {
			r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 10}}})
			worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { did[i].Add(1); tick(time.Millisecond); return nil })
			rigs = append(rigs, r)
		}
		var last offstage.ID
		for range jobs {
			last = rigs[0].enqueue(task{})
		}
		for _, r := range rigs {
			r.run()
		}
		rigs[0].await(last, offstage.Completed)
		least, most := int64(jobs), int64(0)
		for i := range did {
			least, most = min(least, did[i].Load()), max(most, did[i].Load())
		}
		if 2*most > 3*least {
			t.Errorf("one process did %d jobs, another %d", most, least)
		}
		for _, r := range rigs {
			r.endWell()
		}
	})
}
