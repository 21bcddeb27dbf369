package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var waitCases = []Case{
	{"wait/signal", "A job that waits for a signal is blocked, holds no claim, and becomes ready when the signal is given, at no cost.", waitSignal},
	{"wait/signal before", "A signal that was given before a job waits for it lets the job go on at once.", waitSignalBefore},
	{"wait/signal first counts", "The first signal of a name counts; later ones change nothing.", waitFirst},
	{"wait/signal for many", "A signal wakes all that wait for it, and nobody else.", waitMany},
	{"wait/signal race", "Of a job that begins to wait and its signal that race, neither misses the other.", waitSignalRace},
	{"wait/signal in a transaction", "A signal in a caller's transaction is given if and only if it commits.", waitSignalTx},
	{"wait/signal kept", "Prune forgets signals when KeepSignals is over, not before.", waitSignalKept},
	{"wait/until", "A job that waits for a limited time is scheduled, and becomes ready by the signal or its time, whichever is first.", waitUntil},
	{"wait/cancelled", "A job that is called off while it waits is not woken, and can wait again after a retry.", waitCancelled},
	{"wait/not for a handler", "Neither Unblock nor a new worker of its kind wakes a job that waits for a signal.", waitNotUnblocked},
	{"wait/refused", "A wait that was sent under a claim that is gone leaves nothing behind.", waitRefused},
	{"child/once", "A child and the step that names it are stored together, once for each name.", childOnce},
	{"child/fenced", "A child is refused to an attempt that is over.", childFenced},
	{"child/ends", "A parent that waits for its child becomes ready when that ends, however it does.", childEnds},
	{"child/ended before", "A parent that begins to wait for a child that has ended, or is gone, goes on at once.", childEndedBefore},
	{"child/ends in a transaction", "A child that completes in a caller's transaction wakes its parent if and only if that commits.", childEndsTx},
	{"child/race", "Of a parent that begins to wait and its child's end that race, neither misses the other.", childRace},
}

// waits is the result of a handler that waits for a key.
func (t taken) waits(key string, within time.Duration) offstage.Result {
	result := t.ended(offstage.OutcomeSnoozed, offstage.Blocked)
	result.Waits, result.WaitKey, result.Wait = key, key, within
	return result
}

// signal gives a signal.
func (r *rig) signal(name, payload string) offstage.SignalReport {
	r.Helper()
	report, err := r.store.Signal(r.Context(), name, []byte(payload))
	r.must(err, "signal")
	return report
}

// found returns a signal's payload, "" if there is none.
func (r *rig) found(name string) string {
	r.Helper()
	payload, found, err := r.store.FindSignal(r.Context(), name)
	r.must(err, "find a signal")
	if !found {
		return ""
	}
	return string(payload)
}

func waitSignal(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	key := offstage.SignalKey("paid")
	w.finishAll([]offstage.Result{job.waits(key, 0)}, job.claim)
	got := r.get(id)
	same(r, "state, what it waits for", fmt.Sprint(got.State, " ", got.Waits), "blocked "+key)
	same(r, "claims", len(w.holds()), 0)
	same(r, "claimed", len(w.claim(pool(1, offstage.DefaultQueue))), 0)
	same(r, "before", r.found("paid"), "")
	same(r, "report", r.signal("paid", `{"cents": 7}`), offstage.SignalReport{First: true, Woken: 1})
	same(r, "payload", r.found("paid"), `{"cents": 7}`)
	job = w.takeOne()
	same(r, "run, errors, lost", [3]int{job.Run, job.Errors, job.Lost}, [3]int{2, 0, 0})
	w.counted(job.completed())
}

func waitSignalBefore(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	same(r, "report", r.signal("paid", `1`), offstage.SignalReport{First: true})
	w.counted(job.waits(offstage.SignalKey("paid"), 0))
	same(r, "claimed", w.takeOne().ID, id)
}

func waitFirst(r *rig) {
	r.signal("paid", `1`)
	same(r, "second", r.signal("paid", `2`), offstage.SignalReport{})
	same(r, "payload", r.found("paid"), `1`)
}

func waitMany(r *rig) {
	r.insert(echoes(4)...)
	w := r.worker()
	jobs := w.take(4)
	for i, name := range []string{"a", "b", "a", "a b"} {
		w.counted(jobs[i].waits(offstage.SignalKey(name), 0))
	}
	same(r, "woken", r.signal("a", `1`).Woken, 2)
	r.wantState(offstage.Ready, jobs[0].ID, jobs[2].ID)
	r.wantState(offstage.Blocked, jobs[1].ID, jobs[3].ID)
}

