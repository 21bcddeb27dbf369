package main

import (
	"context"
	"sync"
	"time"
)

// bufferWatch notes in each window of time how many pages a fetch looks at for
// each job that it gets.
type bufferWatch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	seen   []float64
	err    error
}

// watchBuffers uses the cluster's administrative connection until it is stopped.
func watchBuffers(ctx context.Context, db *database, window float64) *bufferWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &bufferWatch{cancel: cancel}
	w.done.Go(func() {
		last, err := db.statements(context.WithoutCancel(ctx))
		for err == nil && ctx.Err() == nil {
			rest(ctx, time.Duration(window*float64(time.Second)))
			if ctx.Err() != nil && len(w.seen) > 0 {
				break // a window that was cut short says little
			}
			var now statements
			if now, err = db.statements(context.WithoutCancel(ctx)); err == nil && now.fetched > last.fetched {
				w.seen = append(w.seen, (now.buffers-last.buffers)/(now.fetched-last.fetched))
				last = now
			}
		}
		w.err = err
	})
	return w
}

// stop ends the watch and returns what it has seen.
func (w *bufferWatch) stop() ([]float64, error) {
	w.cancel()
	w.done.Wait()
	return w.seen, w.err
}
