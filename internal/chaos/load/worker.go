package load

import (
	"context"
	"log/slog"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/worker"
)

// Worker is one worker process.
type Worker struct {
	Name         string // also in the store's list of workers
	Lease, Grace time.Duration
	Ground       *Ground
	Recorder     *history.Recorder
	Logger       *slog.Logger
	// Die kills this process at once; Devour uses up its memory until it dies.
	Die, Devour func()
}

// Run works until ctx ends and everything has been brought to an end.
func (w *Worker) Run(ctx context.Context) error {
	engine, err := worker.New(watchNames(w.Ground.Store, w.Recorder), worker.Config{
		Name: w.Name, Lease: w.Lease, Grace: w.Grace, Logger: w.Logger,
		Pools: []worker.Pool{
			{Name: "urgent", Queues: []string{urgent}, Slots: 4},
			{Name: "all", Queues: []string{urgent, offstage.DefaultQueue, idle}, Slots: 16},
		},
		Schedules:  schedules(),
		Middleware: []worker.Middleware{witness(w.Recorder)},
		OnChange:   marker(w.Recorder),
	})
	if err != nil {
		return err
	}
	(&stage{w.Ground, w.Recorder, w.Die, w.Devour}).register(engine)
	w.Recorder.Write(history.Event{What: history.Up})
	return engine.Run(ctx)
}

// How the process notices that it was not scheduled.
const (
	pulse    = 20 * time.Millisecond
	longStop = 200 * time.Millisecond
)

// WatchStalls records when this process was stopped, or starved of the CPU,
// until ctx ends.
func WatchStalls(ctx context.Context, rec *history.Recorder) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for last := time.Now(); ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		gap := time.Since(last)
		if last = time.Now(); gap >= longStop {
			rec.Write(history.Event{What: history.Stall, Wait: int64(gap)})
		}
	}
}
