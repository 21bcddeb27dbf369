package storetest

import (
	"time"

	"github.com/offstagehq/offstage"
)

var finishCases = []Case{
	{"finish/completed", "A completed attempt ends its job; the attempt is its history: outcome, times, worker, result.", finishCompleted},
	{"finish/retrying", "A retry waits by the store's clock, then runs with the next run number and the counters that the result carried.", finishRetrying},
	{"finish/retry at once", "A retry without a wait is ready at once, behind what is ready already.", finishRetryAtOnce},
	{"finish/snoozed", "A snoozed job is scheduled and carries its counters on.", finishSnoozed},
	{"finish/interrupted", "A job that is handed back is ready at once; its attempt is recorded and its counters are as sent.", finishInterrupted},
	{"finish/blocked", "A blocked job waits, says for what, and is not claimed.", finishBlocked},
	{"finish/failed", "A failed job shows how often it failed, its error, and the trace of its attempts.", finishFailed},
	{"finish/cancelled", "A handler can cancel its job.", finishCancelled},
	{"finish/never started", "An attempt that was never started has no start, and no time went by in it.", finishNeverStarted},
	{"finish/moved meanwhile", "A job goes back to the queue and priority that its facts name, not to those under which it was claimed.", finishMoved},
	{"finish/cancel pending", "A job with a pending cancel that would go on waiting ends cancelled instead; one that ends otherwise ends so.", finishCancelPending},
}

func finishCompleted(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	r.pass(3 * time.Second)
	same(r, "next", w.counted(job.completedWith(`{"rows":3}`)), []offstage.State{offstage.Completed})
	got := r.history(id, 1)
	same(r, "state", got.State, offstage.Completed)
	same(r, "outcome", got.Outcome, offstage.OutcomeCompleted)
	same(r, "result", string(got.Result), `{"rows":3}`)
	same(r, "error", got.Error, "")
	same(r, "run", got.Run, 1)
	if got.FinishedAt.Sub(got.CreatedAt) < 3*time.Second {
		r.Errorf("finished at %v, created at %v: 3 s had passed", got.FinishedAt, got.CreatedAt)
	}
	sameTime(r, "started at", got.StartedAt, got.FinishedAt.Add(-time.Second))
	attempt := got.Attempts[0]
	same(r, "attempt's run", attempt.Run, 1)
	same(r, "attempt's outcome", attempt.Outcome, offstage.OutcomeCompleted)
	same(r, "attempt's next", attempt.Next, offstage.Completed)
	same(r, "attempt's worker", attempt.Worker, w.id)
	same(r, "attempt's result", string(attempt.Result), `{"rows":3}`)
	sameTime(r, "attempt's start", attempt.StartedAt, got.StartedAt)
	sameTime(r, "attempt's end", attempt.FinishedAt, got.FinishedAt)
	same(r, "claimed when completed", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
}

func finishRetrying(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	first := w.takeOne().errored(time.Minute)
	first.Lost = 1
	same(r, "next", w.counted(first), []offstage.State{offstage.Retrying})
	got := r.get(id)
	same(r, "state", got.State, offstage.Retrying)
	same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{1, 1, 1})
	same(r, "outcome", got.Outcome, offstage.OutcomeErrored)
	same(r, "error", got.Error, "it did not work")
	sameTime(r, "run at", got.RunAt, got.FinishedAt.Add(time.Minute))
	r.pass(59 * time.Second)
	r.chore(offstage.Promote)
	same(r, "claimed too early", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
	r.pass(time.Second)
	r.chore(offstage.Promote)
	r.wantState(offstage.Ready, id)
	job := w.takeOne()
	same(r, "run, errors, lost", [3]int{job.Run, job.Errors, job.Lost}, [3]int{2, 1, 1})
	w.counted(job.completed())
	got = r.history(id, 2)
	same(r, "errors of the completed job", got.Errors, 1)
	same(r, "error of the completed job", got.Error, "")
	same(r, "the first attempt's next", got.Attempts[0].Next, offstage.Retrying)
}

func finishRetryAtOnce(r *rig) {
	ids := r.insert(echoes(3)...)
	w := r.worker()
	w.counted(w.takeOne().errored(0))
	r.wantState(offstage.Ready, ids[0])
	same(r, "order", idsOf(w.take(3)), []offstage.ID{ids[1], ids[2], ids[0]})
}

func finishSnoozed(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	result := w.takeOne().ended(offstage.OutcomeSnoozed, offstage.Scheduled)
	result.Wait, result.Errors = time.Hour, 2
	same(r, "next", w.counted(result), []offstage.State{offstage.Scheduled})
	got := r.get(id)
	same(r, "state", got.State, offstage.Scheduled)
	same(r, "run, errors", [2]int{got.Run, got.Errors}, [2]int{1, 2})
	sameTime(r, "run at", got.RunAt, got.FinishedAt.Add(time.Hour))
	r.pass(time.Hour)
	same(r, "promoted", r.chore(offstage.Promote), 1)
	job := w.takeOne()
	same(r, "run, errors", [2]int{job.Run, job.Errors}, [2]int{2, 2})
}

func finishInterrupted(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	result := w.takeOne().interrupted()
	result.Errors, result.Lost = 4, 2
	same(r, "next", w.counted(result), []offstage.State{offstage.Ready})
	got := r.get(id)
	same(r, "state", got.State, offstage.Ready)
	same(r, "outcome", got.Outcome, offstage.OutcomeInterrupted)
	same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{1, 4, 2})
	job := w.takeOne()
	same(r, "run, errors, lost", [3]int{job.Run, job.Errors, job.Lost}, [3]int{2, 4, 2})
}

