package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Tally counts the jobs that a system's handlers have started. It is safe for
// concurrent use.
type Tally struct {
	work    WorkOrder
	started atomic.Int64

	mu    sync.Mutex // guards times
	times []float64
}

// errWanted is what handlers return that are to fail.
var errWanted = errors.New("this job fails as ordered")

// Handle is the body of every handler: it counts the job, notes its time if it
// is a timed one, and does as ordered.
func (t *Tally) Handle(ctx context.Context, at int64) error {
	if at != 0 {
		took := time.Duration(time.Now().UnixNano() - at)
		t.mu.Lock()
		t.times = append(t.times, took.Seconds()*1000)
		t.mu.Unlock()
	}
	if t.work.Sleep > 0 {
		timer := time.NewTimer(seconds(t.work.Sleep))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.started.Add(1)
	if t.work.Fail {
		return errWanted
	}
	return nil
}

// Add counts jobs of a system that has no handlers.
func (t *Tally) Add(jobs int) { t.started.Add(int64(jobs)) }

func (t *Tally) count() int { return int(t.started.Load()) }

// took returns the times so far.
func (t *Tally) took() []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.times
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
