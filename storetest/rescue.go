package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var rescueCases = []Case{
	{"rescue/lost", "A rescue ends the running attempts of a dead worker as lost, started when they were claimed; their jobs are ready, with one more lost and no more errors.", rescueLost},
	{"rescue/gone", "A worker that was taken for dead is told so by its next beat, and is forgotten when it holds nothing.", rescueGone},
	{"rescue/counter unchanged", "A rescue takes the peer for dead if its counter still is what was seen.", rescueUnchanged},
	{"rescue/counter moved", "A rescue of a peer that has beaten since it was seen does nothing.", rescueMoved},
	{"rescue/pages", "A rescue ends up to limit attempts and says whether more are left.", rescuePages},
	{"rescue/poison", "A job that too many workers in a row died of fails, and says why.", rescuePoison},
	{"rescue/suspects", "Of a dead worker's suspects only the run that it had named is lost; the others are handed back at no cost.", rescueSuspects},
	{"rescue/suspects named before", "A run is not blamed because an earlier one of its job was named, or another job was.", rescueNamedBefore},
	{"rescue/suspect when gone", "A worker that was taken for dead can name no suspect.", rescueSuspectGone},
	{"rescue/cancel asked", "A lost job whose cancel was asked for is cancelled.", rescueCancelAsked},
	{"rescue/poison cancelled", "A poison job fails even if its cancel was asked for.", rescuePoisonCancelled},
	{"rescue/many at once", "Many may rescue one worker at once; each attempt is ended once.", rescueMany},
	{"rescue/races results", "Of a result and a rescue that race for one attempt, exactly one takes effect.", rescueRace},
	{"rescue/nobody", "Rescuing a worker that nobody knows does nothing.", rescueNobody},
}

func rescueLost(r *rig) {
	ids := r.insert(echoes(2)...)
	w, other := r.worker(), r.worker()
	first := w.takeOne()
	result := first.interrupted()
	result.Errors = 2
	w.finishAll([]offstage.Result{result}, result.Claim)
	w.take(2)
	claimed := r.get(ids[0]).StartedAt
	r.pass(time.Minute)
	same(r, "rescued", w.die(), 2)
	got := r.history(ids[0], 2)
	same(r, "state", got.State, offstage.Ready)
	same(r, "outcome", got.Outcome, offstage.OutcomeLost)
	same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{2, 2, 1})
	attempt := got.Attempts[1]
	same(r, "attempt's outcome and next", attempt.Outcome.String()+" "+attempt.Next.String(), "lost ready")
	same(r, "attempt's worker", attempt.Worker, w.id)
	sameTime(r, "attempt's start", attempt.StartedAt, claimed)
	if attempt.Error == "" {
		r.Error("a lost attempt says nothing")
	}
	jobs := other.take(2)
	same(r, "claimed", idsOf(jobs), ids)
	same(r, "run, errors, lost", [3]int{jobs[0].Run, jobs[0].Errors, jobs[0].Lost}, [3]int{3, 2, 1})
}

func rescueGone(r *rig) {
	r.insertOne(echo())
	w, other := r.worker(), r.worker()
	w.takeOne()
	w.die()
	if _, err := r.store.Beat(r.Context(), w.id); !errors.Is(err, offstage.ErrGone) {
		r.Errorf("its beat: got %v, want ErrGone", err)
	}
	if _, seen := other.sees(w); seen {
		r.Error("a worker that was rescued to the end is still seen")
	}
	same(r, "held", len(w.holds()), 0)
}

func rescueUnchanged(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.worker()
	w.takeOne()
	w.beat()
	peer, seen := other.sees(w)
	same(r, "seen", seen, true)
	same(r, "dead", peer.Dead, false)
	rescued, more, err := r.store.Rescue(r.Context(), peer, 10)
	r.must(err, "rescue")
	same(r, "rescued", rescued, 1)
	same(r, "more", more, false)
	r.wantState(offstage.Ready, id)
	if _, err := r.store.Beat(r.Context(), w.id); !errors.Is(err, offstage.ErrGone) {
		r.Errorf("its beat: got %v, want ErrGone", err)
	}
}

