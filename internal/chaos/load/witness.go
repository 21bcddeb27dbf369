package load

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/worker"
)

// ending is an error that says more of a handler's end than the store will.
type ending struct {
	error
	how  string
	wait time.Duration // what follows comes no sooner
}

// Unwrap returns the error that the engine understands.
func (e *ending) Unwrap() error { return e.error }

// witness returns the middleware that records what handlers do: the start as the
// first thing, the end as the last.
func witness(rec *history.Recorder) worker.Middleware {
	return func(next worker.HandlerFunc) worker.HandlerFunc {
		return func(ctx context.Context, job *offstage.Job[json.RawMessage]) (json.RawMessage, error) {
			about := history.Event{Job: job.ID, Run: job.Run, Kind: job.Kind, Errors: job.Errors, Lost: job.Lost}
			record := func(what history.What, change func(*history.Event)) {
				e := about
				e.What = what
				change(&e)
				rec.Write(e)
			}
			record(history.Start, func(*history.Event) {})
			stop := context.AfterFunc(ctx, func() {
				record(history.Cancelled, func(e *history.Event) { e.Note = causeName(context.Cause(ctx)) })
			})
			how, wait := history.Broken, backoff(job.Errors+1)
			defer func() {
				stop()
				record(history.End, func(e *history.Event) { e.How, e.Wait = how, int64(wait) })
			}()
			value, err := next(ctx, job)
			how, wait = describe(ctx, err, backoff(job.Errors+1))
			return value, err
		}
	}
}

// describe says how a handler ended and what wait it asks for.
func describe(ctx context.Context, err error, retry time.Duration) (how string, wait time.Duration) {
	var said *ending
	switch cause := context.Cause(ctx); {
	case err == nil:
		return history.OK, 0
	case errors.As(err, &said):
		return said.how, said.wait
	case cause != nil && errors.Is(err, cause):
		return history.Cause, 0
	}
	return history.Error, retry
}

func causeName(cause error) string {
	switch {
	case errors.Is(cause, offstage.ErrLeaseLost):
		return history.CauseLeaseLost
	case errors.Is(cause, offstage.ErrShutdown):
		return history.CauseShutdown
	}
	return cause.Error()
}

// namer is a store that records which suspects its worker names, and what it claims of
// dead workers' jobs.
type namer struct {
	offstage.Store
	offstage.Waker
	rec *history.Recorder
}

// watchNames returns the store with its suspects recorded.
func watchNames(store offstage.Store, rec *history.Recorder) offstage.Store {
	return namer{store, store.(offstage.Waker), rec} // every store of a campaign is one
}

// Claim is the store's.
func (n namer) Claim(ctx context.Context, request offstage.ClaimRequest) (offstage.Claim, error) {
	claim, err := n.Store.Claim(ctx, request)
	for i := range claim.Jobs {
		if job := &claim.Jobs[i]; job.Lost > 0 {
			n.rec.Write(history.Event{What: history.Claimed, Job: job.ID, Run: job.Run, Lost: job.Lost})
		}
	}
	return claim, err
}

// Suspect is the store's.
func (n namer) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	n.rec.Write(history.Event{What: history.Naming, Job: job, Run: run})
	return n.Store.Suspect(ctx, worker, job, run)
}

// marker returns what tells of the ends that a worker has recorded.
func marker(rec *history.Recorder) func(context.Context, worker.Event) {
	return func(_ context.Context, e worker.Event) {
		if e.Outcome != 0 {
			rec.Write(history.Event{What: history.Mark, Job: e.Job.ID, Run: e.Run, How: e.Outcome.String(), Next: e.To})
		}
	}
}
