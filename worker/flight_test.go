package worker_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// far is a store whose claims are carried out at once and answered later, which it
// keeps account of.
type far struct {
	*offstagetest.Store
	way func(nr int) time.Duration // of the answer to the claim of that number

	mu     sync.Mutex
	claims [][]offstage.ID // guarded by mu: the jobs of each claim, as they were sent
	open   map[int]bool    // guarded by mu: those that are not answered
	most   int             // guarded by mu: how many those were at most
	passed int             // guarded by mu: claims that were answered before an earlier one
}

func newFar(way func(nr int) time.Duration) *far {
	return &far{Store: offstagetest.NewStore(), way: way, open: map[int]bool{}}
}

func (s *far) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	s.mu.Lock()
	nr := len(s.claims)
	claim, err := s.Store.Claim(ctx, req)
	ids := make([]offstage.ID, len(claim.Jobs))
	for i, job := range claim.Jobs {
		ids[i] = job.ID
	}
	s.claims = append(s.claims, ids)
	s.open[nr] = true
	s.most = max(s.most, len(s.open))
	s.mu.Unlock()
	tick(s.way(nr))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, nr)
	for other := range s.open {
		if other < nr {
			s.passed++
		}
	}
	return claim, err
}

// While there is more to claim, a second claim is sent before the first is answered;
// what either brings has a slot and runs once, though heartbeats see the claim before
// its answer is there, and what the first brings starts first, though it be answered
// last.
func TestTwoClaimsAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFar(func(nr int) time.Duration {
			switch {
			case nr == 6 || nr == 9:
				return 3500 * time.Millisecond
			case nr%2 == 1:
				return 30 * time.Millisecond
			}
			return 7 * time.Millisecond
		})
		const slots = 20
		r := newRig(t, store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: slots}}})
		var mu sync.Mutex
		runs, running, crowd := 0, 0, 0
		began := map[offstage.ID]time.Time{}
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			mu.Lock()
			began[job.ID] = time.Now()
			runs++
			running++
			crowd = max(crowd, running)
			mu.Unlock()
			tick(time.Duration(1+job.Args.N%13) * time.Millisecond)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		})
		var last offstage.ID
		for n := range 500 {
			last = r.enqueue(task{n})
		}
		r.run()
		r.await(last, offstage.Completed)
		tick(time.Second)
		r.endWell()
		if store.most != 2 {
			t.Errorf("%d claims at most were on their way; want two", store.most)
		}
		if crowd > slots {
			t.Errorf("%d jobs ran at once in %d slots", crowd, slots)
		}
		if store.passed < 10 {
			t.Errorf("%d claims were answered before an earlier one: too few to tell anything", store.passed)
		}
		var latest time.Time
		for nr, ids := range store.claims {
			for _, id := range ids {
				if began[id].Before(latest) {
					t.Fatalf("job %d of claim %d began before those of an earlier claim", id, nr)
				}
			}
			for _, id := range ids {
				latest = began[id]
			}
		}
		if len(began) != 500 || runs != 500 {
			t.Errorf("%d jobs ran %d times; want 500, once each", len(began), runs)
		}
	})
}

// However long claims are on their way for a pool with a backlog, a pool with nothing
// to do waits for no more than one of them when it is told of a job.
func TestNewsGoesWithTheNextClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const way = 20 * time.Millisecond
		store := newFar(func(int) time.Duration { return way })
		r := newRig(t, store, worker.Config{Pools: []worker.Pool{
			{Name: "high", Queues: []string{"high"}, Slots: 2},
			{Name: "low", Queues: []string{"low"}, Slots: 40},
		}})
		began := make(chan time.Time, 1)
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			if job.Queue == "high" {
				began <- time.Now()
				return nil
			}
			tick(time.Duration(3+job.Args.N%17) * time.Millisecond)
			return nil
		})
		for n := range 6000 {
			r.enqueue(task{n}, offstage.InQueue("low"))
		}
		r.run()
		tick(time.Second/2 + 5*time.Millisecond)
		for n := range 50 {
			asked := time.Now()
			r.enqueue(task{}, offstage.InQueue("high"))
			if took := (<-began).Sub(asked); took > 2*way+5*time.Millisecond {
				t.Errorf("job %d of the idle pool began after %v; a claim takes %v", n, took, way)
			}
			tick(time.Duration(n) * time.Millisecond)
		}
		if page, err := store.List(t.Context(), offstage.Filter{Queue: "low", State: offstage.Ready, Limit: 1}); err != nil || len(page.Jobs) == 0 {
			t.Errorf("%d jobs of the other pool are left, %v: the test proves nothing", len(page.Jobs), err)
		}
		r.endWell()
	})
}

// A claim that was on its way when one brought a suspect is handed back like what
// came with the suspect.
func TestAClaimBehindASuspectIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFar(func(int) time.Duration { return 20 * time.Millisecond })
		r := newRig(t, store, worker.Config{
			Lease: 10 * time.Second, // keeps a suspect apart for a second
			Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 4}},
		})
		var mu sync.Mutex
		running := map[string]bool{}
		var beside []string
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[span]) error {
			mu.Lock()
			running[job.Args.Name] = true
			if running["suspect"] {
				for name := range running {
					beside = append(beside, name)
				}
			}
			mu.Unlock()
			tick(job.Args.Takes)
			mu.Lock()
			delete(running, job.Args.Name)
			mu.Unlock()
			return nil
		})
		suspect := r.enqueue(span{"suspect", 300 * time.Millisecond}, offstage.Priority(5))
		for range offstage.SuspectLost {
			die(t, store)
		}
		store.claims = nil
		for _, takes := range []time.Duration{10, 10, 12, 12} {
			r.enqueue(span{"early", takes * time.Millisecond}, offstage.Priority(0))
		}
		var others []offstage.ID
		for range 3 {
			others = append(others, r.enqueue(span{"other", 10 * time.Millisecond}, offstage.Priority(9)))
		}
		r.run()
		for _, id := range others {
			r.await(id, offstage.Completed)
		}
		r.endWell()
		// The first of two that end at the same moment may be seen alone: then the suspect is.
		with, behind := store.claims[1], store.claims[2]
		if with[0] != suspect || len(behind) == 0 || store.most != 2 {
			t.Fatalf("claims %v, %d at once; want one with job %d and one behind it", store.claims, store.most, suspect)
		}
		for _, id := range slices.Concat(with[1:], behind) {
			details := r.await(id, offstage.Completed)
			if len(details.Attempts) != 2 || details.Attempts[0].Outcome != offstage.OutcomeInterrupted {
				t.Errorf("job %d: %s; want it interrupted and completed", id, story(details))
			}
		}
		if !slices.Equal(beside, []string{"suspect"}) {
			t.Errorf("with the suspect ran %q", beside)
		}
	})
}
