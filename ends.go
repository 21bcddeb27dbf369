package offstage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// watchAgain is how long after a failure the store is asked again to tell.
const watchAgain = 5 * time.Second

// ends have the store tell of the ends of jobs, if it can, for one loop of looks.
type ends struct {
	news chan struct{} // of capacity 1: jobs may have ended, or told has changed
	told atomic.Bool   // the store tells

	started bool
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// start begins, unless it has begun.
func (e *ends) start(ctx context.Context, store Store) {
	herald, can := store.(Herald)
	if e.started || !can {
		return
	}
	e.started = true
	ctx, e.cancel = context.WithCancel(ctx)
	e.running.Go(func() { e.watch(ctx, herald) })
}

// stop ends what start has begun.
func (e *ends) stop() {
	if e.started {
		e.cancel()
		e.running.Wait()
	}
}

// watch lets the store tell until ctx ends. Where that cannot work, or while it
// fails, the looks go on as without it.
func (e *ends) watch(ctx context.Context, herald Herald) {
	for ctx.Err() == nil {
		err := herald.WatchEnds(ctx, func() { e.tell(true) }, e.ring)
		e.tell(false)
		var fault *StoreError
		if !errors.As(err, &fault) {
			return
		}
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
		}
	}
}

func (e *ends) tell(told bool) {
	if e.told.Swap(told) != told {
		e.ring()
	}
}

func (e *ends) ring() {
	select {
	case e.news <- struct{}{}:
	default: // the loop has not taken the one before; it looks once for both
	}
}
