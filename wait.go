package offstage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Receipt is what an enqueue returns.
type Receipt struct {
	// ID names the job.
	ID ID
	// Existed says that the job was unique, or its request made before, and the
	// job there already.
	Existed bool
	// At is when the request was made first, by the store's clock; zero without
	// [ForRequest].
	At time.Time

	client *Client
	parent ID // of a child: the job that enqueued it; 0: none
}

// Receipt returns a receipt for a job that was enqueued elsewhere, to wait for
// it. Whether there is such a job shows when it is waited for.
func (c *Client) Receipt(id ID) *Receipt { return &Receipt{ID: id, Existed: true, client: c} }

// Wait returns the job's result (nil if it has none) when it has completed, on
// whatever machine. A job that ended otherwise is an [EndedError], one that does
// not exist (any more) ErrNotFound. The store wakes who waits, if it can; all
// waiters of a client together cost one query when jobs have ended, and one a
// second besides.
//
// In the handler that has enqueued the job by [Client.EnqueueChild], it holds no
// slot: if the job has not ended, it returns an error for the handler to return at
// once, and a later attempt, at no cost, comes back when it has. How the job ended
// is remembered as a step.
func (r *Receipt) Wait(ctx context.Context) (json.RawMessage, error) {
	ended, err := r.ended(ctx)
	switch {
	case err != nil:
		return nil, err
	case ended.State == Completed:
		return ended.Result, nil
	case ended.State == 0:
		return nil, ErrNotFound
	}
	return nil, &EndedError{ID: r.ID, State: ended.State, Message: ended.Error}
}

// ended waits for the job's end.
func (r *Receipt) ended(ctx context.Context) (Ended, error) {
	execution := ExecutionFrom(ctx)
	if r.parent != 0 && execution != nil && execution.Memory() != nil && execution.Memory().hold.Job == r.parent {
		return r.awaitChild(ctx, execution.Memory())
	}
	return r.client.waiting.wait(ctx, r.client.store, r.ID)
}

// Await is [Receipt.Wait] with the result decoded into R.
func Await[R any](ctx context.Context, r *Receipt) (R, error) {
	var result R
	raw, err := r.Wait(ctx)
	if err != nil || raw == nil {
		return result, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, fmt.Errorf("offstage: the result of job %d is not a %T: %w", r.ID, result, err)
	}
	return result, nil
}

// The intervals between looks: quick at first, since most jobs that somebody
// waits for are short, then longer and longer.
const (
	firstLook = 5 * time.Millisecond
	watchFrom = 25 * time.Millisecond  // from here on it is worth while to be told
	lastLook  = 250 * time.Millisecond // the longest where nobody tells of ends
	lastTold  = time.Second            // the longest where the store does
)

// waiters wait for the end of jobs.
type waiters struct{ crowd[chan look] }

type look struct {
	ended Ended
	err   error
}

func (w *waiters) wait(ctx context.Context, store Store, id ID) (Ended, error) {
	answer := make(chan look, 1)
	w.join(id, answer, func() { w.loop(context.WithoutCancel(ctx), store) })
	select {
	case found := <-answer:
		return found.ended, found.err
	case <-ctx.Done():
		w.leave(id, answer)
		return Ended{}, ctx.Err()
	}
}

// loop looks until nobody waits. A failing store is asked again: the waiters'
// contexts say how long that is worth while. Who waits longer than a moment is
// woken by the store, if it can.
func (w *waiters) loop(ctx context.Context, store Store) {
	ends := ends{news: make(chan struct{}, 1)}
	defer ends.stop()
	interval, told := firstLook, false
	for {
		ids := w.ids()
		if ids == nil {
			return
		}
		for start := 0; start < len(ids); start += maxLook {
			found, err := store.EndedOf(ctx, ids[start:min(start+maxLook, len(ids))])
			if errors.Is(err, ErrClosed) {
				w.fail(err)
			} else if err == nil {
				w.answer(found)
			}
		}
		hurried := w.pause(interval, firstLook, ends.news)
		if interval >= watchFrom {
			ends.start(ctx, store)
		}
		switch now := ends.told.Load(); {
		case now != told, hurried && !now:
			interval, told = firstLook, now
		case now:
			interval = min(interval*3/2, lastTold)
		default:
			interval = min(interval*3/2, lastLook)
		}
	}
}

// maxLook is how many jobs are looked at in one query.
const maxLook = 1000

func (w *waiters) answer(found []Ended) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ended := range found {
		for _, answer := range w.byJob[ended.ID] {
			answer <- look{ended: ended}
		}
		delete(w.byJob, ended.ID)
	}
}

// fail tells everybody that there is nothing more to wait for.
func (w *waiters) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, answers := range w.byJob {
		for _, answer := range answers {
			answer <- look{err: err}
		}
	}
	clear(w.byJob)
}
