package storetest

import (
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var cancelCases = []Case{
	{"operate/cancel waiting", "A waiting job that was cancelled never starts; its history says that it was called off.", operateCancelWaiting},
	{"operate/cancel running", "Cancelling a running job asks for it, as often as one likes, and answers Running.", operateCancelRunning},
	{"operate/cancel race", "A job whose cancel was acknowledged ends cancelled, whatever it was doing.", operateCancelRace},
}

func operateCancelWaiting(r *rig) {
	for _, state := range waitingStates {
		id, w, _ := r.bring(echoIn("in-"+state.String(), 5), state)
		before := len(r.get(id).Attempts)
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		got := r.history(id, before+1)
		same(r, "outcome", got.Outcome, offstage.OutcomeCancelled)
		same(r, "waits", got.Waits, "")
		last := got.Attempts[before]
		same(r, "attempt", []any{last.Run, last.Outcome, last.Next, last.Worker, last.StartedAt.IsZero(), last.FinishedAt.IsZero()},
			[]any{before + 1, offstage.OutcomeCancelled, offstage.Cancelled, offstage.WorkerID(0), true, false})
		r.pass(2 * time.Hour)
		r.chore(offstage.Promote)
		r.workerOn(r.store, offstage.WorkerInfo{Kinds: []offstage.Kind{{Name: "unheard_of"}}})
		same(r, "claimed", len(w.claim(pool(5, "in-"+state.String()))), 0)
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		same(r, "attempts after it was cancelled again", len(r.get(id).Attempts), before+1)
		r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
		same(r, "run after a retry", w.takeFrom(1, "in-"+state.String())[0].Run, before+2)
	}
}

func operateCancelRunning(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	for range 2 {
		same(r, "answer", r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id}), offstage.Running)
		got := r.get(id)
		same(r, "state", got.State, offstage.Running)
		same(r, "cancel asked", got.CancelAsked, true)
	}
	same(r, "cancels", w.beat().Cancels, []offstage.ID{id})
	r.chore(offstage.Sweep)
	same(r, "cancels after a sweep", w.beat().Cancels, []offstage.ID{id})
	w.counted(job.ended(offstage.OutcomeCancelled, offstage.Cancelled))
	r.wantState(offstage.Cancelled, id)
}

func operateCancelRace(r *rig) {
	const n = 60
	ids := r.insert(echoes(n)...)
	stores := []offstage.Store{r.store, r.peer()}
	over := make(chan struct{})
	var cancellers, workers sync.WaitGroup
	for g := range 2 {
		cancellers.Go(func() {
			for i := g; i < n; i += 2 {
				if _, err := stores[g].Apply(r.Context(), offstage.Change{Verb: offstage.VerbCancel, Job: ids[i]}); err != nil {
					r.Errorf("cancel: %v", err)
				}
			}
		})
		w := r.workerOn(stores[1-g], offstage.WorkerInfo{})
		workers.Go(func() { w.handBackUntil(over) })
	}
	cancellers.Wait()
	close(over)
	workers.Wait()
	r.chore(offstage.Sweep)
	r.wantState(offstage.Cancelled, ids...)
	same(r, "claimed", len(r.worker().claim(pool(n, offstage.DefaultQueue))), 0)
}

// handBackUntil claims jobs and hands them back, and when over has been closed
// goes on until there are none. It may run beside the case's goroutine.
func (w *worker) handBackUntil(over chan struct{}) {
	for sweep := false; ; {
		last := false
		select {
		case <-over:
			last = true
		default:
		}
		w.seq++
		claim, err := w.store.Claim(w.Context(), offstage.ClaimRequest{
			Worker: w.id, Seq: w.seq, Pools: []offstage.PoolRequest{pool(5, offstage.DefaultQueue)}, Sweep: sweep,
		})
		if err != nil {
			w.Errorf("claim: %v", err)
			return
		}
		if last && sweep && len(claim.Jobs) == 0 {
			return
		}
		sweep = last
		w.breathe()
		req := offstage.FinishRequest{Worker: w.id, Release: []int64{w.seq}}
		for _, job := range claim.Jobs {
			result := taken{job, w.seq}.interrupted()
			if job.CancelAsked {
				result.Outcome, result.Next = offstage.OutcomeCancelled, offstage.Cancelled
			}
			req.Results = append(req.Results, result)
		}
		if _, err := w.store.Finish(w.Context(), req); err != nil {
			w.Errorf("finish: %v", err)
			return
		}
	}
}
