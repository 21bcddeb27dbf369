package storetest

import (
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var fenceCases = []Case{
	{"fence/repeat", "A repeat is safe: it changes nothing and says that the result was recorded already.", fenceRepeat},
	{"fence/repeat after release", "A repeat is recognised after its claim was released with it.", fenceRepeatReleased},
	{"fence/another end", "A second, different end of the same run changes nothing.", fenceAnotherEnd},
	{"fence/wrong worker", "A result counts only for the worker that holds the claim.", fenceWrongWorker},
	{"fence/wrong claim", "A result counts only under the claim that names its job and run.", fenceWrongClaim},
	{"fence/never claimed", "A result of a job that nobody claimed is refused; so is that of a job that does not exist.", fenceNeverClaimed},
	{"fence/run before", "A run that has ended stays so while a later run is under way; the later run counts by itself.", fenceRunBefore},
	{"fence/terminal stays terminal", "After an operator's retry, the old claim cannot end the new run.", fenceNewGeneration},
	{"fence/race", "Of many ends of one run that race, exactly one counts.", fenceRace},
}

// verdictOf sends one result and returns what kind of verdict it got.
func (w *worker) verdictOf(result offstage.Result) offstage.VerdictKind {
	w.Helper()
	return w.finish(result)[0].Kind
}

func fenceRepeat(r *rig) {
	ids := r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	results := []offstage.Result{jobs[0].completedWith(`1`), jobs[1].errored(time.Hour)}
	w.counted(results...)
	before := []offstage.Details{r.get(ids[0]), r.get(ids[1])}
	r.pass(time.Minute)
	want := []offstage.Verdict{{Kind: offstage.Already, Next: offstage.Completed}, {Kind: offstage.Already, Next: offstage.Retrying}}
	same(r, "verdicts", w.finish(results...), want)
	same(r, "jobs", []offstage.Details{r.get(ids[0]), r.get(ids[1])}, before)
}

func fenceRepeatReleased(r *rig) {
	r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	results := []offstage.Result{jobs[0].completed(), jobs[1].interrupted()}
	w.finishAll(results, jobs[0].claim)
	for _, v := range w.finishAll(results, jobs[0].claim) {
		same(r, "verdict", v.Kind, offstage.Already)
	}
	same(r, "attempts", len(r.get(jobs[1].ID).Attempts), 1)
	same(r, "claimed as run", w.takeOne().Run, 2)
}

func fenceAnotherEnd(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	w.counted(job.completedWith(`"first"`))
	same(r, "verdict", w.verdictOf(job.failed()), offstage.Already)
	got := r.get(id)
	same(r, "state", got.State, offstage.Completed)
	same(r, "result", string(got.Result), `"first"`)
	same(r, "attempts", len(got.Attempts), 1)
}

func fenceWrongWorker(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.worker()
	job := w.takeOne()
	other.claim(pool(1, "other")) // the other's first claim has the same seq
	same(r, "verdict before the end", other.verdictOf(job.completed()), offstage.Refused)
	r.wantState(offstage.Running, id)
	w.counted(job.errored(time.Hour))
	same(r, "verdict after the end", other.verdictOf(job.completed()), offstage.Refused)
	r.wantState(offstage.Retrying, id)
	same(r, "attempts", len(r.get(id).Attempts), 1)
}

func fenceWrongClaim(r *rig) {
	r.insert(echoes(2)...)
	w := r.worker()
	first, second := w.takeOne(), w.takeOne()
	crossed := second.completed()
	crossed.Claim = first.claim
	same(r, "verdict under another open claim", w.verdictOf(crossed), offstage.Refused)
	nextRun := first.completed()
	nextRun.Run = 2
	same(r, "verdict on a run that was not claimed", w.verdictOf(nextRun), offstage.Refused)
	unknown := first.completed()
	unknown.Claim = 999
	same(r, "verdict under no claim", w.verdictOf(unknown), offstage.Refused)
	r.wantState(offstage.Running, first.ID, second.ID)
	same(r, "held", len(w.holds()), 2)
}

func fenceNeverClaimed(r *rig) {
	ids := r.insert(echoes(2)...)
	w := r.worker()
	job := w.takeOne()
	other := job.completed()
	other.Job = ids[1]
	same(r, "verdict on a ready job", w.verdictOf(other), offstage.Refused)
	r.wantState(offstage.Ready, ids[1])
	other.Job = 1 << 40
	same(r, "verdict on no job", w.verdictOf(other), offstage.Refused)
}

func fenceRunBefore(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	first := w.takeOne()
	w.counted(first.interrupted())
	second := w.takeOne()
	same(r, "run", second.Run, 2)
	same(r, "verdict on the first run", w.verdictOf(first.completed()), offstage.Already)
	r.wantState(offstage.Running, id)
	w.counted(second.completed())
	r.wantState(offstage.Completed, id)
}

func fenceNewGeneration(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.worker()
	first := w.takeOne()
	w.counted(first.failed())
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	second := other.takeOne()
	same(r, "run", second.Run, 2)
	zombie := first.completed()
	zombie.Run = 2
	same(r, "verdict on the new run by the old claim", w.verdictOf(zombie), offstage.Refused)
	same(r, "verdict on the old run", w.verdictOf(first.failed()), offstage.Already)
	r.wantState(offstage.Running, id)
	other.counted(second.completed())
	got := r.get(id)
	same(r, "state", got.State, offstage.Completed)
	same(r, "attempts", len(got.Attempts), 2)
	same(r, "error", got.Error, "")
}

func fenceRace(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	kinds := map[offstage.VerdictKind]int{}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			verdicts, err := stores[g%2].Finish(r.Context(), offstage.FinishRequest{Worker: w.id, Results: []offstage.Result{job.errored(time.Hour)}})
			if err != nil {
				r.Errorf("finish: %v", err)
				return
			}
			mu.Lock()
			kinds[verdicts[0].Kind]++
			mu.Unlock()
		})
	}
	group.Wait()
	same(r, "verdicts", kinds, map[offstage.VerdictKind]int{offstage.Counted: 1, offstage.Already: 7})
	same(r, "attempts", len(r.get(id).Attempts), 1)
}
