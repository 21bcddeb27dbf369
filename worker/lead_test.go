package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// leaders returns how many of the store's workers lead.
func leaders(t *testing.T, client *offstage.Client) (n int) {
	t.Helper()
	stats, err := client.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range stats.Workers {
		if w.Leads {
			n++
		}
	}
	return n
}

// resignations counts how often the leadership was given up.
type resignations struct {
	*offstagetest.Store
	resigned atomic.Int64
}

func (s *resignations) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	if ttl == 0 {
		s.resigned.Add(1)
	}
	return s.Store.Lead(ctx, worker, ttl)
}

func TestOneLeadsAndAnotherTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &resignations{Store: offstagetest.NewStore()}
		first, second := newRig(t, store, worker.Config{}), newRig(t, store, worker.Config{})
		worker.Handle(second.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		first.run()
		tick(time.Second)
		second.run()
		tick(time.Minute)
		if n := leaders(t, first.client); n != 1 {
			t.Errorf("%d lead", n)
		}
		first.endWell()
		if n := store.resigned.Load(); n != 1 {
			t.Errorf("it resigned %d times", n)
		}
		asked := time.Now()
		id := second.enqueue(task{}, offstage.After(2*time.Second))
		second.await(id, offstage.Completed)
		if took := time.Since(asked); took > 2*time.Second+worker.DefaultLease+time.Second {
			t.Errorf("after the leader's stop a job for 2s later ran after %v", took)
		}
		second.endWell()
	})
}

func TestADeadLeaderIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		dead, err := store.Register(t.Context(), offstage.WorkerInfo{Name: "dead"})
		if err != nil {
			t.Fatal(err)
		}
		if term, err := store.Lead(t.Context(), dead, 2*worker.DefaultLease); err != nil || term == 0 {
			t.Fatalf("term %d, %v", term, err)
		}
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		died := time.Now()
		r.run()
		r.await(r.enqueue(task{}, offstage.After(time.Second)), offstage.Completed)
		if took := time.Since(died); took > 3*worker.DefaultLease+2*time.Second {
			t.Errorf("scheduled jobs ran again after %v", took)
		}
		r.endWell()
	})
}

func TestScheduledJobsRunOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		late := make(chan time.Duration, 1000)
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			late <- time.Since(job.CreatedAt) - time.Duration(job.Args.N)*time.Millisecond
			return nil
		})
		r.run()
		tick(3*time.Second + 7*time.Millisecond)
		for n := range 300 {
			r.enqueue(task{10 * n}, offstage.After(10*time.Duration(n)*time.Millisecond))
		}
		tick(time.Minute)
		for range 300 {
			if d := <-late; d < 0 || d > time.Second {
				t.Errorf("a job began %v after its time; want from 0 to 1s", d)
			}
		}
		r.endWell()
	})
}

// deafBeats is a store whose heartbeats do not know what is due, as SQLite's.
type deafBeats struct{ *tap }

func (s deafBeats) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	beat, err := s.tap.Beat(ctx, worker)
	beat.Due = 0
	return beat, err
}

func TestHeartbeatsSpareThePromoterItsLooks(t *testing.T) {
	for name, test := range map[string]struct {
		store       func(*tap) offstage.Store
		least, most int64 // looks in ten minutes
	}{
		"that know":   {func(s *tap) offstage.Store { return s }, 40, 42},
		"that do not": {func(s *tap) offstage.Store { return deafBeats{s} }, 600, 602},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				meter, looks := newTap(), new(atomic.Int64)
				meter.before(func(_ context.Context, _ string, in any) error {
					if in == offstage.Promote {
						looks.Add(1)
					}
					return nil
				})
				r := newRig(t, test.store(meter), worker.Config{})
				worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
				r.run()
				tick(10*time.Minute + time.Second/2)
				if n := looks.Load(); n < test.least || n > test.most {
					t.Errorf("%d looks in ten idle minutes; want %d", n, test.least)
				}
				for n := range 50 {
					asked := time.Now()
					after := 37 * time.Duration(n) * time.Millisecond
					r.await(r.enqueue(task{}, offstage.After(after)), offstage.Completed)
					if late := time.Since(asked) - after; late > worker.RingPause+10*time.Millisecond {
						t.Errorf("a job for %v later began %v after its time", after, late)
					}
					tick(time.Duration(n) * time.Second)
				}
				r.endWell()
			})
		})
	}
}