func rescueMoved(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.worker()
	job := w.takeOne()
	peer, _ := other.sees(w)
	w.beat()
	rescued, more, err := r.store.Rescue(r.Context(), peer, 10)
	r.must(err, "rescue")
	same(r, "rescued", rescued, 0)
	same(r, "more", more, false)
	r.wantState(offstage.Running, id)
	w.beat()
	w.counted(job.completed())
}

func rescuePages(r *rig) {
	ids := r.insert(echoes(10)...)
	w, other := r.worker(), r.worker()
	w.take(3)
	w.take(3)
	w.take(4)
	total := 0
	for calls := 1; ; calls++ {
		rescued, more, err := other.store.Rescue(r.Context(), offstage.Peer{ID: w.id, Dead: true}, 4)
		r.must(err, "rescue")
		if rescued > 4 {
			r.Errorf("one call rescued %d, more than its limit of 4", rescued)
		}
		total += rescued
		if calls == 1 {
			same(r, "more after the first page", more, true)
			if _, err := r.store.Beat(r.Context(), w.id); !errors.Is(err, offstage.ErrGone) {
				r.Errorf("a beat between the pages: got %v, want ErrGone", err)
			}
			peer, seen := other.sees(w)
			same(r, "seen and dead between the pages", [2]bool{seen, peer.Dead}, [2]bool{true, true})
		}
		if !more {
			break
		}
		if calls == 10 {
			r.Fatal("a rescue says for ever that there is more to do")
		}
	}
	same(r, "rescued", total, 10)
	r.wantState(offstage.Ready, ids...)
}

func rescuePoison(r *rig) {
	id := r.insertOne(echo())
	for death := 1; death <= offstage.MaxLost; death++ {
		w := r.worker()
		job := w.takeOne()
		same(r, "lost before", job.Lost, death-1)
		same(r, "rescued", w.dieOf(job), 1)
	}
	got := r.get(id)
	same(r, "state", got.State, offstage.Failed)
	same(r, "outcome", got.Outcome, offstage.OutcomeLost)
	same(r, "attempts", len(got.Attempts), offstage.MaxLost)
	if !strings.Contains(got.Error, "3 workers in a row died") {
		r.Errorf("its error is %q", got.Error)
	}
	second := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	same(r, "claimed", job.ID, second)
	progressed := job.interrupted()
	progressed.Lost = offstage.MaxLost - 1
	w.counted(progressed)
	job = w.takeOne()
	progressed = job.interrupted()
	progressed.Lost = 0 // it made progress
	w.counted(progressed)
	w.takeOne()
	w.die()
	r.wantState(offstage.Ready, second)
}

// suspects inserts jobs that as many workers have died of as make a suspect.
func (r *rig) suspects(n int) []offstage.ID {
	ids := r.insert(echoes(n)...)
	for range offstage.SuspectLost {
		w := r.worker()
		w.take(n)
		w.die()
	}
	return ids
}

func rescueSuspects(r *rig) {
	ids := r.suspects(3)
	w := r.worker()
	jobs := w.take(3)
	w.start(jobs[0])
	w.counted(jobs[0].interrupted())
	w.start(jobs[1])
	same(r, "rescued", w.die(), 2)
	r.wantState(offstage.Failed, ids[1])
	for _, id := range []offstage.ID{ids[0], ids[2]} {
		got := r.get(id)
		same(r, "state", got.State, offstage.Ready)
		same(r, "lost", got.Lost, offstage.SuspectLost)
		last := got.Attempts[len(got.Attempts)-1]
		same(r, "outcome", last.Outcome, offstage.OutcomeInterrupted)
	}
	waited := r.get(ids[2])
	same(r, "start of what only waited", waited.Attempts[len(waited.Attempts)-1].StartedAt.IsZero(), true)
	same(r, "late verdict", w.finish(jobs[2].completed())[0].Kind, offstage.Refused)
}

func rescueNamedBefore(r *rig) {
	ids := r.suspects(2)
	w := r.worker()
	jobs := w.take(2)
	w.start(jobs[1])
	w.start(jobs[0])
	w.finishAll([]offstage.Result{jobs[0].interrupted(), jobs[1].interrupted()}, jobs[0].claim)
	w.take(2)
	same(r, "rescued", w.die(), 2)
	r.wantState(offstage.Ready, ids...)
}

