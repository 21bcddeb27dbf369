package faultstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// called lists the methods that a working engine calls, so that a fault in each
// of them must strike.
var called = []string{"Register", "Claim", "Finish", "Beat", "Lead", "Chore", "SaveProgress"}

// TestEngineOutlivesEachFault breaks one method at a time in each way, for half
// a minute, under one of two workers, and expects all that was promised.
func TestEngineOutlivesEachFault(t *testing.T) {
	classes := []offstage.FaultClass{offstage.FaultUnknown, offstage.FaultDown, offstage.FaultBusy}
	for _, method := range append([]string{""}, called...) {
		for _, mode := range []faultstore.Mode{faultstore.Before, faultstore.After, faultstore.Slow} {
			for _, class := range classes {
				if mode == faultstore.Slow && class != offstage.FaultUnknown {
					continue // slowness has no class
				}
				fault := faultstore.Fault{Method: method, Mode: mode, Class: class, Delay: 2 * time.Second}
				t.Run(fmt.Sprintf("%s/%s/%s", method, mode, class), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { outlive(t, fault) })
				})
			}
		}
	}
}

// TestEngineOutlivesTheNthCall breaks single calls: the first, the second … of
// each method.
func TestEngineOutlivesTheNthCall(t *testing.T) {
	for _, method := range called {
		for _, mode := range []faultstore.Mode{faultstore.Before, faultstore.After} {
			for n := 1; n <= 6; n++ {
				fault := faultstore.Fault{Method: method, Mode: mode, First: n, Count: 1}
				t.Run(fmt.Sprintf("%s/%s/%d", method, mode, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { outlive(t, fault) })
				})
			}
		}
	}
}

// work is a job of some seconds; one in three fails first.
type work struct {
	N int `json:"n"`
}

func (work) Kind() string { return "work" }

// witness sees what the handlers do, whatever the store believes.
type witness struct {
	mu       sync.Mutex
	running  map[offstage.ID]int // guarded by mu
	overlaps int                 // guarded by mu
	starts   int                 // guarded by mu
}

func (w *witness) enter(id offstage.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts++
	if w.running[id]++; w.running[id] > 1 {
		w.overlaps++
	}
}

func (w *witness) leave(id offstage.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[id]--
}

func (w *witness) handle(ctx context.Context, job *offstage.Job[work]) error {
	w.enter(job.ID)
	defer w.leave(job.ID)
	for second := range int64(3) {
		offstage.Progress(ctx, second, 3, "working")
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	if job.Args.N%3 == 0 && job.Errors == 0 {
		return errors.New("the first time it fails")
	}
	return nil
}

func outlive(t *testing.T, fault faultstore.Fault) {
	store := offstagetest.NewStore()
	faulty := faultstore.Wrap(store)
	seen := &witness{running: map[offstage.ID]int{}}
	if fault.Method == "Register" {
		faulty.Break(fault) // it is called once, at the beginning
	}
	var other offstage.Store = store
	if fault.Class == offstage.FaultDown {
		other = faulty // a server that is down is down for everybody
	}
	end := run(t, func(w *worker.Worker) {
		worker.Handle(w, seen.handle, worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return time.Second }}))
	}, faulty, other)
	client := offstage.NewClient(store)
	var ids []offstage.ID
	enqueue := func(n int) {
		for i := range n {
			receipt, err := client.Enqueue(t.Context(), work{N: i})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, receipt.ID)
		}
	}
	enqueue(12)
	<-time.After(1500 * time.Millisecond)
	if fault.Method != "Register" {
		faulty.Break(fault)
	}
	enqueue(12)
	<-time.After(30 * time.Second)
	struck := faulty.Heal()
	enqueue(12)
	for _, id := range ids {
		wait, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		if _, err := client.Receipt(id).Wait(wait); err != nil {
			details, _ := client.Get(t.Context(), id)
			t.Errorf("job %d: %v: %+v", id, err, details)
		}
		cancel()
	}
	end()
	if struck == 0 && fault.First <= 1 {
		t.Error("the fault never struck")
	}
	if seen.overlaps != 0 {
		t.Errorf("%d attempts began while another of the same job was running", seen.overlaps)
	}
	checkHistory(t, client, ids)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// run runs a worker with these handlers on each store; the first has time to take
// the lead. The returned function stops them.
func run(t *testing.T, register func(*worker.Worker), stores ...offstage.Store) (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, store := range stores {
		w, err := worker.New(store, worker.Config{
			Pools:  []worker.Pool{{Queues: []string{offstage.DefaultQueue}, Slots: 6}},
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		register(w)
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		<-time.After(200 * time.Millisecond)
	}
	return func() {
		stop()
		running.Wait()
	}
}

// checkHistory expects each job to have completed once, and to have been
// charged for its own failures alone.
func checkHistory(t *testing.T, client *offstage.Client, ids []offstage.ID) {
	for i, id := range ids {
		details, err := client.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		completed, errored := 0, 0
		for _, attempt := range details.Attempts {
			switch attempt.Outcome {
			case offstage.OutcomeCompleted:
				completed++
			case offstage.OutcomeErrored:
				errored++
			}
		}
		failures := 0
		if i%12%3 == 0 {
			failures = 1
		}
		if completed != 1 || errored != failures {
			t.Errorf("job %d completed %d times and was charged %d failures; want 1 and %d: %+v", id, completed, errored, failures, details.Attempts)
		}
	}
}
