package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

var uniqueCases = []Case{
	{"unique/skip", "Skip enqueues nothing while a job holds the key, whatever it is doing, and returns the holder.", uniqueSkip},
	{"unique/free after the end", "A key is free when its holder has ended, however that came.", uniqueFree},
	{"unique/other keys", "Other keys, and jobs without one, do not matter to a key.", uniqueOtherKeys},
	{"unique/one call", "Of several jobs with one key in one call, the second sees the first.", uniqueOneCall},
	{"unique/replace waiting", "Replace gives a holder that nobody has claimed the new arguments, options and time.", uniqueReplaceWaiting},
	{"unique/replace running", "Replace of a running holder enqueues a new job, which takes the key; the old one's end does not free it.", uniqueReplaceRunning},
}

// uniqueEcho is echo with a unique key made of the name.
func uniqueEcho(mode offstage.UniqueMode, name string) offstage.NewJob {
	job := echo()
	job.Unique = &offstage.UniqueKey{Key: fmt.Appendf(nil, "%-16.16s", name), Mode: mode}
	if mode == offstage.Debounce {
		job.Unique.Wait, job.Unique.MaxWait = 10*time.Second, 30*time.Second
	}
	return job
}

// withArgs gives a job other arguments.
func withArgs(job offstage.NewJob, args string) offstage.NewJob {
	job.Args = []byte(args)
	return job
}

// enqueue inserts one job, which may exist.
func (r *rig) enqueue(job offstage.NewJob) offstage.Inserted {
	r.Helper()
	inserted, err := r.store.Insert(r.Context(), []offstage.NewJob{job})
	r.must(err, "insert")
	return inserted[0]
}

// jobs returns how many jobs there are.
func (r *rig) jobs() int {
	r.Helper()
	page, err := r.store.List(r.Context(), offstage.Filter{Limit: 1000})
	r.must(err, "list")
	return len(page.Jobs)
}

func uniqueSkip(r *rig) {
	for i, state := range liveStates {
		job := uniqueEcho(offstage.Skip, state.String())
		id, _, _ := r.bring(job, state)
		for range 2 {
			got := r.enqueue(withArgs(job, `"new"`))
			same(r, state.String()+" holder", got, offstage.Inserted{ID: id, Existed: true})
		}
		same(r, "its args", string(r.get(id).Args), `{}`)
		same(r, "jobs", r.jobs(), i+1)
		r.moveAway(id)
	}
}

// moveAway keeps a ready job from being claimed by what follows in a case.
func (r *rig) moveAway(id offstage.ID) {
	r.Helper()
	if r.get(id).State == offstage.Ready {
		r.apply(offstage.Change{Verb: offstage.VerbReschedule, Job: id, Delay: time.Hour})
	}
}

func uniqueFree(r *rig) {
	for _, state := range endedStates {
		job := uniqueEcho(offstage.Skip, state.String())
		id, _, _ := r.bring(job, state)
		next := r.insertOne(job)
		same(r, "the next holder", r.enqueue(job), offstage.Inserted{ID: next, Existed: true})
		r.wantState(state, id)
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: next})
		last := r.insertOne(job)
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: last})
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: r.insertOne(job)})
	}
	id := r.insertOne(uniqueEcho(offstage.Skip, "lost"))
	for range offstage.MaxLost {
		w := r.worker()
		w.dieOf(w.takeOne())
	}
	r.wantState(offstage.Failed, id)
	r.insertOne(uniqueEcho(offstage.Skip, "lost"))
}

func uniqueOtherKeys(r *rig) {
	r.insert(uniqueEcho(offstage.Skip, "a"), uniqueEcho(offstage.Skip, "b"), echo(), echo())
	jobs := r.worker().take(4)
	same(r, "keys", []string{strings.TrimSpace(string(jobs[0].UniqueKey)), strings.TrimSpace(string(jobs[1].UniqueKey))}, []string{"a", "b"})
	same(r, "no key", len(jobs[2].UniqueKey), 0)
}

func uniqueOneCall(r *rig) {
	inserted, err := r.store.Insert(r.Context(), []offstage.NewJob{
		uniqueEcho(offstage.Skip, "b"), echo(), uniqueEcho(offstage.Skip, "a"),
		uniqueEcho(offstage.Skip, "b"), withArgs(uniqueEcho(offstage.Replace, "a"), `"new"`),
	})
	r.must(err, "insert")
	for i, want := range []offstage.Inserted{
		{ID: inserted[0].ID}, {ID: inserted[1].ID}, {ID: inserted[2].ID},
		{ID: inserted[0].ID, Existed: true}, {ID: inserted[2].ID, Existed: true},
	} {
		same(r, fmt.Sprintf("answer %d", i), inserted[i], want)
	}
	same(r, "jobs", r.jobs(), 3)
	same(r, "args of the replaced one", string(r.get(inserted[2].ID).Args), `"new"`)
}

func uniqueReplaceWaiting(r *rig) {
	for i, state := range waitingStates {
		job := uniqueEcho(offstage.Replace, state.String())
		id, w, _ := r.bring(job, state)
		created := r.get(id).CreatedAt
		fresh := withArgs(job, `"new"`)
		fresh.Queue, fresh.Priority, fresh.MaxAttempts, fresh.Timeout = "fast", 2, 3, time.Minute
		fresh.Tags = []string{"again"}
		same(r, state.String()+" holder", r.enqueue(fresh), offstage.Inserted{ID: id, Existed: true})
		got := r.get(id)
		same(r, "state", got.State, offstage.Ready)
		same(r, "args", string(got.Args), `"new"`)
		same(r, "queue, priority", fmt.Sprintf("%s %d", got.Queue, got.Priority), "fast 2")
		same(r, "max attempts, timeout", fmt.Sprint(got.MaxAttempts, got.Timeout), "3 1m0s")
		same(r, "tags", got.Tags, []string{"again"})
		sameTime(r, "created at", got.CreatedAt, created)
		fresh.Delay = time.Hour
		same(r, "holder", r.enqueue(fresh), offstage.Inserted{ID: id, Existed: true})
		r.wantState(offstage.Scheduled, id)
		same(r, "claimed before its time", len(w.claim(pool(5, "fast", offstage.DefaultQueue))), 0)
		r.pass(time.Hour)
		same(r, "promoted", r.chore(offstage.Promote), 1)
		jobs := w.takeFrom(1, "fast", offstage.DefaultQueue)
		same(r, "claimed", idsOf(jobs), []offstage.ID{id})
		same(r, "claimed args", string(jobs[0].Args), `"new"`)
		same(r, "jobs", r.jobs(), i+1)
	}
}

func uniqueReplaceRunning(r *rig) {
	job := uniqueEcho(offstage.Replace, "key")
	id, w, running := r.bring(job, offstage.Running)
	next := r.insertOne(withArgs(job, `"new"`))
	got := r.get(id)
	same(r, "state of the old one", got.State, offstage.Running)
	same(r, "args of the old one", string(got.Args), `{}`)
	w.counted(running.completed())
	same(r, "holder after the old one's end", r.enqueue(uniqueEcho(offstage.Skip, "key")), offstage.Inserted{ID: next, Existed: true})
	w.complete()
	r.insertOne(uniqueEcho(offstage.Skip, "key"))
}
