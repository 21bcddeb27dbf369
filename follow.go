package offstage

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Follower tells what becomes of one job. It is made by [Client.Follow] and is
// for one goroutine.
type Follower struct {
	id     ID
	client *Client
	joined bool
	told   JobInfo // what Next returned last

	news   chan struct{} // of capacity 1: there is something in latest
	mu     sync.Mutex
	latest JobInfo // guarded by mu
	err    error   // guarded by mu: there will be nothing more
}

// Follow returns a follower of a job, on whatever machine it runs. Close it in
// the end.
func (c *Client) Follow(id ID) *Follower {
	return &Follower{id: id, client: c, news: make(chan struct{}, 1)}
}

// Next returns what is known of the job, without its arguments, result and
// history: at first where it stands, and each time after that when it has
// changed, in its state, attempt or progress. Changes that come too fast are
// seen as one. It is called again after the end of ctx without harm, but not
// after a state that is Terminal. ErrNotFound means that there is no such job,
// or none any more. Following costs one query per interval for all followers of
// a client together.
func (f *Follower) Next(ctx context.Context) (JobInfo, error) {
	if !f.joined {
		f.joined = true
		all := &f.client.following
		all.join(f.id, f, func() { all.loop(context.WithoutCancel(ctx), f.client.store) })
	}
	for {
		select {
		case <-f.news:
		case <-ctx.Done():
			return JobInfo{}, ctx.Err()
		}
		f.mu.Lock()
		latest, err := f.latest, f.err
		f.mu.Unlock()
		if err != nil {
			return JobInfo{}, err
		}
		if changed(f.told, latest) {
			f.told = latest
			return latest, nil
		}
	}
}

// Close ends the following.
func (f *Follower) Close() {
	if f.joined {
		f.client.following.leave(f.id, f)
	}
}

// tell hands over what was seen, or that there will be nothing more.
func (f *Follower) tell(latest JobInfo, err error) {
	f.mu.Lock()
	fresh := err != nil || changed(f.latest, latest)
	f.latest, f.err = latest, err
	f.mu.Unlock()
	if !fresh {
		return
	}
	select {
	case f.news <- struct{}{}:
	default: // it has not taken the one before; it takes both
	}
}

// changed reports whether a follower would want to know.
func changed(before, now JobInfo) bool {
	a, b := before.Progress, now.Progress
	return before.State != now.State || before.Run != now.Run || before.CancelAsked != now.CancelAsked || !before.RunAt.Equal(now.RunAt) ||
		(a == nil) != (b == nil) || a != nil && (a.Run != b.Run || !a.At.Equal(b.At) || a.Done != b.Done || a.Message != b.Message)
}

// How often the jobs that are followed are looked at.
const (
	followEvery = 100 * time.Millisecond
	followSoon  = 10 * time.Millisecond // for somebody new
)

// followers share one loop of looks.
type followers struct{ crowd[*Follower] }

// loop looks until nobody follows. A failing store is asked again.
func (all *followers) loop(ctx context.Context, store Store) {
	for {
		ids := all.ids()
		if ids == nil {
			return
		}
		began := time.Now()
		for start := 0; start < len(ids); start += maxLook {
			chunk := ids[start:min(start+maxLook, len(ids))]
			infos, err := store.Look(ctx, chunk)
			if err == nil || errors.Is(err, ErrClosed) {
				all.hand(chunk, infos, err)
			}
		}
		// Looks take at most half of the time.
		took := time.Since(began)
		all.pause(max(followEvery-took, took), followSoon, nil)
	}
}

// hand tells the followers what was seen. Those of jobs that have ended, or are
// not there, leave.
func (all *followers) hand(ids []ID, infos []JobInfo, err error) {
	found := make(map[ID]JobInfo, len(infos))
	for _, info := range infos {
		found[info.ID] = info
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, id := range ids {
		info, ok := found[id]
		said := err
		if said == nil && !ok {
			said = ErrNotFound
		}
		for _, f := range all.byJob[id] {
			f.tell(info, said)
		}
		if said != nil || info.State.Terminal() {
			delete(all.byJob, id)
		}
	}
}
