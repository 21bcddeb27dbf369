package storetest

import (
	"encoding/json"
	"time"

	"github.com/offstagehq/offstage"
)

// taken is a claimed job with the claim that it belongs to.
type taken struct {
	offstage.ClaimedJob
	claim int64
}

// ended is the result of an attempt that ran for a second.
func (t taken) ended(outcome offstage.Outcome, next offstage.State) offstage.Result {
	return offstage.Result{
		Job: t.ID, Run: t.Run, Claim: t.claim, Outcome: outcome, Next: next,
		Errors: t.Errors, Lost: t.Lost, Started: true, Ran: time.Second, UniqueKey: t.UniqueKey, Parent: t.Parent,
	}
}

// completed is the result of a handler that returned nil.
func (t taken) completed() offstage.Result {
	return t.ended(offstage.OutcomeCompleted, offstage.Completed)
}

// errored is the result of a handler that failed and is to be retried.
func (t taken) errored(wait time.Duration) offstage.Result {
	result := t.ended(offstage.OutcomeErrored, offstage.Retrying)
	result.Errors, result.Wait, result.Error = t.Errors+1, wait, "it did not work"
	return result
}

// failed is the result of a handler that failed for the last time.
func (t taken) failed() offstage.Result {
	result := t.ended(offstage.OutcomeErrored, offstage.Failed)
	result.Errors, result.Error = t.Errors+1, "it will never work"
	return result
}

// interrupted is the result of a run that is handed back.
func (t taken) interrupted() offstage.Result {
	return t.ended(offstage.OutcomeInterrupted, offstage.Ready)
}

// blocked is the result of a job that was handed back unstarted to wait.
func (t taken) blocked(waits string) offstage.Result {
	result := t.ended(offstage.OutcomeInterrupted, offstage.Blocked)
	result.Waits, result.Started, result.Ran = waits, false, 0
	return result
}

// completedWith is a completed result with a value.
func (t taken) completedWith(value string) offstage.Result {
	result := t.completed()
	result.Value = json.RawMessage(value)
	return result
}

// idsOf returns the ids of claimed jobs, in their order.
func idsOf(jobs []taken) []offstage.ID {
	ids := make([]offstage.ID, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	return ids
}
