package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var operateCases = []Case{
	{"operate/verbs and states", "Apply answers the state afterwards, or a StateError where the state does not allow the verb, which then changes nothing.", operateTable},
	{"operate/no such job", "Apply to a job that does not exist is ErrNotFound.", operateNotFound},
	{"operate/cancel waiting", "A waiting job that was cancelled never starts; its history says that it was called off.", operateCancelWaiting},
	{"operate/cancel running", "Cancelling a running job asks for it, as often as one likes, and answers Running.", operateCancelRunning},
	{"operate/cancel race", "A job whose cancel was acknowledged ends cancelled, whatever it was doing.", operateCancelRace},
	{"operate/retry ended", "A retry makes an ended job ready in front, its counters at zero, its history kept, its next run a new one.", operateRetryEnded},
	{"operate/retry retrying", "A retry lets a retrying job not wait, its counters at zero.", operateRetryRetrying},
	{"operate/retry after cancel", "A cancelled job that is retried is not cancelled again.", operateRetryCancelled},
	{"operate/retry race", "Of many retries of one job at once, one takes effect.", operateRetryRace},
	{"operate/delete", "A deleted job is gone, with its history; its key is free.", operateDelete},
	{"operate/run now", "Run now makes a job ready and puts it in front of those of its priority.", operateRunNow},
	{"operate/reschedule", "Reschedule makes a waiting job due at a time, or after a delay from the store's now.", operateReschedule},
	{"operate/prioritize", "Reprioritize moves a waiting job among the others; one that waits for its time takes the priority along.", operatePrioritize},
}

// verdicts of the table: what a verb makes of a state. 0: it is not allowed.
var verbTable = map[offstage.Verb]map[offstage.State]offstage.State{
	offstage.VerbCancel: {
		offstage.Scheduled: offstage.Cancelled, offstage.Ready: offstage.Cancelled, offstage.Running: offstage.Running,
		offstage.Retrying: offstage.Cancelled, offstage.Blocked: offstage.Cancelled, offstage.Cancelled: offstage.Cancelled,
	},
	offstage.VerbRetry: {
		offstage.Retrying: offstage.Ready, offstage.Completed: offstage.Ready, offstage.Failed: offstage.Ready, offstage.Cancelled: offstage.Ready,
	},
	offstage.VerbRunNow: {
		offstage.Scheduled: offstage.Ready, offstage.Ready: offstage.Ready, offstage.Retrying: offstage.Ready,
	},
	offstage.VerbReschedule: {
		offstage.Scheduled: offstage.Scheduled, offstage.Ready: offstage.Scheduled, offstage.Retrying: offstage.Retrying,
	},
	offstage.VerbPrioritize: {
		offstage.Scheduled: offstage.Scheduled, offstage.Ready: offstage.Ready, offstage.Retrying: offstage.Retrying, offstage.Blocked: offstage.Blocked,
	},
	offstage.VerbDelete: { // answers no state in particular
		offstage.Scheduled: offstage.Scheduled, offstage.Ready: offstage.Ready, offstage.Retrying: offstage.Retrying, offstage.Blocked: offstage.Blocked,
		offstage.Completed: offstage.Completed, offstage.Failed: offstage.Failed, offstage.Cancelled: offstage.Cancelled,
	},
}

func operateTable(r *rig) {
	for verb, becomes := range verbTable {
		for _, state := range offstage.States() {
			id, _, _ := r.bring(echoIn(strings.ReplaceAll(string(verb), " ", "-")+"-"+state.String(), 5), state)
			before := r.get(id)
			got, err := r.store.Apply(r.Context(), offstage.Change{Verb: verb, Job: id, Delay: time.Hour, Priority: 1})
			want, what := becomes[state], string(verb)+" a "+state.String()+" job"
			var refused *offstage.StateError
			switch {
			case want == 0:
				if !errors.As(err, &refused) {
					r.Errorf("%s: got %v, %v, want a StateError", what, got, err)
					continue
				}
				same(r, what+": error", [3]any{refused.ID, refused.State, refused.Verb}, [3]any{id, state, verb})
				same(r, what+": job", r.get(id), before)
			case err != nil:
				r.Errorf("%s: %v", what, err)
			case verb == offstage.VerbDelete:
				if _, err := r.store.Get(r.Context(), id); !errors.Is(err, offstage.ErrNotFound) {
					r.Errorf("%s: got %v, want ErrNotFound afterwards", what, err)
				}
			default:
				same(r, what+": answer", got, want)
				r.wantState(want, id)
			}
		}
	}
}

func operateNotFound(r *rig) {
	for verb := range verbTable {
		_, err := r.store.Apply(r.Context(), offstage.Change{Verb: verb, Job: 1 << 40})
		if !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("%s: got %v, want ErrNotFound", verb, err)
		}
	}
}

