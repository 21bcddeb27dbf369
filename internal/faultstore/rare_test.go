package faultstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// rareMethods are called by an engine only when something is special.
var rareMethods = []string{"Ended", "LoadArgs", "Claims", "Rescue", "Suspect", "Tx.Complete", "Within", "Unregister"}

// special is a job of which the engine asks more than usual.
type special struct {
	Commits bool   `json:"commits"` // it completes in a transaction
	Padding string `json:"padding"`
}

func (special) Kind() string { return "special" }

// playRare has long arguments, completions in transactions, lost claims, a dead
// worker and suspects.
func playRare(t *testing.T, fault faultstore.Fault) {
	store := offstagetest.NewStore()
	lossy := faultstore.Wrap(store) // loses the answers to claims
	faulty := faultstore.Wrap(lossy)
	client := offstage.NewClient(store)
	enqueue := func(n int) (ids []offstage.ID) {
		for i := range n {
			receipt, err := client.Enqueue(t.Context(), special{i%2 == 0, strings.Repeat("x", i%3*5000)})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, receipt.ID)
		}
		return ids
	}
	ids := enqueue(6)
	for range offstage.SuspectLost {
		dead := claimAll(t, store)
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: dead, Dead: true}, 100); err != nil {
			t.Fatal(err)
		}
	}
	ids = append(ids, enqueue(6)...)
	claimAll(t, store) // by one that will not be heard of again
	ids = append(ids, enqueue(12)...)
	faulty.Break(fault)
	lossy.Break(faultstore.Fault{Method: "Claim", Mode: faultstore.After, Count: 2})
	seen := &witness{running: map[offstage.ID]int{}}
	end := runSpecial(t, seen, faulty, store)
	pass(lasts)
	if fault.Method == "Unregister" {
		end()
	}
	if struck := faulty.Heal(); struck == 0 {
		t.Error("the fault never struck")
	}
	if fault.Method == "Unregister" {
		end = runSpecial(t, seen, faulty, store)
	}
	awaitAll(t, client, ids)
	end()
	if seen.overlaps != 0 {
		t.Errorf("%d attempts began while another of the same job was running", seen.overlaps)
	}
	for _, id := range ids {
		wantOneCompletion(t, client, id)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// claimAll is a worker that claims everything and does nothing.
func claimAll(t *testing.T, store offstage.Store) offstage.WorkerID {
	t.Helper()
	id, err := store.Register(t.Context(), offstage.WorkerInfo{Name: "idle"})
	if err != nil {
		t.Fatal(err)
	}
	pools := []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: 1000}}
	if _, err := store.Claim(t.Context(), offstage.ClaimRequest{Worker: id, Seq: 1, Pools: pools}); err != nil {
		t.Fatal(err)
	}
	return id
}

// runSpecial runs two workers on the store that fails.
func runSpecial(t *testing.T, seen *witness, faulty *faultstore.Store, store *offstagetest.Store) (end func()) {
	return run(t, worker.Config{}, func(w *worker.Worker) {
		worker.Handle(w, func(ctx context.Context, job *offstage.Job[special]) error {
			seen.enter(job.ID)
			defer seen.leave(job.ID)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
			if !job.Args.Commits {
				return nil
			}
			tx := store.Begin()
			if err := job.Complete(ctx, offstagetest.Tx(tx)); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			return tx.Commit()
		}, every(10*time.Second))
	}, faulty, faulty)
}

func wantOneCompletion(t *testing.T, client *offstage.Client, id offstage.ID) {
	t.Helper()
	details, err := client.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	completed := 0
	for _, attempt := range details.Attempts {
		if attempt.Outcome == offstage.OutcomeCompleted {
			completed++
		}
	}
	if completed != 1 || details.State != offstage.Completed {
		t.Errorf("job %d is %s and completed %d times: %+v", id, details.State, completed, details.Attempts)
	}
}
