package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

func TestProgressIsStoredAtMostFourTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			for n := range int64(1_000_000) {
				offstage.Progress(ctx, n+1, 1_000_000, "counting")
				if n%1000 == 0 {
					tick(10 * time.Millisecond)
				}
			}
			return errors.New("over")
		})
		r.run()
		ids := []offstage.ID{r.enqueue(task{}), r.enqueue(task{}), r.enqueue(task{})}
		last := int64(0)
		for range 9 {
			tick(time.Second)
			p := r.get(ids[0]).Progress
			if p == nil || p.Done <= last || p.Total != 1_000_000 || p.Message != "counting" {
				t.Fatalf("progress %+v after %d", p, last)
			}
			last = p.Done
		}
		got := r.await(ids[0], offstage.Retrying)
		if got.Progress.Done != 1_000_000 {
			t.Errorf("the last progress was lost: %+v", got.Progress)
		}
		if n := store.count("SaveProgress"); n > 4*10+1+3 {
			t.Errorf("%d writes in 10s for three jobs; want at most four a second and one at each end", n)
		}
		r.endWell()
	})
}

func TestProgressOutlivesAFailureToStoreIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		store.before(func(_ context.Context, call string, _ any) error {
			if call == "SaveProgress" {
				return down
			}
			return nil
		})
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
			offstage.Progress(ctx, 1, 0, "once \x00")
			tick(20 * time.Second)
			return nil
		})
		r.run()
		id := r.enqueue(task{})
		tick(10 * time.Second)
		store.before(nil)
		tick(time.Second)
		if p := r.get(id).Progress; p == nil || p.Done != 1 || p.Message != "once \uFFFD" {
			t.Errorf("progress %+v", p)
		}
		r.endWell()
	})
}

func BenchmarkProgress(b *testing.B) {
	w, err := worker.New(newTap(), worker.Config{})
	if err != nil {
		b.Fatal(err)
	}
	x := w.ReportProgress()
	for b.Loop() {
		x.Progress(1, 2, "message")
	}
}
