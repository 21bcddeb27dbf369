package offstagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// execution is an attempt without a worker, as a handler sees it.
type execution struct {
	store  offstage.Store
	hold   offstage.Hold
	job    offstage.ClaimedJob
	memory *offstage.Memory
	begun  time.Time

	mu    sync.Mutex
	asked bool // guarded by mu: Complete was tried
}

var _ offstage.Execution = (*execution)(nil)

// newExecution begins the attempt of a job that was claimed. facts have its
// arguments, which a claim may leave out.
func newExecution(store offstage.Store, worker offstage.WorkerID, job offstage.ClaimedJob, facts offstage.Facts) *execution {
	job.Facts = facts
	hold := offstage.Hold{Worker: worker, Claim: 1, Job: job.ID, Run: job.Run}
	return &execution{store: store, hold: hold, job: job, memory: offstage.NewMemory(store, hold, facts), begun: time.Now()}
}

// Progress drops the report.
func (x *execution) Progress(int64, int64, string) {}

// Logger drops the lines.
func (x *execution) Logger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Memory returns what the job has done so far.
func (x *execution) Memory() *offstage.Memory { return x.memory }

// Stopping is never.
func (x *execution) Stopping() bool { return false }

// Complete ends the attempt in the caller's transaction.
func (x *execution) Complete(ctx context.Context, tx offstage.Tx, value any) error {
	result := offstage.Result{
		Job: x.job.ID, Run: x.job.Run, Claim: x.hold.Claim, Errors: x.job.Errors, UniqueKey: x.job.UniqueKey, Parent: x.job.Parent,
		Outcome: offstage.OutcomeCompleted, Next: offstage.Completed, Started: true, Ran: time.Since(x.begun),
	}
	if value != nil {
		encoded, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("the result of type %T cannot be written as JSON: %w", value, err)
		}
		result.Value = encoded
	}
	within, err := x.store.Within(tx)
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.asked = true
	x.mu.Unlock()
	return within.Complete(ctx, x.hold.Worker, result)
}

// finish records how the handler returned, unless a transaction has.
func (x *execution) finish(ctx context.Context, returned error) error {
	x.mu.Lock()
	asked := x.asked
	x.mu.Unlock()
	if asked {
		if ended, err := x.store.Ended(ctx, x.job.ID, x.job.Run); err != nil || ended {
			return err
		}
	}
	if waits := x.memory.Suspended(); waits != nil && returned == nil {
		returned = offstage.Fail(fmt.Errorf("the handler returned nil, though it was told to wait (%v); it must return that error", waits))
	}
	result := offstage.Conclude(offstage.Ending{
		Facts: x.job.Facts, Run: x.job.Run, Errors: x.job.Errors, Lost: x.job.Lost, Err: returned, Now: time.Now(), Started: true,
	}, offstage.RetryPolicy{})
	result.Claim, result.Ran = x.hold.Claim, time.Since(x.begun)
	_, err := x.store.Finish(ctx, offstage.FinishRequest{Worker: x.hold.Worker, Results: []offstage.Result{result}, Release: []int64{x.hold.Claim}})
	return err
}

// decode makes the handler's job.
func decode[A any](x *execution) (*offstage.Job[A], error) {
	job := &offstage.Job[A]{Facts: x.job.Facts, Run: x.job.Run, Errors: x.job.Errors, Lost: x.job.Lost}
	if err := json.Unmarshal(x.job.Args, &job.Args); err != nil {
		return nil, fmt.Errorf("the arguments cannot be decoded: %w", err)
	}
	return job, nil
}
