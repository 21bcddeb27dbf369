package storetest

import (
	"fmt"
	"sync"

	"github.com/offstagehq/offstage"
)

var uniqueRaceCases = []Case{
	{"unique race/enqueuers", "Of many enqueuers of one key at once one makes the job, and all get the same id.", uniqueRaceEnqueuers},
	{"unique race/keep last", "Of many enqueuers of one key with KeepLast, one makes the holder, one the follower.", uniqueRaceKeepLast},
	{"unique race/last arguments win", "With Replace and with KeepLast, whatever comes while a job runs is done afterwards, with the last arguments.", uniqueRaceLast},
	{"unique race/ends", "While jobs end and others of their key come, at most one is live at any time, and none is lost.", uniqueRaceEnds},
	{"unique race/several keys", "Calls that bring several keys in different orders do not stand in each other's way.", uniqueRaceSeveral},
}

// race inserts a job from 8 goroutines on two handles and counts how often each
// id was answered, and how many of them were new.
func (r *rig) race(job offstage.NewJob) (ids map[offstage.ID]int, fresh int) {
	r.Helper()
	stores := []offstage.Store{r.store, r.peer()}
	ids = map[offstage.ID]int{}
	var mu sync.Mutex
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for range 5 {
				inserted, err := stores[g%2].Insert(r.Context(), []offstage.NewJob{job})
				if err != nil {
					r.Errorf("insert: %v", err)
					return
				}
				mu.Lock()
				ids[inserted[0].ID]++
				if !inserted[0].Existed {
					fresh++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return ids, fresh
}

func uniqueRaceEnqueuers(r *rig) {
	for i, mode := range []offstage.UniqueMode{offstage.Skip, offstage.Replace, offstage.Debounce} {
		ids, fresh := r.race(uniqueEcho(mode, mode.String()))
		same(r, mode.String()+": ids", len(ids), 1)
		same(r, mode.String()+": enqueues that made a job", fresh, 1)
		same(r, "jobs", r.jobs(), i+1)
	}
}

func uniqueRaceKeepLast(r *rig) {
	ids, fresh := r.race(uniqueEcho(offstage.KeepLast, "key"))
	same(r, "ids", len(ids), 2)
	same(r, "enqueues that made a job", fresh, 2)
	for id, answers := range ids {
		if r.get(id).State == offstage.Ready {
			same(r, "answers that name the holder", answers, 1)
		} else {
			r.wantState(offstage.Blocked, id)
		}
	}
}

func uniqueRaceLast(r *rig) {
	for _, mode := range []offstage.UniqueMode{offstage.Replace, offstage.KeepLast} {
		const n = 60
		peer, w := r.peer(), r.worker()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for i := 1; i <= n; i++ {
				if _, err := peer.Insert(r.Context(), []offstage.NewJob{withArgs(uniqueEcho(mode, mode.String()), fmt.Sprint(i))}); err != nil {
					r.Errorf("insert: %v", err)
				}
			}
		}()
		last := ""
		w.drain(over, func(jobs []taken) { last = string(jobs[len(jobs)-1].Args) })
		same(r, mode.String()+": the last arguments that ran", last, fmt.Sprint(n))
		for _, state := range liveStates {
			same(r, mode.String()+": jobs left "+state.String(), r.pages(offstage.Filter{State: state}, nil), []offstage.ID{})
		}
	}
}

func uniqueRaceEnds(r *rig) {
	const each = 40
	stores := []offstage.Store{r.store, r.peer()}
	w := r.worker()
	var mu sync.Mutex
	made := map[offstage.ID]bool{}
	var group sync.WaitGroup
	over := make(chan struct{})
	for _, store := range stores {
		group.Go(func() {
			for range each {
				inserted, err := store.Insert(r.Context(), []offstage.NewJob{uniqueEcho(offstage.Skip, "key")})
				if err != nil {
					r.Errorf("insert: %v", err)
					return
				}
				mu.Lock()
				made[inserted[0].ID] = true
				mu.Unlock()
			}
		})
	}
	go func() { group.Wait(); close(over) }()
	done := map[offstage.ID]bool{}
	w.drain(over, func(jobs []taken) {
		if len(jobs) > 1 {
			r.Errorf("%d live jobs hold one key", len(jobs))
		}
		for _, job := range jobs {
			done[job.ID] = true
		}
	})
	same(r, "jobs that ran", done, made)
}

func uniqueRaceSeveral(r *rig) {
	const keys = 6
	stores := []offstage.Store{r.store, r.peer()}
	var group sync.WaitGroup
	for g := range 6 {
		group.Go(func() {
			for round := range 5 {
				jobs := make([]offstage.NewJob, keys)
				for k := range jobs {
					name := (k*(1+4*(g%2)) + g + round) % keys // ascending for some, descending for others
					jobs[k] = uniqueEcho(offstage.Replace, fmt.Sprint(name))
				}
				if _, err := stores[g%2].Insert(r.Context(), jobs); err != nil {
					r.Errorf("insert: %v", err)
				}
			}
		})
	}
	group.Wait()
	same(r, "jobs", r.jobs(), keys)
}
