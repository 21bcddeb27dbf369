package storetest

import (
	"time"

	"github.com/offstagehq/offstage"
)

var heldCases = []Case{
	{"fence/ended", "Ended says whether this run of the job has a recorded end.", fenceEnded},
	{"fence/held", "Claims lists the jobs of the worker's claim rows whose run has no recorded end, with their counters.", fenceHeld},
	{"fence/old claim", "A claim older than a minute, part of which has ended, still holds the rest and recognises repeats.", fenceOldClaim},
	{"fence/deleted job", "An ended job that was deleted while its claim is open is not held, not rescued, and its result's repeat is recognised.", fenceDeleted},
}

func fenceEnded(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	ended := func(run int) bool {
		r.Helper()
		is, err := r.store.Ended(r.Context(), id, run)
		r.must(err, "ended")
		return is
	}
	same(r, "before the claim", ended(1), false)
	job := w.takeOne()
	same(r, "while it runs", ended(1), false)
	w.counted(job.interrupted())
	same(r, "after its end", ended(1), true)
	same(r, "the next run", ended(2), false)
	is, err := r.store.Ended(r.Context(), 1<<40, 1)
	r.must(err, "ended")
	same(r, "no job", is, false)
}

func fenceHeld(r *rig) {
	ids := r.insert(echoes(4)...)
	w := r.worker()
	result := w.takeOne().interrupted()
	result.Errors, result.Lost = 3, 1
	w.finishAll([]offstage.Result{result}, result.Claim)
	jobs := w.take(3)
	w.takeOne()
	w.counted(jobs[1].completed())
	same(r, "held", w.holds(), []offstage.HeldJob{
		{Job: ids[0], Run: 2, Errors: 3, Lost: 1}, {Job: ids[2], Run: 1}, {Job: ids[3], Run: 1},
	})
	claims, err := r.store.Claims(r.Context(), w.id)
	r.must(err, "claims")
	bySeq := map[int64]int{}
	for _, claim := range claims {
		bySeq[claim.Seq] = len(claim.Jobs)
	}
	same(r, "held by claim", bySeq, map[int64]int{2: 2, 3: 1})
}

func fenceOldClaim(r *rig) {
	r.insert(echoes(4)...)
	w := r.worker()
	jobs := w.take(4)
	w.counted(jobs[0].completed())
	r.pass(2 * time.Minute)
	w.counted(jobs[1].completed())
	for _, job := range jobs[:2] {
		same(r, "verdict on a repeat", w.verdictOf(job.completed()), offstage.Already)
	}
	same(r, "held", w.holds(), []offstage.HeldJob{{Job: jobs[2].ID, Run: 1}, {Job: jobs[3].ID, Run: 1}})
	same(r, "claim rows", w.beat().Held, []int64{jobs[0].claim})
	w.counted(jobs[2].completed(), jobs[3].completed())
	same(r, "held at last", len(w.holds()), 0)
}

func fenceDeleted(r *rig) {
	r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	w.counted(jobs[0].completed())
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: jobs[0].ID})
	r.chore(offstage.Prune)
	same(r, "held", w.holds(), []offstage.HeldJob{{Job: jobs[1].ID, Run: 1}})
	same(r, "verdict on a repeat", w.verdictOf(jobs[0].completed()), offstage.Already)
	same(r, "rescued", w.die(), 1)
}
