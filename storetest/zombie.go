package storetest

import (
	"github.com/offstagehq/offstage"
)

var zombieCases = []Case{
	{"rescue/zombie after", "A result that comes after its claim was rescued is refused.", rescueZombieAfter},
	{"rescue/zombie before", "A result that comes before the rescue counts, and the rescue leaves that job alone.", rescueZombieBefore},
	{"rescue/zombie between", "Between two pages of a rescue, a result counts if its attempt has not been ended yet.", rescueZombieBetween},
}

func rescueZombieAfter(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.worker()
	job := w.takeOne()
	w.die()
	same(r, "verdict while the job is ready", w.verdictOf(job.completed()), offstage.Refused)
	r.wantState(offstage.Ready, id)
	again := other.takeOne()
	same(r, "verdict while it runs again", w.verdictOf(job.completed()), offstage.Refused)
	r.wantState(offstage.Running, id)
	other.counted(again.completedWith(`"second"`))
	same(r, "verdict after its end", w.verdictOf(job.completedWith(`"first"`)), offstage.Refused)
	got := r.get(id)
	same(r, "result", string(got.Result), `"second"`)
	same(r, "attempts", len(got.Attempts), 2)
}

func rescueZombieBefore(r *rig) {
	ids := r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	w.counted(jobs[0].completed())
	same(r, "rescued", w.die(), 1)
	r.wantState(offstage.Completed, ids[0])
	r.wantState(offstage.Ready, ids[1])
	same(r, "attempts", len(r.get(ids[0]).Attempts), 1)
}

func rescueZombieBetween(r *rig) {
	r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	peer := offstage.Peer{ID: w.id, Dead: true}
	rescued, more, err := r.store.Rescue(r.Context(), peer, 1)
	r.must(err, "rescue")
	same(r, "rescued", rescued, 1)
	same(r, "more", more, true)
	left := jobs[0]
	if r.get(left.ID).State != offstage.Running {
		left = jobs[1]
	}
	same(r, "verdict", w.verdictOf(left.completed()), offstage.Counted)
	same(r, "rescued then", w.die(), 0)
	r.wantState(offstage.Completed, left.ID)
}
