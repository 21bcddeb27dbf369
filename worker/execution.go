package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// execution is what a handler reaches of its attempt through its context, and what
// ends that context.
type execution struct {
	engine  *engine
	attempt *attempt

	mu       sync.Mutex
	cancel   context.CancelCauseFunc // guarded by mu: nil until armed
	cause    error                   // guarded by mu: why the context is to end, if that was asked for before there was one
	begun    time.Time               // guarded by mu
	over     func() error            // guarded by mu: the Err of the handler's context; nil: not begun
	ended    bool                    // guarded by mu: the handler has returned
	asked    bool                    // guarded by mu: Complete was tried, and may have succeeded
	capture  *capture                // guarded by mu: nil until the first Logger
	logger   *slog.Logger            // guarded by mu
	progress offstage.JobProgress    // guarded by mu
	unsaved  bool                    // guarded by mu: progress is newer than what was stored
	queued   bool                    // guarded by mu: in the list of those to be saved
	memory   *offstage.Memory        // guarded by mu: nil until the first step
	saved    time.Time               // guarded by the reports' mu: the last write of progress
}

var _ offstage.Execution = (*execution)(nil)

// Memory returns what the job has done so far. Most jobs never ask.
func (x *execution) Memory() *offstage.Memory {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.memory == nil {
		a := x.attempt
		hold := offstage.Hold{Worker: a.claim.session.id, Claim: a.claim.seq, Job: a.job.ID, Run: a.job.Run}
		x.memory = offstage.NewMemory(x.engine.store, hold, a.job.Facts)
	}
	return x.memory
}

// Stopping reports whether the worker stops.
func (x *execution) Stopping() bool { return x.engine.isStopping() }

// arm gives the execution what ends its context.
func (x *execution) arm(cancel context.CancelCauseFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel = cancel; x.cause != nil {
		cancel(x.cause)
	}
}

// stop ends the context, at once or as soon as there is one.
func (x *execution) stop(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel != nil {
		x.cancel(cause)
	} else if x.cause == nil {
		x.cause = cause
	}
}

// begin notes that the handler runs, under a context with that Err.
func (x *execution) begin(at time.Time, over func() error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun, x.over = at, over
}

// overdue reports whether the handler's context has ended.
func (x *execution) overdue() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.over != nil && x.over() != nil
}

// remains is what an execution leaves behind.
type remains struct {
	asked bool            // Complete was tried
	log   json.RawMessage // what was logged
	waits error           // the wait that the handler was told to return, if any
	lost  int             // workers that have died in a row before this end, without progress
}

// finish closes the execution: what a handler left behind can change nothing
// any more.
func (x *execution) finish() remains {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	left := remains{asked: x.asked, lost: x.attempt.job.Lost}
	if x.capture != nil {
		left.log = x.capture.close()
	}
	if x.memory != nil {
		left.waits = x.memory.Suspended()
		if x.memory.Progressed() {
			left.lost = 0
		}
	}
	return left
}

// Progress notes how far the attempt is.
func (x *execution) Progress(done, total int64, message string) {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	x.progress = offstage.JobProgress{Done: done, Total: total, Message: message}
	queue := !x.queued
	x.unsaved, x.queued = true, true
	x.mu.Unlock()
	if queue {
		x.engine.reports.add(x)
	}
}

// unsavedProgress returns the progress that is still to be stored.
func (x *execution) unsavedProgress() (report offstage.JobProgress, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	report, ok = x.progress, x.unsaved
	x.unsaved, x.queued = false, false
	report.Job, report.Run = x.attempt.job.ID, x.attempt.job.Run
	report.Message = clean(report.Message, maxMessage)
	return report, ok
}

func (x *execution) hasUnsaved() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.unsaved
}

// reportAgain notes that the progress was not stored after all.
func (x *execution) reportAgain() {
	x.mu.Lock()
	queue := !x.queued && !x.ended
	x.unsaved, x.queued = true, x.queued || queue
	x.mu.Unlock()
	if queue {
		x.engine.reports.add(x)
	}
}

// Logger returns a logger whose lines are kept with the attempt.
func (x *execution) Logger() *slog.Logger {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.logger == nil {
		x.capture = &capture{closed: x.ended}
		job := &x.attempt.job
		own := x.engine.log.With("job", job.ID, "kind", job.Kind, "attempt", job.Run)
		x.logger = slog.New(newTee(own.Handler(), x.capture))
	}
	return x.logger
}

// Complete ends the attempt as completed inside the caller's transaction.
func (x *execution) Complete(ctx context.Context, tx offstage.Tx, value any) error {
	result, err := x.completion(value)
	if err != nil {
		return err
	}
	store, err := x.engine.store.Within(tx)
	if err != nil {
		return err
	}
	if err := x.leave(); err != nil {
		return err
	}
	return store.Complete(ctx, x.attempt.claim.session.id, result)
}

// completion is the attempt's result as of now.
func (x *execution) completion(value any) (offstage.Result, error) {
	job := &x.attempt.job
	result := offstage.Result{
		Job: job.ID, Run: job.Run, Claim: x.attempt.claim.seq, Errors: job.Errors, UniqueKey: job.UniqueKey, Parent: job.Parent,
		Outcome: offstage.OutcomeCompleted, Next: offstage.Completed, Started: true,
	}
	if value != nil {
		encoded, err := json.Marshal(value)
		if err != nil {
			return result, fmt.Errorf("the result of type %T cannot be written as JSON: %w", value, err)
		}
		if err := checkResult(encoded); err != nil {
			return result, err
		}
		result.Value = encoded
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	result.Ran = time.Since(x.begun)
	if x.capture != nil {
		result.Log = x.capture.lines()
	}
	return result, nil
}

// leave takes the attempt out of the shared writing of results. It comes before
// the call: an answer that is lost may be a success.
func (x *execution) leave() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return offstage.ErrNotRunning
	}
	x.asked = true
	return nil
}
