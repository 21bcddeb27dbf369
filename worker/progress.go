package worker

import (
	"context"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// progressEvery is the least time between two writes of progress.
const progressEvery = 250 * time.Millisecond

// maxMessage limits a progress message, in bytes.
const maxMessage = 1000

// reports are the executions whose progress has changed.
type reports struct {
	mu      sync.Mutex
	changed []*execution // guarded by mu
	more    signal
	// saving has room for one: who is in it reads a progress and stores it, so
	// that no older one overwrites it. It is no mutex, since it is held while
	// the store is asked.
	saving chan struct{}
}

func newReports() *reports {
	return &reports{more: newSignal(), saving: make(chan struct{}, 1)}
}

func (r *reports) add(x *execution) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = append(r.changed, x)
	r.more.set()
}

func (r *reports) take() []*execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.changed
	r.changed = nil
	return changed
}

// keepReporting stores what running jobs say of their progress, all together
// and at most four times a second, until ctx ends.
func (e *engine) keepReporting(ctx context.Context) {
	for pause(ctx, forever, e.reports.more) {
		e.saveChanged(ctx, e.reports.take())
		if !pause(ctx, progressEvery, nil) {
			return
		}
	}
}

// saveProgress stores the last progress of attempts that have ended, before
// their end is recorded.
func (e *engine) saveProgress(ctx context.Context, group []*entry) {
	var ended []*execution
	for _, entry := range group {
		if x := entry.execution; x != nil && x.hasUnsaved() {
			ended = append(ended, x)
		}
	}
	if len(ended) > 0 {
		e.saveChanged(ctx, ended)
	}
}

// saveChanged makes one try: the end of an attempt must not wait for it.
func (e *engine) saveChanged(ctx context.Context, changed []*execution) {
	select {
	case e.reports.saving <- struct{}{}:
		defer func() { <-e.reports.saving }()
	case <-ctx.Done():
		return
	}
	batch := make([]offstage.JobProgress, 0, len(changed))
	sent := changed[:0]
	for _, x := range changed {
		if report, ok := x.unsavedProgress(); ok {
			batch, sent = append(batch, report), append(sent, x)
		}
	}
	if len(batch) == 0 {
		return
	}
	call, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := e.store.SaveProgress(call, batch); err != nil {
		e.log.Debug("offstage: progress was not stored", "error", err)
		for _, x := range sent {
			x.reportAgain()
		}
	}
}
