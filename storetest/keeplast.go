package storetest

import (
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

var keepLastCases = []Case{
	{"keep last/follower", "KeepLast allows one holder and one blocked follower; further enqueues give the follower their arguments.", keepLastFollower},
	{"keep last/takes over", "When the holder ends, however that comes, its follower is ready and holds the key.", keepLastTakesOver},
	{"keep last/never early", "A follower with a delay does not start before its time, though the holder has ended.", keepLastNeverEarly},
	{"keep last/retry keeps the follower waiting", "While the holder retries, its follower waits.", keepLastRetry},
	{"keep last/follower called off", "When the follower is cancelled or deleted, the next enqueue is the new follower.", keepLastFollowerGone},
}

// keepLast inserts a holder and a follower and returns both.
func (r *rig) keepLast(name string) (holder, follower offstage.ID) {
	r.Helper()
	holder = r.insertOne(withArgs(uniqueEcho(offstage.KeepLast, name), `"holder"`))
	return holder, r.insertOne(withArgs(uniqueEcho(offstage.KeepLast, name), `"follower"`))
}

func keepLastFollower(r *rig) {
	holder, follower := r.keepLast("key")
	got := r.get(follower)
	same(r, "state of the follower", got.State, offstage.Blocked)
	same(r, "it waits for", got.Waits, offstage.WaitsUnique)
	w := r.worker()
	running := w.takeOne()
	same(r, "claimed", running.ID, holder)
	for i := range 3 {
		job := withArgs(uniqueEcho(offstage.KeepLast, "key"), fmt.Sprint(i))
		job.Priority = 2
		same(r, "another enqueue", r.enqueue(job), offstage.Inserted{ID: follower, Existed: true})
	}
	got = r.get(follower)
	same(r, "args and priority of the follower", fmt.Sprintf("%s %d", got.Args, got.Priority), "2 2")
	r.chore(offstage.Unblock)
	r.workerOn(r.store, offstage.WorkerInfo{Kinds: []offstage.Kind{{Name: "echo"}}})
	r.wantState(offstage.Blocked, follower)
	same(r, "claimed while the holder runs", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
	w.counted(running.completed())
	job := w.takeOne()
	same(r, "claimed then", job.ID, follower)
	same(r, "args and run", fmt.Sprintf("%s %d", job.Args, job.Run), "2 1")
	same(r, "jobs", r.jobs(), 2)
}

func keepLastTakesOver(r *rig) {
	ends := map[string]func(w *worker, holder offstage.ID){
		"completed": func(w *worker, _ offstage.ID) { w.complete() },
		"failed":    func(w *worker, _ offstage.ID) { w.counted(w.takeOne().failed()) },
		"cancelled while it runs": func(w *worker, holder offstage.ID) {
			job := w.takeOne()
			r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: holder})
			w.counted(job.interrupted())
		},
		"cancelled while it waits": func(_ *worker, holder offstage.ID) {
			r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: holder})
		},
		"deleted": func(_ *worker, holder offstage.ID) {
			r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: holder})
		},
		"poison": func(*worker, offstage.ID) {
			for range offstage.MaxLost {
				dying := r.worker()
				dying.dieOf(dying.takeOne())
			}
		},
	}
	for name, end := range ends {
		w := r.worker()
		holder, follower := r.keepLast(name)
		end(w, holder)
		r.wantState(offstage.Ready, follower)
		same(r, name+": waits", r.get(follower).Waits, "")
		next := r.insertOne(withArgs(uniqueEcho(offstage.KeepLast, name), `"next"`))
		r.wantState(offstage.Blocked, next)
		same(r, name+": claimed", w.complete(), follower)
		same(r, name+": claimed next", w.complete(), next)
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: r.insertOne(uniqueEcho(offstage.Skip, name))})
	}
}

func keepLastNeverEarly(r *rig) {
	r.insertOne(uniqueEcho(offstage.KeepLast, "key"))
	job := uniqueEcho(offstage.KeepLast, "key")
	job.Delay = time.Hour
	follower := r.insertOne(job)
	r.wantState(offstage.Blocked, follower)
	w := r.worker()
	w.complete()
	r.wantState(offstage.Scheduled, follower)
	same(r, "claimed too early", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
	r.pass(time.Hour)
	r.chore(offstage.Promote)
	same(r, "claimed in time", w.takeOne().ID, follower)
}

func keepLastRetry(r *rig) {
	holder, follower := r.keepLast("key")
	w := r.worker()
	w.counted(w.takeOne().errored(time.Minute))
	r.wantState(offstage.Blocked, follower)
	r.pass(time.Minute)
	r.chore(offstage.Promote)
	same(r, "claimed again", w.complete(), holder)
	same(r, "claimed then", w.complete(), follower)
}

func keepLastFollowerGone(r *rig) {
	for _, verb := range []offstage.Verb{offstage.VerbCancel, offstage.VerbDelete} {
		holder, follower := r.keepLast(string(verb))
		r.apply(offstage.Change{Verb: verb, Job: follower})
		r.wantState(offstage.Ready, holder)
		next := r.insertOne(uniqueEcho(offstage.KeepLast, string(verb)))
		r.wantState(offstage.Blocked, next)
		w := r.worker()
		same(r, "claimed", w.complete(), holder)
		same(r, "claimed then", w.complete(), next)
	}
}
