package offstage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
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
}

// Receipt returns a receipt for a job that was enqueued elsewhere, to wait for
// it. Whether there is such a job shows when it is waited for.
func (c *Client) Receipt(id ID) *Receipt { return &Receipt{ID: id, Existed: true, client: c} }

// Wait returns the job's result (nil if it has none) when it has completed, on
// whatever machine. A job that ended otherwise is an [EndedError], one that does
// not exist (any more) ErrNotFound. Waiting costs one query per interval for all
// waiters of a client together.
func (r *Receipt) Wait(ctx context.Context) (json.RawMessage, error) {
	ended, err := r.client.waiting.wait(ctx, r.client.store, r.ID)
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
// waits for are short.
const (
	firstLook = 5 * time.Millisecond
	lastLook  = 250 * time.Millisecond
)

// waiters share one loop of looks, which runs only while somebody waits.
type waiters struct {
	mu      sync.Mutex
	byJob   map[ID][]chan look // guarded by mu
	looking bool               // guarded by mu: the loop runs
	changed chan struct{}      // tells the loop that byJob has changed
}

type look struct {
	ended Ended
	err   error
}

func (w *waiters) wait(ctx context.Context, store Store, id ID) (Ended, error) {
	answer := make(chan look, 1)
	w.join(ctx, store, id, answer)
	select {
	case found := <-answer:
		return found.ended, found.err
	case <-ctx.Done():
		w.leave(id, answer)
		return Ended{}, ctx.Err()
	}
}

func (w *waiters) join(ctx context.Context, store Store, id ID, answer chan look) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byJob == nil {
		w.byJob, w.changed = map[ID][]chan look{}, make(chan struct{}, 1)
	}
	w.byJob[id] = append(w.byJob[id], answer)
	if !w.looking {
		w.looking = true
		go w.loop(context.WithoutCancel(ctx), store)
	}
	w.tell()
}

func (w *waiters) tell() {
	select {
	case w.changed <- struct{}{}:
	default: // it is told already
	}
}

func (w *waiters) leave(id ID, answer chan look) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := w.byJob[id][:0]
	for _, other := range w.byJob[id] {
		if other != answer {
			rest = append(rest, other)
		}
	}
	if w.byJob[id] = rest; len(rest) == 0 {
		delete(w.byJob, id)
	}
	w.tell()
}

// loop looks until nobody waits. A failing store is asked again: the waiters'
// contexts say how long that is worth while.
func (w *waiters) loop(ctx context.Context, store Store) {
	interval := firstLook
	for {
		ids := w.ids()
		if ids == nil {
			return
		}
		for start := 0; start < len(ids); start += 1000 {
			found, err := store.EndedOf(ctx, ids[start:min(start+1000, len(ids))])
			if errors.Is(err, ErrClosed) {
				w.fail(err)
			} else if err == nil {
				w.answer(found)
			}
		}
		interval = w.pause(interval)
	}
}

// pause waits for the next look's time, or until nobody waits, and returns the
// interval after that. Somebody new brings the look forward, but never makes
// one of his own.
func (w *waiters) pause(interval time.Duration) time.Duration {
	next := time.Now().Add(interval)
	interval = min(interval*3/2, lastLook)
	for w.anybody() {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
			return interval
		case <-w.changed:
			timer.Stop()
		}
		interval = firstLook
		if soon := time.Now().Add(firstLook); soon.Before(next) {
			next = soon
		}
	}
	return interval
}

func (w *waiters) anybody() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byJob) > 0
}

// ids returns who is waited for; nil ends the loop.
func (w *waiters) ids() []ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.byJob) == 0 {
		w.looking = false
		return nil
	}
	ids := make([]ID, 0, len(w.byJob))
	for id := range w.byJob {
		ids = append(ids, id)
	}
	return ids
}

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
