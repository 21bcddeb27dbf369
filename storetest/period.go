package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

var periodCases = []Case{
	{"unique/period", "A key is held for its period after the enqueue though the job ends sooner: every mode then enqueues nothing and returns the job that ended.", uniquePeriod},
	{"unique/period over before the end", "A key is held until its holder ends though its period is over.", uniquePeriodOver},
	{"unique/period outlives pruning", "Pruning the job does not free the key before its period is over.", uniquePeriodPruned},
	{"unique/retry takes the key", "An operator's retry takes the key again.", uniqueRetryTakes},
	{"unique/retry refused", "An operator's retry is refused while another job holds the key, and names it.", uniqueRetryRefused},
}

func uniquePeriod(r *rig) {
	for _, mode := range []offstage.UniqueMode{offstage.Skip, offstage.Replace, offstage.Debounce, offstage.KeepLast} {
		job := uniqueEcho(mode, mode.String())
		job.Unique.Period = time.Hour
		id := r.insertOne(job)
		if mode == offstage.Debounce {
			r.pass(10 * time.Second)
			r.chore(offstage.Promote)
		}
		w := r.worker()
		same(r, "completed", w.complete(), id)
		before := r.jobs()
		for range 2 {
			same(r, mode.String()+" in its period", r.enqueue(withArgs(job, `"new"`)), offstage.Inserted{ID: id, Existed: true})
		}
		same(r, "args", string(r.get(id).Args), `{}`)
		same(r, "jobs", r.jobs(), before)
		r.wantState(offstage.Completed, id)
		r.pass(time.Hour)
		next := r.insertOne(job)
		same(r, "holder after its period", r.enqueue(uniqueEcho(offstage.Skip, mode.String())), offstage.Inserted{ID: next, Existed: true})
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: next})
	}
}

func uniquePeriodOver(r *rig) {
	job := uniqueEcho(offstage.Skip, "key")
	job.Unique.Period = time.Minute
	id := r.insertOne(job)
	r.pass(time.Hour)
	r.chore(offstage.Prune)
	same(r, "holder", r.enqueue(job), offstage.Inserted{ID: id, Existed: true})
	r.worker().complete()
	r.insertOne(job)
}

func uniquePeriodPruned(r *rig) {
	job := uniqueEcho(offstage.Skip, "key")
	job.Unique.Period = 24 * time.Hour
	id := r.insertOne(job)
	r.keeper(offstage.Retention{Completed: time.Minute}).complete()
	r.pass(time.Hour)
	r.chore(offstage.Prune)
	same(r, "jobs", r.jobs(), 0)
	same(r, "holder", r.enqueue(job), offstage.Inserted{ID: id, Existed: true})
	same(r, "jobs", r.jobs(), 0)
	r.pass(24 * time.Hour)
	r.chore(offstage.Prune)
	r.insertOne(job)
}

func uniqueRetryTakes(r *rig) {
	for _, period := range []time.Duration{0, time.Hour} {
		job := uniqueEcho(offstage.Skip, period.String())
		job.Unique.Period = period
		id, w, _ := r.bring(job, offstage.Failed)
		r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
		r.pass(2 * time.Hour)
		r.chore(offstage.Prune)
		same(r, "holder", r.enqueue(job), offstage.Inserted{ID: id, Existed: true})
		same(r, "completed", w.complete(), id)
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: r.insertOne(job)})
	}
}

func uniqueRetryRefused(r *rig) {
	job := uniqueEcho(offstage.Skip, "key")
	id, w, _ := r.bring(job, offstage.Failed)
	holder := r.insertOne(job)
	refused := r.refused(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	same(r, "state in the error", refused.State, offstage.Failed)
	if !strings.Contains(refused.Hint, holder.String()) {
		r.Errorf("the hint %q does not name job %d", refused.Hint, holder)
	}
	r.wantState(offstage.Failed, id)
	same(r, "claimed", idsOf(w.take(1)), []offstage.ID{holder})
	same(r, "ready", slices.Contains(idsOf(w.claim(pool(5, offstage.DefaultQueue))), id), false)
}
