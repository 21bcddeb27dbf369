package faultstore_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// TestEngineOutlivesHours takes the store away from both workers for hours, with
// each class of error, while handlers run, jobs wait for their time, and others
// for their retry.
func TestEngineOutlivesHours(t *testing.T) {
	stores := map[string]func(*testing.T, string) offstage.Store{
		"memory": func(*testing.T, string) offstage.Store { return offstagetest.NewStore() },
		"sqlite": func(t *testing.T, path string) offstage.Store {
			store, err := sqlite.Open(t.Context(), path, sqlite.WithoutWatch())
			if err != nil {
				t.Fatal(err)
			}
			return store
		},
	}
	outages := []struct {
		store string
		class offstage.FaultClass
		lasts time.Duration
	}{
		{"memory", offstage.FaultDown, 3 * time.Hour},
		{"memory", offstage.FaultBusy, 20 * time.Minute},
		{"sqlite", offstage.FaultUnknown, 2 * time.Hour},
		{"sqlite", offstage.FaultDown, 20 * time.Minute},
	}
	for _, outage := range outages {
		t.Run(outage.store+"/"+outage.class.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobs.db")
			synctest.Test(t, func(t *testing.T) {
				store := stores[outage.store](t, path)
				outliveHours(t, store, outage.class, outage.lasts)
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func outliveHours(t *testing.T, store offstage.Store, class offstage.FaultClass, lasts time.Duration) {
	faulty := faultstore.Wrap(store)
	client := offstage.NewClient(store)
	seen := &witness{running: map[offstage.ID]int{}}
	end := run(t, worker.Config{}, func(w *worker.Worker) { worker.Handle(w, seen.handle, every(time.Second)) }, faulty, faulty)
	var ids []offstage.ID
	for _, lasts := range []time.Duration{10 * time.Second, lasts} {
		for i := range 10 {
			receipt, err := client.Enqueue(t.Context(), work{N: i}, offstage.After(time.Duration(i)*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, receipt.ID)
		}
		pass(2 * time.Second)
		faulty.Break(faultstore.Fault{Mode: faultstore.Before, Class: class})
		pass(lasts)
		if faulty.Heal() == 0 {
			t.Error("the outage struck nobody")
		}
		back := time.Now()
		for _, id := range ids {
			if _, err := client.Receipt(id).Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(back); took > 30*time.Second {
			t.Errorf("all had ended only %v after the outage", took)
		}
	}
	end()
	for _, id := range ids {
		wantOneCompletion(t, client, id)
	}
	if seen.overlaps != 0 {
		t.Errorf("%d attempts began while another of the same job was running", seen.overlaps)
	}
}
