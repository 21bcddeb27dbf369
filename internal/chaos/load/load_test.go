package load_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/checker"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/internal/chaos/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harmless are the kinds that leave their process alone and take no seconds.
var harmless = []string{"quick", "flaky", "later", "single", "once", "paired", "effect", "snoozed", "called", "broken", "bulk", "stepped", "patient"}

// enough is how many enqueues are to be seen.
const enough = 150

// A load that nothing befalls keeps every promise, and its processes leave no
// goroutine behind.
func TestACalmCampaignIsClean(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	ground, err := load.Open(ctx, load.SQLite, filepath.Join(dir, "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ground.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	clock := func() (mono, wall int64) { return int64(time.Since(began)), time.Now().UnixNano() }
	recorder := func(process string) *history.Recorder {
		rec, err := history.Create(dir, process, clock, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := rec.Close(); err != nil {
				t.Error(err)
			}
		})
		return rec
	}
	parent := recorder("parent")
	start := func(run func(context.Context)) (stop func()) { return start(ctx, run) }
	w := &load.Worker{Name: "w", Lease: time.Second, Grace: time.Second, Ground: ground, Recorder: recorder("w"), Logger: slog.New(slog.DiscardHandler)}
	stopWorker := start(func(ctx context.Context) {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	p := &load.Producer{Name: "p", Rate: 200, Seed: 1, Only: harmless, Ground: ground, Recorder: recorder("p")}
	stopProducer := start(p.Run)
	stopStalls := start(func(ctx context.Context) { load.WatchStalls(ctx, w.Recorder) })
	await(t, ground, enough)
	stopProducer()
	if err := ground.EndSchedules(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := ground.SignalLate(ctx, parent); err != nil {
		t.Fatal(err)
	}
	if left, err := ground.Drain(ctx); left > 0 || err != nil {
		t.Fatalf("%d jobs have not ended: %v", left, err)
	}
	stopWorker()
	stopStalls()
	listing, err := ground.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	events, err := history.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	report := checker.Check(events, listing, checker.Rules{Store: load.SQLite, Lease: time.Second, Grace: time.Second, Kinds: load.Kinds()})
	for _, v := range report.Violations {
		t.Errorf("%+v", v)
	}
	if report.Steps == 0 || report.Signals == 0 || report.Ticks == 0 || report.Completed == 0 {
		t.Errorf("something did not happen: %+v", report)
	}
	if err := ground.Close(); err != nil {
		t.Error(err)
	}
}

// start runs something until it is stopped.
func start(ctx context.Context, run func(context.Context)) (stop func()) {
	running, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { run(running) })
	return func() { cancel(); all.Wait() }
}

// await waits until there are so many jobs, and one that waited for its signal.
func await(t *testing.T, ground *load.Ground, n int) {
	client := offstage.NewClient(ground.Store)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		page, err := client.List(t.Context(), offstage.Filter{Limit: n})
		if err != nil {
			t.Fatal(err)
		}
		waited, err := client.List(t.Context(), offstage.Filter{Kind: "patient", State: offstage.Completed, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Jobs) == n && len(waited.Jobs) > 0 {
			return
		}
		<-look.C
	}
}
