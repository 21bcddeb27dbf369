package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

var choreCases = []Case{
	{"chore/promote by time", "Promote makes jobs ready in the order of their times, up to limit, and says whether there is more.", promoteOrder},
	{"chore/promote next", "Promote answers how long until there will be something to do, as far as it knows.", promoteNext},
	{"chore/promote nothing", "Promote with nothing to do changes nothing.", promoteNothing},
	{"chore/unblock", "Unblock makes jobs ready whose kind has a live handler and is not paused, and no others.", unblockHandled},
	{"chore/unblock after a death", "The handlers of a worker that died do not count.", unblockDeadHandler},
	{"chore/prune by kind", "Prune forgets ended jobs past the retention of their kind: completed ones and others apart.", pruneByKind},
	{"chore/prune defaults", "Without a retention, completed jobs are kept for 24 hours, failed and cancelled ones for 30 days.", pruneDefaults},
	{"chore/prune not at all", "A negative retention keeps ended jobs not at all.", pruneNotAtAll},
	{"chore/prune leaves the living", "Prune leaves jobs that have not ended, however old.", pruneLiving},
	{"chore/prune open claims", "Prune leaves jobs and attempts that an open claim names.", pruneOpenClaims},
	{"chore/prune pages", "Prune does up to limit rows at once, and in the end all of them.", prunePages},
	{"chore/prune after a retry", "A job that was retried is kept from its last end on.", pruneAfterRetry},
}

func promoteOrder(r *rig) {
	var jobs []offstage.NewJob
	for _, minutes := range []int{4, 1, 5, 2, 3, 90} {
		jobs = append(jobs, echoAfter(time.Duration(minutes)*time.Minute))
	}
	ids := r.insert(jobs...)
	term := r.worker().lead(24 * time.Hour)
	r.pass(10 * time.Minute)
	report, err := r.store.Chore(r.Context(), term, offstage.Promote, 3)
	r.must(err, "promote")
	same(r, "promoted at first", report.Done, 3)
	same(r, "more", report.More, true)
	r.wantState(offstage.Ready, ids[1], ids[3], ids[4])
	r.wantState(offstage.Scheduled, ids[0], ids[2], ids[5])
	same(r, "promoted then", r.rest(term, offstage.Promote, 3), 2)
	r.wantState(offstage.Scheduled, ids[5])
	want := []offstage.ID{ids[1], ids[3], ids[4], ids[0], ids[2]}
	same(r, "order", idsOf(r.worker().take(5)), want)
}

// rest does what is left of a chore, in pages, and returns how much it was.
func (r *rig) rest(term int64, chore offstage.Chore, limit int) int {
	r.Helper()
	done := 0
	for range 1000 {
		report, err := r.store.Chore(r.Context(), term, chore, limit)
		r.must(err, chore.String())
		if report.Done > limit {
			r.Errorf("%s did %d rows, more than its limit of %d", chore, report.Done, limit)
		}
		if done += report.Done; !report.More {
			return done
		}
	}
	r.Fatalf("%s says for ever that there is more to do", chore)
	return 0
}

func promoteNext(r *rig) {
	r.insert(echoAfter(time.Minute), echoAfter(time.Hour))
	term := r.worker().lead(24 * time.Hour)
	for _, most := range []time.Duration{time.Minute, 59 * time.Minute} {
		report, err := r.store.Chore(r.Context(), term, offstage.Promote, 10)
		r.must(err, "promote")
		if report.Next < 0 || report.Next > most {
			r.Errorf("something to do in %s: the next job is due in at most %s", report.Next, most)
		}
		r.pass(time.Minute)
	}
}

func promoteNothing(r *rig) {
	id := r.insertOne(echo())
	same(r, "promoted", r.chore(offstage.Promote), 0)
	same(r, "claimed", r.worker().takeOne().ID, id)
}

func unblockHandled(r *rig) {
	kinds := []string{"known", "paused", "unknown"}
	var jobs []offstage.NewJob
	for _, kind := range kinds {
		job := echo()
		job.Kind = kind
		jobs = append(jobs, job)
	}
	ids := r.insert(jobs...)
	w := r.worker()
	taken := w.take(3)
	r.workerOn(r.peer(), offstage.WorkerInfo{Kinds: []offstage.Kind{{Name: "known"}, {Name: "paused"}}})
	r.pause(offstage.PauseTarget{Kind: "paused"}, true)
	for _, job := range taken { // they come to wait after the handlers came
		w.counted(job.blocked(offstage.WaitsKindUnknown))
	}
	same(r, "unblocked", r.chore(offstage.Unblock), 1)
	r.wantState(offstage.Ready, ids[0])
	r.wantState(offstage.Blocked, ids[1], ids[2])
	same(r, "claimed as run", w.takeOne().Run, 2)
}

func unblockDeadHandler(r *rig) {
	job := echo()
	job.Kind = "known"
	id := r.insertOne(job)
	w := r.worker()
	taken := w.takeOne()
	able := r.workerOn(r.store, offstage.WorkerInfo{Kinds: []offstage.Kind{{Name: "known"}}})
	able.die()
	w.counted(taken.blocked(offstage.WaitsKindUnknown))
	same(r, "unblocked", r.chore(offstage.Unblock), 0)
	r.wantState(offstage.Blocked, id)
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
	ids := r.insert(echoes(n)...)
	var results []offstage.Result
	for _, job := range w.take(n) {
		results = append(results, job.completed())
	}
	w.finishAll(results, w.seq)
	r.pass(2 * time.Hour)
	term := w.lead(time.Hour)
	same(r, "pruned", r.rest(term, offstage.Prune, 4), n)
	r.wantState(offstage.Scheduled, kept)
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs left", len(page.Jobs), 1)
	if slices.Contains(ids, page.Jobs[0].ID) {
		r.Error("a job that was pruned is listed")
	}
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
