package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var retryCases = []Case{
	{"operate/retry ended", "A retry makes an ended job ready in front, its counters at zero, its history kept, its next run a new one.", operateRetryEnded},
	{"operate/retry retrying", "A retry lets a retrying job not wait, its counters at zero.", operateRetryRetrying},
	{"operate/retry after cancel", "A cancelled job that is retried is not cancelled again.", operateRetryCancelled},
	{"operate/retry race", "Of many retries of one job at once, one takes effect.", operateRetryRace},
}

func operateRetryEnded(r *rig) {
	for _, state := range endedStates {
		id, w, _ := r.bring(echo(), state)
		older := r.insertOne(echo())
		same(r, "answer", r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id}), offstage.Ready)
		got := r.get(id)
		same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{1, 0, 0})
		same(r, "attempts", len(got.Attempts), 1)
		ended, err := r.store.EndedOf(r.Context(), []offstage.ID{id})
		r.must(err, "ended of")
		same(r, "ended when it is ready again", len(ended), 0)
		jobs := w.take(2)
		same(r, "order", idsOf(jobs), []offstage.ID{id, older})
		same(r, "run, errors, lost", [3]int{jobs[0].Run, jobs[0].Errors, jobs[0].Lost}, [3]int{2, 0, 0})
		w.counted(jobs[0].completed(), jobs[1].completed())
		r.wantState(offstage.Completed, id)
		ended, err = r.store.EndedOf(r.Context(), []offstage.ID{id})
		r.must(err, "ended of")
		same(r, "ended", len(ended), 1)
	}
}

func operateRetryRetrying(r *rig) {
	id, w, _ := r.bring(echo(), offstage.Retrying)
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	job := w.takeOne()
	same(r, "run, errors, lost", [3]int{job.Run, job.Errors, job.Lost}, [3]int{2, 0, 0})
	r.pass(2 * time.Hour)
	same(r, "promoted", r.chore(offstage.Promote), 0)
}

func operateRetryCancelled(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
	w.counted(job.interrupted())
	r.wantState(offstage.Cancelled, id)
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	r.chore(offstage.Sweep)
	again := w.takeOne()
	same(r, "cancel asked", again.CancelAsked, false)
	same(r, "cancels", len(w.beat().Cancels), 0)
	w.counted(again.interrupted())
	r.wantState(offstage.Ready, id)
}

func operateRetryRace(r *rig) {
	id, w, _ := r.bring(echo(), offstage.Failed)
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	done := 0
	var group sync.WaitGroup
	for g := range 6 {
		group.Go(func() {
			_, err := stores[g%2].Apply(r.Context(), offstage.Change{Verb: offstage.VerbRetry, Job: id})
			var refused *offstage.StateError
			if err != nil && !errors.As(err, &refused) {
				r.Errorf("retry: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			}
		})
	}
	group.Wait()
	same(r, "retries that took effect", done, 1)
	same(r, "claimed", len(w.claim(pool(5, offstage.DefaultQueue))), 1)
}
