package faultstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// busyMethods are called by any engine that works.
var busyMethods = []string{"Register", "Claim", "Finish", "Beat", "Lead", "Chore", "SaveProgress", "Watch", "Sleep"}

// TestEngineOutlivesTheNthCall breaks single calls: the first, the second … of
// each method.
func TestEngineOutlivesTheNthCall(t *testing.T) {
	for _, method := range busyMethods[:7] { // the rest is called but a few times
		for _, mode := range []faultstore.Mode{faultstore.Before, faultstore.After} {
			for n := 1; n <= 6; n++ {
				fault := faultstore.Fault{Method: method, Mode: mode, First: n, Count: 1}
				t.Run(fmt.Sprintf("%s/%s/%d", method, mode, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { playBusy(t, fault) })
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

// playBusy has ordinary jobs.
func playBusy(t *testing.T, fault faultstore.Fault) {
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
	end := run(t, worker.Config{}, func(w *worker.Worker) { worker.Handle(w, seen.handle, every(time.Second)) }, faulty, other)
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
	pass(1500 * time.Millisecond)
	if fault.Method != "Register" {
		faulty.Break(fault)
	}
	enqueue(12)
	pass(lasts)
	struck := faulty.Heal()
	enqueue(12)
	awaitAll(t, client, ids)
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