// together does two things at once.
func together(one, other func()) {
	var group sync.WaitGroup
	group.Go(one)
	group.Go(other)
	group.Wait()
}

func waitSignalRace(r *rig) {
	peer := r.peer()
	w := r.worker()
	for i := range 20 {
		id := r.insertOne(echo())
		job := w.takeOne()
		name := fmt.Sprint("signal ", i)
		together(func() { w.counted(job.waits(offstage.SignalKey(name), 0)) }, func() {
			if _, err := peer.Signal(r.Context(), name, []byte(`1`)); err != nil {
				r.Errorf("signal: %v", err)
			}
		})
		r.wantState(offstage.Ready, id)
		w.counted(w.takeOne().completed())
	}
}

func waitSignalTx(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.counted(job.waits(offstage.SignalKey("paid"), 0))
	t := r.begin()
	report, err := t.store.Signal(r.Context(), "paid", []byte(`1`))
	r.must(err, "signal in a transaction")
	same(r, "report", report, offstage.SignalReport{First: true, Woken: 1})
	r.outside(func() { r.wantState(offstage.Blocked, id) })
	r.must(t.rollback(), "roll back")
	r.wantState(offstage.Blocked, id)
	same(r, "after the rollback", r.found("paid"), "")
	t = r.begin()
	_, err = t.store.Signal(r.Context(), "paid", []byte(`2`))
	r.must(err, "signal in a transaction")
	r.must(t.commit(), "commit")
	same(r, "after the commit", r.found("paid"), "2")
	same(r, "claimed", w.takeOne().ID, id)
}

func waitSignalKept(r *rig) {
	r.signal("paid", `1`)
	r.pass(offstage.KeepSignals - time.Minute)
	r.chore(offstage.Prune)
	same(r, "before KeepSignals is over", r.found("paid"), `1`)
	r.pass(2 * time.Minute)
	r.chore(offstage.Prune)
	same(r, "when KeepSignals is over", r.found("paid"), "")
}

func waitUntil(r *rig) {
	r.insert(echoes(3)...)
	w := r.worker()
	jobs := w.take(3)
	key := offstage.SignalKey("paid")
	w.counted(jobs[0].waits(key, time.Hour), jobs[1].waits(key, 0), jobs[2].waits(key, 3*time.Hour))
	r.wantState(offstage.Scheduled, jobs[0].ID, jobs[2].ID)
	r.wantState(offstage.Blocked, jobs[1].ID)
	r.pass(59 * time.Minute)
	same(r, "promoted before", r.chore(offstage.Promote), 0)
	r.pass(2 * time.Minute)
	same(r, "promoted", r.chore(offstage.Promote), 1)
	r.wantState(offstage.Ready, jobs[0].ID)
	same(r, "woken by the signal", r.signal("paid", `1`).Woken, 2)
	r.wantState(offstage.Ready, jobs[1].ID, jobs[2].ID)
	r.pass(5 * time.Hour)
	same(r, "promoted though it was woken", r.chore(offstage.Promote), 0)
}

func waitCancelled(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.counted(job.waits(offstage.SignalKey("a"), time.Hour))
	r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
	same(r, "woken", r.signal("a", `1`).Woken, 0)
	r.pass(2 * time.Hour)
	same(r, "woken by time", r.chore(offstage.Promote), 0)
	r.wantState(offstage.Cancelled, id)
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	w.counted(w.takeOne().waits(offstage.SignalKey("b"), 0))
	same(r, "woken again", r.signal("b", `1`).Woken, 1)
	job = w.takeOne()
	w.counted(job.waits(offstage.SignalKey("c"), 0))
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: id})
	same(r, "woken when it is gone", r.signal("c", `1`).Woken, 0)
}

func waitNotUnblocked(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.counted(job.waits(offstage.SignalKey("a"), 0))
	r.worker()
	r.pause(offstage.PauseTarget{Kind: "echo"}, true)
	r.pause(offstage.PauseTarget{Kind: "echo"}, false)
	same(r, "unblocked", r.chore(offstage.Unblock), 0)
	r.wantState(offstage.Blocked, id)
}

func waitRefused(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.die()
	same(r, "verdict", w.verdictOf(job.waits(offstage.SignalKey("a"), 0)), offstage.Refused)
	r.wantState(offstage.Ready, id)
	same(r, "woken", r.signal("a", `1`).Woken, 0)
}