func TestThePromoterLooksWithoutHeartbeats(t *testing.T) {
	for name, test := range map[string]struct {
		beat   time.Duration
		answer func(context.Context) error
		late   time.Duration
	}{
		"that are seldom": {55 * time.Second, func(context.Context) error { return nil }, worker.PromoteEvery},
		"that fail":       {time.Second, func(context.Context) error { return down }, worker.PromoteEvery},
		"that hang": {time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, 2*time.Second + worker.PromoteEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newTap()
				r := newRig(t, mute{store}, worker.Config{Lease: time.Hour, Beat: test.beat})
				worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
				r.run()
				tick(5*time.Minute + time.Second/2)
				store.before(func(ctx context.Context, call string, _ any) error {
					if call == "Beat" {
						return test.answer(ctx)
					}
					return nil
				})
				for range 20 {
					asked := time.Now()
					r.await(r.enqueue(task{}, offstage.After(time.Millisecond)), offstage.Completed)
					if late := time.Since(asked); late > test.late+20*time.Millisecond {
						t.Errorf("a job for a millisecond later ran after %v", late)
					}
					tick(11 * time.Second)
				}
				r.endWell()
			})
		})
	}
}

// A heartbeat is sent, then a retry is stored that is due in a moment and looked at,
// then comes the heartbeat's answer.
func TestAHeartbeatOnItsWayPutsNoShortRetryOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowBeats{tap: newTap()}
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			if job.Run == 1 {
				return offstage.RetryAfter(300 * time.Millisecond)
			}
			return nil
		})
		r.run()
		tick(time.Minute + time.Second/2)
		store.delay.Store(int64(200 * time.Millisecond))
		tick(time.Second/2 + 10*time.Millisecond) // its answer is on its way
		asked := time.Now()
		r.await(r.enqueue(task{}), offstage.Completed)
		if took := time.Since(asked); took > 400*time.Millisecond {
			t.Errorf("a retry after 300ms ended after %v", took)
		}
		r.endWell()
	})
}

// slowBeats is a store whose heartbeats' answers take a while.
type slowBeats struct {
	*tap
	delay atomic.Int64
}

func (s *slowBeats) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	beat, err := s.tap.Beat(ctx, worker)
	<-time.After(time.Duration(s.delay.Load()))
	return beat, err
}

func TestAShortRetryDoesNotWaitForTheNextLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			if job.Run <= 10 {
				return offstage.RetryAfter(50 * time.Millisecond)
			}
			return nil
		})
		r.run()
		tick(3 * time.Second)
		asked := time.Now()
		r.await(r.enqueue(task{}), offstage.Completed)
		if took := time.Since(asked); took > time.Second {
			t.Errorf("ten retries after 50ms each took %v", took)
		}
		r.endWell()
	})
}

func TestAStuckChoreDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		done := map[offstage.Chore][]time.Time{}
		store.before(func(ctx context.Context, call string, in any) error {
			chore, ok := in.(offstage.Chore)
			if !ok {
				return nil
			}
			if chore == offstage.Prune {
				<-ctx.Done()
				return ctx.Err()
			}
			store.mu.Lock()
			defer store.mu.Unlock()
			done[chore] = append(done[chore], time.Now())
			return nil
		})
		r := newRig(t, store, worker.Config{})
		r.run()
		tick(5 * time.Minute)
		r.endWell()
		for chore, longest := range worker.Duties() {
			if chore == offstage.Prune {
				continue
			}
			times := done[chore]
			if len(times) < 2 {
				t.Errorf("%v was done %d times in five minutes", chore, len(times))
			}
			if chore != offstage.Promote {
				longest += worker.ChoreTime
			}
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap > longest {
					t.Errorf("%v paused for %v; want at most %v", chore, gap, longest)
				}
			}
		}
	})
}

func TestATermThatIsOverIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		tick(time.Second)
		store.before(func(_ context.Context, call string, in any) error {
			if call == "Chore" {
				return offstage.ErrNotLeading
			}
			return nil
		})
		before := store.count("Chore")
		tick(30 * time.Second)
		if n := store.count("Chore") - before; n > 100 {
			t.Errorf("%d chores were tried under a term that is over", n)
		}
		store.before(nil)
		r.await(r.enqueue(task{}, offstage.After(time.Second)), offstage.Completed)
		r.endWell()
	})
}

// A sweep that takes long is followed by a long rest.
func TestLongSweepsAreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		var sweeps []time.Duration
		began := time.Now()
		store.before(func(_ context.Context, call string, in any) error {
			if request, ok := in.(offstage.ClaimRequest); ok && request.Sweep {
				sweeps = append(sweeps, time.Since(began))
				tick(3 * time.Second)
			}
			return nil
		})
		r := newRig(t, store, worker.Config{})
		r.run()
		tick(20 * time.Minute)
		r.endWell()
		if n := len(sweeps); n < 4 || n > 6 {
			t.Errorf("sweeps of three seconds at %v; want one in five minutes", sweeps)
		}
	})
}

func TestSweepsAreTheLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		sweeps := map[offstage.WorkerID]int{}
		failNext := false
		store.before(func(_ context.Context, call string, in any) error {
			request, ok := in.(offstage.ClaimRequest)
			if !ok {
				return nil
			}
			store.mu.Lock()
			defer store.mu.Unlock()
			if failNext {
				failNext = false
				return lost
			}
			if request.Sweep {
				sweeps[request.Worker]++
			}
			return nil
		})
		first, second := newRig(t, store, worker.Config{}), newRig(t, store, worker.Config{})
		first.run()
		tick(time.Second)
		second.run()
		tick(10 * time.Minute)
		store.mu.Lock()
		if len(sweeps) != 1 {
			t.Errorf("sweeps by %v; want one process", sweeps)
		}
		for _, n := range sweeps {
			if n < 9 || n > 14 {
				t.Errorf("%d sweeps in ten minutes", n)
			}
		}
		store.mu.Unlock()
		first.endWell()
		tick(10 * time.Second) // the second leads
		store.mu.Lock()
		if len(sweeps) != 2 {
			t.Errorf("sweeps by %v; want one by the new leader: whoever led before may have died", sweeps)
		}
		clear(sweeps)
		failNext = true
		store.mu.Unlock()
		second.enqueue(task{})
		tick(3 * time.Second)
		store.mu.Lock()
		if len(sweeps) != 1 {
			t.Errorf("sweeps after a failed claim: %v; want one", sweeps)
		}
		store.mu.Unlock()
		second.endWell()
	})
}

func TestTheLeaderSweepsAfterADeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		var sweeps atomic.Int64
		store.before(func(_ context.Context, call string, in any) error {
			if request, ok := in.(offstage.ClaimRequest); ok && request.Sweep {
				sweeps.Add(1)
			}
			return nil
		})
		r := newRig(t, store, worker.Config{})
		r.run()
		tick(2 * time.Second)
		if _, err := store.Store.Register(t.Context(), offstage.WorkerInfo{Name: "dies at once"}); err != nil {
			t.Fatal(err)
		}
		before := sweeps.Load()
		tick(worker.DefaultLease + 3*time.Second)
		if n := sweeps.Load() - before; n != 1 {
			t.Errorf("%d sweeps after a death; want one", n)
		}
		r.endWell()
	})
}
