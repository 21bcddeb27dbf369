package worker

import (
	"context"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

const (
	// progressEvery is the least time between two writes of one job's progress.
	progressEvery = 250 * time.Millisecond
	// progressGather is the least time between two writes, each of all that have
	// come: what a user sees of many jobs is not later than of one.
	progressGather = 50 * time.Millisecond
)

// maxMessage limits a progress message, in bytes.
const maxMessage = 1000

// reports are the executions whose progress has changed.
type reports struct {
	mu      sync.Mutex
	changed []*execution // guarded by mu; so is the time of each one's last write
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

// due takes those whose last write is long enough ago, and returns when the next
// will be.
func (r *reports) due(now time.Time) (due []*execution, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait = forever
	later := r.changed[:0]
	for _, x := range r.changed {
		if rest := progressEvery - now.Sub(x.saved); rest > 0 {
			later, wait = append(later, x), min(wait, rest)
			continue
		}
		x.saved = now
		due = append(due, x)
	}
	clear(r.changed[len(later):])
	r.changed = later
	return due, wait
}

// keepReporting stores what running jobs say of their progress, all together
// and of each at most four times a second, until ctx ends.
func (e *engine) keepReporting(ctx context.Context) {
	for wait := time.Duration(forever); pause(ctx, wait, e.reports.more); {
		var due []*execution
		due, wait = e.reports.due(time.Now())
		e.saveChanged(ctx, due)
		if !pause(ctx, progressGather, nil) {
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
