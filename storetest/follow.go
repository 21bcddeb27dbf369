package storetest

import (
	"time"

	"github.com/offstagehq/offstage"
)

var followCases = []Case{
	{"follow/waits", "A follower is blocked until its job has ended, and knows whom it follows.", followWaits},
	{"follow/however it ends", "A follower is ready when its job has completed, failed, been cancelled or is deleted.", followEnds},
	{"follow/once", "A result that is sent twice makes a follower ready once.", followOnce},
	{"follow/request", "A repeated request makes no second follower.", followRequest},
	{"follow/in a transaction", "A job that completes in its handler's transaction lets its follower go with the commit.", followWithin},
}

// followed is echo with a follower of kind echo in queue "after".
func followed() offstage.NewJob {
	job, then := echo(), echoIn("after", 5)
	then.Metadata = map[string]string{"own": "note"}
	job.Then = &then
	return job
}

// chain enqueues a job with a follower and returns both.
func (r *rig) chain() (job, then offstage.ID) {
	r.Helper()
	job = r.flow(followed()).ID
	page, err := r.store.List(r.Context(), offstage.Filter{Queue: "after"})
	r.must(err, "list")
	if len(page.Jobs) == 0 {
		r.Fatal("there is no follower")
	}
	return job, page.Jobs[0].ID
}

func followWaits(r *rig) {
	job, then := r.chain()
	got := r.get(then)
	same(r, "state", got.State, offstage.Blocked)
	same(r, "whom it follows", offstage.Followed(got.Facts), job)
	same(r, "its own metadata", got.Metadata["own"], "note")
	same(r, "whom the job follows", offstage.Followed(r.get(job).Facts), 0)
	w := r.worker()
	same(r, "claimed of the follower's queue", len(w.claim(pool(5, "after"))), 0)
	running := w.takeOne()
	w.counted(running.errored(time.Minute))
	r.wantState(offstage.Blocked, then)
	r.pass(time.Minute)
	r.chore(offstage.Promote)
	w.counted(w.takeOne().completed())
	same(r, "claimed when the job has completed", idsOf(w.claim(pool(5, "after"))), []offstage.ID{then})
}

func followEnds(r *rig) {
	for name, end := range map[string]func(w *worker, job offstage.ID){
		"failed":    func(w *worker, _ offstage.ID) { w.counted(w.takeOne().failed()) },
		"cancelled": func(_ *worker, job offstage.ID) { r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: job}) },
		"deleted":   func(_ *worker, job offstage.ID) { r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: job}) },
		"poison": func(*worker, offstage.ID) {
			for range offstage.MaxLost {
				dying := r.worker()
				dying.dieOf(dying.takeOne())
			}
		},
	} {
		job, then := r.chain()
		w := r.worker()
		end(w, job)
		if got := r.get(then).State; got != offstage.Ready {
			r.Errorf("when its job was %s, the follower is %s", name, got)
		}
		next := w.claim(pool(1, "after"))
		w.counted(next[0].completed())
	}
}

func followOnce(r *rig) {
	_, then := r.chain()
	w := r.worker()
	result := w.takeOne().completed()
	w.counted(result)
	next := w.claim(pool(5, "after"))
	same(r, "claimed", idsOf(next), []offstage.ID{then})
	same(r, "verdict on the repeat", w.finish(result)[0].Kind, offstage.Already)
	same(r, "claimed after the repeat", len(w.claim(pool(5, "after"))), 0)
	w.counted(next[0].completed())
	same(r, "jobs", r.jobs(), 2)
}

func followRequest(r *rig) {
	job := followed()
	job.Request = requested("key", "print").Request
	first := r.flow(job)
	same(r, "repeat", r.flow(job).ID, first.ID)
	same(r, "jobs", r.jobs(), 2)
}

func followWithin(r *rig) {
	t := r.begin()
	_, err := t.store.InsertFlow(r.Context(), followed())
	r.must(err, "insert a flow in a transaction")
	r.must(t.commit(), "commit")
	w := r.worker()
	result := w.takeOne().completed()
	t = r.begin()
	r.must(t.store.Complete(r.Context(), w.id, result), "complete in a transaction")
	r.must(t.rollback(), "roll back")
	same(r, "claimed after a rollback", len(w.claim(pool(5, "after"))), 0)
	t = r.begin()
	r.must(t.store.Complete(r.Context(), w.id, result), "complete in a transaction")
	r.must(t.commit(), "commit")
	same(r, "claimed after the commit", len(w.claim(pool(5, "after"))), 1)
}
