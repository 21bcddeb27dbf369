package storetest

import (
	"time"

	"github.com/offstagehq/offstage"
)

var choreCases = []Case{
	{"chore/promote by time", "Promote makes jobs ready in the order of their times, none before, up to limit, and says whether there is more.", promoteOrder},
	{"chore/promote next", "Promote answers how long until there will be something to do, as far as it knows.", promoteNext},
	{"chore/promote nothing", "Promote with nothing to do changes nothing.", promoteNothing},
	{"chore/unblock", "Unblock makes jobs ready whose kind has a live handler and is not paused, and no others.", unblockHandled},
	{"chore/unblock after a death", "The handlers of a worker that died do not count.", unblockDeadHandler},
}

func promoteOrder(r *rig) {
	var jobs []offstage.NewJob
	for _, minutes := range []int{4, 1, 5, 2, 3} {
		jobs = append(jobs, echoAfter(time.Duration(minutes)*time.Minute))
	}
	jobs = append(jobs, echoAfter(10*time.Minute+time.Second))
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
	able.halfDie()
	w.counted(taken.blocked(offstage.WaitsKindUnknown))
	same(r, "unblocked", r.chore(offstage.Unblock), 0)
	r.wantState(offstage.Blocked, id)
}