func finishBlocked(r *rig) {
	job := echo()
	job.Kind = "unheard_of"
	id := r.insertOne(job)
	w := r.worker()
	claimed := w.takeOne()
	same(r, "kind paused", claimed.KindPaused, false)
	same(r, "next", w.counted(claimed.blocked(offstage.WaitsKindUnknown)), []offstage.State{offstage.Blocked})
	got := r.get(id)
	same(r, "state", got.State, offstage.Blocked)
	same(r, "waits for", got.Waits, offstage.WaitsKindUnknown)
	r.chore(offstage.Unblock)
	r.wantState(offstage.Blocked, id)
	same(r, "claimed", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
}

func finishFailed(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	first := w.takeOne().errored(0)
	first.Trace = "goroutine 1 [running]:\n\tmain.main()"
	w.counted(first)
	same(r, "next", w.counted(w.takeOne().failed()), []offstage.State{offstage.Failed})
	got := r.history(id, 2)
	same(r, "state", got.State, offstage.Failed)
	same(r, "error", got.Error, "it will never work")
	same(r, "run, errors", [2]int{got.Run, got.Errors}, [2]int{2, 2})
	same(r, "trace", got.Attempts[0].Trace, first.Trace)
	same(r, "first error", got.Attempts[0].Error, "it did not work")
}

func finishCancelled(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	result := w.takeOne().ended(offstage.OutcomeCancelled, offstage.Cancelled)
	result.Error = "no longer wanted"
	same(r, "next", w.counted(result), []offstage.State{offstage.Cancelled})
	got := r.get(id)
	same(r, "state", got.State, offstage.Cancelled)
	same(r, "outcome", got.Outcome, offstage.OutcomeCancelled)
	same(r, "error", got.Error, "no longer wanted")
}

func finishNeverStarted(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	result := w.takeOne().interrupted()
	result.Started, result.Ran = false, 0
	w.counted(result)
	attempt := r.history(id, 1).Attempts[0]
	if !attempt.StartedAt.IsZero() || attempt.FinishedAt.IsZero() {
		r.Errorf("started at %v, finished at %v; want no start, and an end", attempt.StartedAt, attempt.FinishedAt)
	}
}

func finishMoved(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	w.counted(w.takeOne().errored(time.Minute))
	r.apply(offstage.Change{Verb: offstage.VerbPrioritize, Job: id, Priority: 2})
	r.pass(time.Minute)
	r.chore(offstage.Promote)
	r.insertOne(echoIn(offstage.DefaultQueue, 3))
	job := w.takeOne()
	same(r, "claimed", job.ID, id)
	same(r, "priority", job.Priority, 2)
	w.counted(job.interrupted())
	same(r, "priority after it was handed back", r.get(id).Priority, 2)
	same(r, "claimed again", w.takeOne().ID, id)
}

func finishCancelPending(r *rig) {
	for _, c := range []struct {
		name   string
		result func(taken) offstage.Result
		want   offstage.State
	}{
		{"retrying", func(t taken) offstage.Result { return t.errored(time.Minute) }, offstage.Cancelled},
		{"retrying at once", func(t taken) offstage.Result { return t.errored(0) }, offstage.Cancelled},
		{"snoozed", func(t taken) offstage.Result { return t.ended(offstage.OutcomeSnoozed, offstage.Scheduled) }, offstage.Cancelled},
		{"handed back", taken.interrupted, offstage.Cancelled},
		{"blocked", func(t taken) offstage.Result { return t.blocked(offstage.WaitsKindUnknown) }, offstage.Cancelled},
		{"completed", taken.completed, offstage.Completed},
		{"failed", taken.failed, offstage.Failed},
	} {
		id := r.insertOne(echo())
		w := r.worker()
		job := w.takeOne()
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		result := c.result(job)
		same(r, c.name+": next", w.counted(result), []offstage.State{c.want})
		got := r.history(id, 1)
		same(r, c.name+": state", got.State, c.want)
		same(r, c.name+": outcome", got.Outcome, result.Outcome)
		same(r, c.name+": attempt's next", got.Attempts[0].Next, c.want)
		same(r, c.name+": cancel asked", got.CancelAsked, false)
		same(r, c.name+": cancels left", len(w.beat().Cancels), 0)
		r.pass(time.Hour)
		r.chore(offstage.Promote)
		same(r, c.name+": claimed", len(w.claim(pool(1, offstage.DefaultQueue))), 0)
	}
}