// child enqueues a child of a running job.
func (w *worker) child(job taken, name string) offstage.ID {
	w.Helper()
	child := echoIn("children", 5)
	child.Parent = job.ID
	id, err := w.store.RememberChild(w.Context(), w.hold(job), name, child, true)
	w.must(err, "remember a child")
	return id
}

func childOnce(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	child := w.child(job, "resize")
	same(r, "again", w.child(job, "resize"), child)
	same(r, "another", w.child(job, "crop") != child, true)
	same(r, "jobs", r.jobs(), 3)
	same(r, "parent", r.get(child).Parent, id)
	same(r, "steps", len(r.get(id).Steps), 2)
	w.counted(job.errored(0))
	job = w.takeOne()
	same(r, "in another attempt", w.child(job, "resize"), child)
	for _, step := range w.recall(job) {
		var known offstage.ID
		r.must(json.Unmarshal(step.Value, &known), "read a step")
		same(r, "kind", step.Kind, offstage.StepChild)
		same(r, "names a child", r.get(known).Parent, id)
	}
}

func childFenced(r *rig) {
	_, w, job := r.bring(echo(), offstage.Running)
	w.counted(job.errored(time.Hour))
	for _, raise := range []bool{true, false} {
		_, err := w.store.RememberChild(r.Context(), w.hold(job), "resize", echoIn("children", 5), raise)
		r.wantLost("an attempt that has ended", err)
	}
	same(r, "jobs", r.jobs(), 1)
}

// childEndings are all ways in which a child can end.
var childEndings = map[string]func(r *rig, w *worker, child offstage.ID){
	"completed": func(r *rig, w *worker, _ offstage.ID) { w.counted(w.takeFrom(1, "children")[0].completed()) },
	"failed":    func(r *rig, w *worker, _ offstage.ID) { w.counted(w.takeFrom(1, "children")[0].failed()) },
	"cancelled while it runs": func(r *rig, w *worker, child offstage.ID) {
		job := w.takeFrom(1, "children")[0]
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: child})
		w.counted(job.errored(time.Hour))
	},
	"cancelled while it waits": func(r *rig, _ *worker, child offstage.ID) {
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: child})
	},
	"deleted": func(r *rig, _ *worker, child offstage.ID) {
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: child})
	},
	"poison": func(r *rig, _ *worker, _ offstage.ID) {
		for range offstage.MaxLost {
			w := r.worker()
			w.dieOf(w.takeFrom(1, "children")[0])
		}
	},
	"cancelled by its worker's death": func(r *rig, _ *worker, child offstage.ID) {
		w := r.worker()
		w.takeFrom(1, "children")
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: child})
		w.die()
	},
}

func childEnds(r *rig) {
	for what, end := range childEndings {
		id, w, job := r.bring(echo(), offstage.Running)
		child := w.child(job, "resize")
		w.counted(job.waits(offstage.EndKey(child), 0))
		r.wantState(offstage.Blocked, id)
		end(r, w, child)
		if got := r.get(id).State; got != offstage.Ready {
			r.Errorf("when its child was %s, the parent is %s", what, got)
		}
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: id})
	}
}

func childEndedBefore(r *rig) {
	for _, gone := range []bool{false, true} {
		id, w, job := r.bring(echo(), offstage.Running)
		child := w.child(job, "resize")
		w.counted(w.takeFrom(1, "children")[0].completed())
		if gone {
			r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: child})
		}
		w.counted(job.waits(offstage.EndKey(child), 0))
		same(r, "claimed", w.takeOne().ID, id)
	}
}

func childEndsTx(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	child := w.child(job, "resize")
	w.counted(job.waits(offstage.EndKey(child), 0))
	running := w.takeFrom(1, "children")[0]
	result := running.completed()
	result.Parent = id
	t := r.begin()
	r.must(t.store.Complete(r.Context(), w.id, result), "complete")
	r.must(t.rollback(), "roll back")
	r.wantState(offstage.Blocked, id)
	t = r.begin()
	r.must(t.store.Complete(r.Context(), w.id, result), "complete")
	r.must(t.commit(), "commit")
	r.wantState(offstage.Ready, id)
}

func childRace(r *rig) {
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	for range 20 {
		id := r.insertOne(echo())
		job := w.takeOne()
		child := w.child(job, "resize")
		running := other.takeFrom(1, "children")[0]
		together(func() { w.counted(job.waits(offstage.EndKey(child), 0)) }, func() { other.counted(running.completed()) })
		r.wantState(offstage.Ready, id)
		w.counted(w.takeOne().completed())
	}
}
