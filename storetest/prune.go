package storetest

import (
	"errors"
	"time"

	"github.com/offstagehq/offstage"
)

var pruneCases = []Case{
	{"chore/prune by kind", "Prune forgets ended jobs past the retention of their kind: completed ones and others apart.", pruneByKind},
	{"chore/prune defaults", "Without a retention, completed jobs are kept for 24 hours, failed and cancelled ones for 30 days.", pruneDefaults},
	{"chore/prune not at all", "A negative retention keeps ended jobs not at all.", pruneNotAtAll},
	{"chore/prune leaves the living", "Prune leaves jobs that have not ended, however old.", pruneLiving},
	{"chore/prune open claims", "Prune leaves jobs and attempts that an open claim names.", pruneOpenClaims},
	{"chore/prune pages", "Prune does up to limit rows at once, and in the end all of them.", prunePages},
	{"chore/prune after a retry", "A job that was retried is kept from its last end on.", pruneAfterRetry},
}

// keeper registers a worker whose one kind has a retention.
func (r *rig) keeper(retention offstage.Retention) *worker {
	r.Helper()
	return r.workerOn(r.store, offstage.WorkerInfo{
		Queues: []string{offstage.DefaultQueue}, Kinds: []offstage.Kind{{Name: "echo", Retention: retention}},
	})
}

// endThree ends three new jobs: completed, failed and cancelled.
func (w *worker) endThree() []offstage.ID {
	w.Helper()
	ids := w.insert(echoes(3)...)
	jobs := w.take(3)
	results := []offstage.Result{jobs[0].completed(), jobs[1].failed(), jobs[2].ended(offstage.OutcomeCancelled, offstage.Cancelled)}
	w.finishAll(results, jobs[0].claim)
	return ids
}

// wantKept prunes and checks which of the jobs are left.
func (r *rig) wantKept(when string, ids []offstage.ID, want ...bool) {
	r.Helper()
	r.chore(offstage.Prune)
	kept := make([]bool, len(ids))
	for i, id := range ids {
		_, err := r.store.Get(r.Context(), id)
		if err != nil && !errors.Is(err, offstage.ErrNotFound) {
			r.Fatalf("get: %v", err)
		}
		kept[i] = err == nil
	}
	same(r, when+": completed, failed, cancelled are kept", kept, want)
}

func pruneByKind(r *rig) {
	w := r.keeper(offstage.Retention{Completed: time.Hour, Failed: 3 * time.Hour})
	ids := w.endThree()
	r.wantKept("at once", ids, true, true, true)
	r.pass(59 * time.Minute)
	r.wantKept("after 59 minutes", ids, true, true, true)
	r.pass(2 * time.Minute)
	r.wantKept("after 61 minutes", ids, false, true, true)
	r.pass(2 * time.Hour)
	r.wantKept("after 3 hours", ids, false, false, false)
	page, err := r.store.List(r.Context(), offstage.Filter{State: offstage.Failed})
	r.must(err, "list")
	same(r, "listed", len(page.Jobs), 0)
}

func pruneDefaults(r *rig) {
	ids := r.worker().endThree()
	r.pass(23 * time.Hour)
	r.wantKept("after 23 hours", ids, true, true, true)
	r.pass(2 * time.Hour)
	r.wantKept("after 25 hours", ids, false, true, true)
	r.pass(28 * 24 * time.Hour)
	r.wantKept("after 29 days", ids, false, true, true)
	r.pass(2 * 24 * time.Hour)
	r.wantKept("after 31 days", ids, false, false, false)
}

func pruneNotAtAll(r *rig) {
	ids := r.keeper(offstage.Retention{Completed: -1}).endThree()
	r.pass(time.Second)
	r.wantKept("after a second", ids, false, true, true)
}

func pruneLiving(r *rig) {
	w := r.keeper(offstage.Retention{Completed: time.Second, Failed: time.Second})
	ids := r.insert(echo(), echo(), echo(), echoAfter(10_000*time.Hour))
	jobs := w.take(2)
	w.counted(jobs[0].errored(10_000 * time.Hour))
	r.pass(9_000 * time.Hour)
	r.chore(offstage.Prune)
	r.wantState(offstage.Retrying, ids[0])
	r.wantState(offstage.Running, ids[1])
	r.wantState(offstage.Ready, ids[2])
	r.wantState(offstage.Scheduled, ids[3])
}

func pruneOpenClaims(r *rig) {
	w := r.keeper(offstage.Retention{Completed: time.Second, Failed: time.Second})
	r.insert(echoes(2)...)
	jobs := w.take(2)
	w.counted(jobs[0].completed())
	r.pass(time.Hour)
	r.chore(offstage.Prune)
	same(r, "verdict on a repeat", w.verdictOf(jobs[0].completed()), offstage.Already)
	same(r, "held", w.holds(), []offstage.HeldJob{{Job: jobs[1].ID, Run: 1}})
	w.finishAll([]offstage.Result{jobs[1].completed()}, jobs[0].claim)
	r.pass(time.Hour)
	r.wantKept("after its release", idsOf(jobs), false, false)
}

func prunePages(r *rig) {
	const n = 25
	w := r.keeper(offstage.Retention{Completed: time.Hour})
	kept := r.insertOne(echoAfter(10_000 * time.Hour))
	r.insert(echoes(n)...)
	var results []offstage.Result
	for _, job := range w.take(n) {
		results = append(results, job.completed())
	}
	w.finishAll(results, w.seq)
	r.pass(2 * time.Hour)
	term := w.lead(time.Hour)
	same(r, "pruned", r.rest(term, offstage.Prune, 4), n)
	r.wantState(offstage.Scheduled, kept)
	same(r, "jobs left", r.pages(offstage.Filter{}, nil), []offstage.ID{kept})
}

func pruneAfterRetry(r *rig) {
	w := r.keeper(offstage.Retention{Completed: time.Hour, Failed: time.Hour})
	id := r.insertOne(echo())
	job := w.takeOne()
	w.finishAll([]offstage.Result{job.failed()}, job.claim)
	r.pass(50 * time.Minute)
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	r.pass(50 * time.Minute)
	r.wantKept("while it is ready", []offstage.ID{id}, true)
	w.complete()
	r.pass(50 * time.Minute)
	r.wantKept("50 minutes after its last end", []offstage.ID{id}, true)
	r.pass(20 * time.Minute)
	r.wantKept("70 minutes after its last end", []offstage.ID{id}, false)
}