func rescueSuspectGone(r *rig) {
	ids := r.suspects(1)
	w := r.worker()
	job := w.takeOne()
	w.die()
	if err := r.store.Suspect(r.Context(), w.id, job.ID, job.Run); !errors.Is(err, offstage.ErrGone) {
		r.Errorf("got %v, want ErrGone", err)
	}
	r.wantState(offstage.Ready, ids...)
}

func rescueCancelAsked(r *rig) {
	ids := r.insert(echoes(2)...)
	w := r.worker()
	w.take(2)
	same(r, "answer", r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: ids[0]}), offstage.Running)
	same(r, "cancel asked", r.get(ids[0]).CancelAsked, true)
	same(r, "rescued", w.die(), 2)
	got := r.get(ids[0])
	same(r, "state", got.State, offstage.Cancelled)
	same(r, "outcome", got.Outcome, offstage.OutcomeLost)
	r.wantState(offstage.Ready, ids[1])
	same(r, "cancels left", len(r.worker().beat().Cancels), 0)
}

func rescuePoisonCancelled(r *rig) {
	id := r.insertOne(echo())
	for range offstage.MaxLost - 1 {
		w := r.worker()
		w.takeOne()
		w.die()
	}
	w := r.worker()
	job := w.takeOne()
	same(r, "answer", r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id}), offstage.Running)
	same(r, "rescued", w.dieOf(job), 1)
	r.wantState(offstage.Failed, id)
	same(r, "cancels left", len(r.worker().beat().Cancels), 0)
	same(r, "answer", r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id}), offstage.Ready)
	same(r, "claimed with a cancel", r.worker().takeOne().CancelAsked, false)
}

func rescueMany(r *rig) {
	const jobs = 40
	ids := r.insert(echoes(jobs)...)
	w := r.worker()
	w.take(jobs)
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	total := 0
	var group sync.WaitGroup
	for g := range 6 {
		group.Go(func() {
			for more := true; more; {
				rescued, left, err := stores[g%2].Rescue(r.Context(), offstage.Peer{ID: w.id, Dead: true}, 7)
				if err != nil && offstage.ClassOf(err) != offstage.FaultBusy {
					r.Errorf("rescue: %v", err)
					return
				}
				more = left || err != nil
				mu.Lock()
				total += rescued
				mu.Unlock()
			}
		})
	}
	group.Wait()
	same(r, "rescued", total, jobs)
	for _, id := range ids {
		same(r, "attempts", len(r.get(id).Attempts), 1)
	}
	same(r, "claimed", len(r.worker().take(jobs)), jobs)
}

func rescueRace(r *rig) {
	const jobs = 60
	r.insert(echoes(jobs)...)
	w, peer := r.worker(), r.peer()
	taken := w.take(jobs)
	verdicts := map[offstage.ID]offstage.VerdictKind{}
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; i < jobs; i += 3 {
			results := []offstage.Result{taken[i].completed(), taken[i+1].completed(), taken[i+2].completed()}
			got, err := w.store.Finish(r.Context(), offstage.FinishRequest{Worker: w.id, Results: results})
			if err != nil {
				r.Errorf("finish: %v", err)
				return
			}
			for k, v := range got {
				verdicts[results[k].Job] = v.Kind
			}
		}
	})
	rescued := 0
	for more := true; more; {
		n, left, err := peer.Rescue(r.Context(), offstage.Peer{ID: w.id, Dead: true}, 2)
		if err != nil && offstage.ClassOf(err) != offstage.FaultBusy {
			r.Fatalf("rescue: %v", err)
		}
		rescued += n
		more = left || err != nil
	}
	group.Wait()
	counted := 0
	for _, job := range taken {
		want := offstage.Ready
		if verdicts[job.ID] == offstage.Counted {
			want = offstage.Completed
			counted++
		}
		same(r, "state after verdict "+fmt.Sprint(verdicts[job.ID]), r.history(job.ID, 1).State, want)
	}
	same(r, "rescued and counted", rescued+counted, jobs)
}

func rescueNobody(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	w.takeOne()
	rescued, more, err := r.store.Rescue(r.Context(), offstage.Peer{ID: 1 << 40, Dead: true}, 10)
	r.must(err, "rescue")
	same(r, "rescued", rescued, 0)
	same(r, "more", more, false)
	r.pass(time.Minute)
	r.wantState(offstage.Running, id)
}
