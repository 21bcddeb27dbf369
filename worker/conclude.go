package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

// errNotCommitted is the error of an attempt whose handler completed it in a
// transaction that did not commit.
var errNotCommitted = errors.New("the handler called Complete, and its transaction did not commit")

// swallowedError is a wait that a handler did not return. It is hidden from whoever
// looks for a wait in the handler's error.
type swallowedError struct{ wait error }

func (e swallowedError) Error() string { return e.wait.Error() }

// conclude makes a result of how an attempt ended and passes it on to be
// recorded.
func (e *engine) conclude(work context.Context, a *attempt, out *output) {
	execution := &a.execution
	left := execution.finish()
	if err := checkResult(out.value); err != nil && out.err == nil {
		out.err = offstage.Fail(err)
	}
	if left.waits != nil && out.err == nil {
		out.err = fmt.Errorf("the handler returned nil, though it was told to wait (%w); it must return that error", swallowedError{left.waits})
	}
	if !left.asked {
		result := a.conclude(out, left.lost)
		result.Log = left.log
		e.end(a, execution, result)
		return
	}
	failed := *out
	if failed.err == nil {
		failed.err = errNotCommitted
	}
	result := a.conclude(&failed, left.lost)
	result.Log = left.log
	e.settle(work, a, a.entry(execution, result))
}

// conclude asks the retry rule. An error's own methods are the application's
// code and may panic as a handler may.
func (a *attempt) conclude(out *output, lost int) (result offstage.Result) {
	end := offstage.Ending{
		Facts: a.job.Facts, Run: a.job.Run, Errors: a.job.Errors, Lost: lost,
		Err: out.err, Cause: out.cause, Now: out.ended, Started: out.started,
	}
	if end.Now.IsZero() {
		end.Now = time.Now()
	}
	defer func() {
		if value := recover(); value != nil {
			end.Err = fmt.Errorf("panic while looking at the handler's error of type %T: %v", out.err, value)
			result = offstage.Conclude(end, offstage.RetryPolicy{MaxAttempts: a.kind.retry.MaxAttempts})
		}
		result.Claim, result.Ran = a.claim.seq, out.ran
		if result.Outcome == offstage.OutcomeCompleted {
			result.Value = out.value
		}
		result.Error, result.Trace = clean(result.Error, maxText), clean(out.trace, maxText)
	}()
	return offstage.Conclude(end, a.kind.retry)
}

// end hands an attempt's result to the recorder and frees the slot.
func (e *engine) end(a *attempt, execution *execution, result offstage.Result) {
	result.Claim = a.claim.seq
	e.book.leave(a, func() { e.recorder.add(a.entry(execution, result)) })
}

func (a *attempt) entry(execution *execution, result offstage.Result) *entry {
	return &entry{claim: a.claim, attempt: a, ends: 1, result: result, execution: execution}
}

// policy is the retry rule of the attempt's kind, if that has a handler here.
func (a *attempt) policy() offstage.RetryPolicy {
	if a.kind == nil {
		return offstage.RetryPolicy{}
	}
	return a.kind.retry
}

// settle finds out how an attempt ended whose handler called Complete, and
// keeps the slot until it knows: the attempt has left the shared write, since
// what the handler's transaction still holds would block that for all. failure
// is what is recorded if the transaction did not commit.
func (e *engine) settle(work context.Context, a *attempt, failure *entry) {
	e.book.settles(a)
	wait := backoff{first: 50 * time.Millisecond, last: time.Second}
	patience := patience{}
	for {
		err := e.trySettle(work, failure, &patience)
		if err == nil {
			e.book.leave(a, func() {
				e.recorder.add(a.entry(failure.execution, offstage.Result{}))
			})
			return
		}
		if hopeless(err) {
			e.fail(err)
		}
		if !pause(work, wait.next(), nil) {
			break
		}
	}
	e.book.leave(a, func() {})
}

// trySettle looks for the attempt's end and, if there is none, records the
// failure, alone.
func (e *engine) trySettle(work context.Context, failure *entry, patience *patience) (err error) {
	call, cancel := patience.limit(work)
	defer cancel()
	defer func() { patience.note(err) }()
	completed := failure.result
	completed.Outcome, completed.Next, completed.Error = offstage.OutcomeCompleted, offstage.Completed, ""
	committed := entry{attempt: failure.attempt, execution: failure.execution, result: completed}
	ended, err := e.store.Ended(call, failure.result.Job, failure.result.Run)
	if err != nil {
		return err
	}
	if ended {
		e.tell(&committed, offstage.Completed)
		return nil
	}
	verdicts, err := e.store.Finish(call, offstage.FinishRequest{
		Worker: failure.claim.session.id, Results: []offstage.Result{failure.result},
	})
	if offstage.ClassOf(err) == offstage.FaultData && err != nil && !failure.plain {
		failure.simplify(err)
	}
	if err != nil {
		return err
	}
	switch verdicts[0].Kind {
	case offstage.Already: // the transaction was committed just now
		e.tell(&committed, offstage.Completed)
	case offstage.Counted:
		e.tell(failure, verdicts[0].Next)
	}
	return nil
}
