package offstage

import (
	"context"
	"log/slog"
)

// Execution is what an engine offers a handler through its context. Handlers do
// not use it; they call [Progress], [Logger] and [Job.Complete]. All methods may
// be called by many goroutines.
type Execution interface {
	// Progress notes how far the attempt is. It must not block.
	Progress(done, total int64, message string)
	// Complete ends the attempt as completed inside tx, with a value that
	// marshals to JSON as its result, or nil.
	Complete(ctx context.Context, tx Tx, value any) error
	// Logger returns a logger whose lines are kept with the attempt.
	Logger() *slog.Logger
	// Memory returns what the job has done so far.
	Memory() *Memory
	// Stopping reports whether the engine wants the attempt to end soon, though
	// it may go on for the grace period.
	Stopping() bool
}

type executionKey struct{}

// WithExecution returns the context for a handler. Engines call it.
func WithExecution(ctx context.Context, r Execution) context.Context {
	return context.WithValue(ctx, executionKey{}, r)
}

// ExecutionFrom returns what the engine put into a handler's context; nil if ctx
// is not a handler's.
func ExecutionFrom(ctx context.Context) Execution {
	r, _ := ctx.Value(executionKey{}).(Execution)
	return r
}

// Progress says how far the running job is: done of total units (total 0:
// unknown) and a short message for its user. It costs next to nothing, may be
// called as often as is convenient, and is stored at most four times a second.
// Outside a handler it does nothing.
func Progress(ctx context.Context, done, total int64, message string) {
	if r := ExecutionFrom(ctx); r != nil {
		r.Progress(done, total, message)
	}
}

// Logger returns a logger for the running job: its lines go where the worker's
// go, with the job's id and kind, and the first 100 of an attempt are kept with
// it. Outside a handler it is slog.Default().
func Logger(ctx context.Context) *slog.Logger {
	if r := ExecutionFrom(ctx); r != nil {
		return r.Logger()
	}
	return slog.Default()
}

// Complete ends this attempt as completed inside the caller's transaction: the
// transaction's other effects happen if and only if the completion does. The
// handler commits and returns nil. If the transaction does not commit, the
// attempt counts as failed. ErrLeaseLost means that the job is somebody else's
// by now: roll back.
func (j *Job[A]) Complete(ctx context.Context, tx Tx) error {
	return j.CompleteWith(ctx, tx, nil)
}

// CompleteWith is Complete with a result, which must marshal to JSON.
func (j *Job[A]) CompleteWith(ctx context.Context, tx Tx, result any) error {
	r := ExecutionFrom(ctx)
	if r == nil {
		return ErrNotRunning
	}
	return r.Complete(ctx, tx, result)
}