func operateCancelWaiting(r *rig) {
	for _, state := range waitingStates {
		id, w, _ := r.bring(echoIn("in-"+state.String(), 5), state)
		before := len(r.get(id).Attempts)
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		got := r.get(id)
		same(r, "outcome", got.Outcome, offstage.OutcomeCancelled)
		same(r, "waits", got.Waits, "")
		if len(got.Attempts) != before+1 {
			r.Fatalf("%s: %d attempts, want %d", state, len(got.Attempts), before+1)
		}
		last := got.Attempts[before]
		same(r, "attempt", []any{last.Outcome, last.Next, last.Worker, last.StartedAt.IsZero(), last.FinishedAt.IsZero()},
			[]any{offstage.OutcomeCancelled, offstage.Cancelled, offstage.WorkerID(0), true, false})
		r.pass(2 * time.Hour)
		r.chore(offstage.Promote)
		r.workerOn(r.store, offstage.WorkerInfo{Kinds: []offstage.Kind{{Name: "unheard_of"}}})
		same(r, "claimed", len(w.claim(pool(5, "in-"+state.String()))), 0)
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		same(r, "attempts after it was cancelled again", len(r.get(id).Attempts), before+1)
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

func operateRetryEnded(r *rig) {
	for _, state := range endedStates {
		id, w, _ := r.bring(echo(), state)
		older := r.insertOne(echo())
		same(r, "answer", r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id}), offstage.Ready)
		got := r.get(id)
		same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{1, 0, 0})
		same(r, "attempts", len(got.Attempts), 1)
		jobs := w.take(2)
		same(r, "order", idsOf(jobs), []offstage.ID{id, older})
		same(r, "run, errors, lost", [3]int{jobs[0].Run, jobs[0].Errors, jobs[0].Lost}, [3]int{2, 0, 0})
		w.counted(jobs[0].completed(), jobs[1].completed())
		r.wantState(offstage.Completed, id)
		ended, err := r.store.EndedOf(r.Context(), []offstage.ID{id})
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

func operateDelete(r *rig) {
	for _, state := range slices.Concat(waitingStates, endedStates) {
		job := uniqueEcho(offstage.Skip, state.String())
		id, w, _ := r.bring(job, state)
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: id})
		_, err := r.store.LoadArgs(r.Context(), id)
		if !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("%s: load args: got %v, want ErrNotFound", state, err)
		}
		ended, err := r.store.EndedOf(r.Context(), []offstage.ID{id})
		r.must(err, "ended of")
		same(r, "ended of", ended, []offstage.Ended{{ID: id}})
		r.pass(2 * time.Hour)
		r.chore(offstage.Promote)
		for _, job := range w.claim(pool(5, offstage.DefaultQueue)) {
			same(r, "a claimed job is missing", job.Missing, true)
		}
		again := r.insertOne(job) // not the one that existed
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: again})
	}
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs listed", len(page.Jobs), 0)
}

func operateRunNow(r *rig) {
	ids := r.insert(echo(), echoAfter(time.Hour), echo(), echoIn(offstage.DefaultQueue, 4))
	r.apply(offstage.Change{Verb: offstage.VerbRunNow, Job: ids[1]})
	r.apply(offstage.Change{Verb: offstage.VerbRunNow, Job: ids[2]})
	w := r.worker()
	same(r, "order", idsOf(w.take(4)), []offstage.ID{ids[3], ids[1], ids[2], ids[0]})
	r.pass(2 * time.Hour)
	same(r, "promoted", r.chore(offstage.Promote), 0)
}

func operateReschedule(r *rig) {
	ids := r.insert(echo(), echoAfter(time.Hour), echoAfter(time.Hour))
	now := r.get(ids[0]).CreatedAt
	r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: ids[0], RunAt: now.Add(3 * time.Hour)})
	r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: ids[1], Delay: 2 * time.Hour})
	same(r, "answer for a time that has passed",
		r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: ids[2], RunAt: now.Add(-time.Hour)}), offstage.Ready)
	sameTime(r, "run at", r.get(ids[0]).RunAt, now.Add(3*time.Hour))
	w := r.worker()
	same(r, "claimed at once", idsOf(w.claim(pool(5, offstage.DefaultQueue))), ids[2:])
	r.pass(61 * time.Minute)
	same(r, "promoted after an hour", r.chore(offstage.Promote), 0)
	r.pass(time.Hour)
	same(r, "promoted after two", r.chore(offstage.Promote), 1)
	same(r, "claimed after two", idsOf(w.claim(pool(5, offstage.DefaultQueue))), ids[1:2])
	r.pass(time.Hour)
	same(r, "promoted after three", r.chore(offstage.Promote), 1)
	same(r, "claimed after three", idsOf(w.claim(pool(5, offstage.DefaultQueue))), ids[:1])
}

func operatePrioritize(r *rig) {
	ids := r.insert(echo(), echo(), echoAfter(time.Hour))
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[1], Priority: 1})
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[2], Priority: 0})
	same(r, "priority", r.get(ids[1]).Priority, 1)
	r.pass(time.Hour)
	r.chore(offstage.Promote)
	jobs := r.worker().take(3)
	same(r, "order", idsOf(jobs), []offstage.ID{ids[2], ids[1], ids[0]})
	same(r, "claimed priority", jobs[0].Priority, 0)
}

// refused makes a change that must be answered by a StateError.
func (r *rig) refused(change offstage.Change) *offstage.StateError {
	r.Helper()
	state, err := r.store.Apply(r.Context(), change)
	var refused *offstage.StateError
	if !errors.As(err, &refused) {
		r.Fatalf("%s: got %v, %v, want a StateError", change.Verb, state, err)
	}
	return refused
}
