package demo

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
	"github.com/offstagehq/offstage/worker"
)

// slow runs reports as the test tells it: each takes the next channel, reports
// what comes there, and is done when there is no more.
type slow struct {
	jobs    chan chan int64
	service *service
}

func (s *slow) build(ctx context.Context, job *offstage.Job[BuildReport]) (csvreport.Report, error) {
	steps := <-s.jobs
	for {
		select {
		case step, more := <-steps:
			if !more {
				return csvreport.Report{Rows: 2}, s.service.leaveChart(ctx, job, csvreport.Analysis{})
			}
			offstage.Progress(ctx, step, 100, fmt.Sprintf("step %d of 100", step))
		case <-ctx.Done():
			return csvreport.Report{}, context.Cause(ctx)
		}
	}
}

// startSlow runs a worker for slow reports until the test ends.
func startSlow(t *testing.T, store offstage.Store, dir string) *slow {
	t.Helper()
	service, err := newService(t.Context(), Config{Store: store, Tables: tablesOf(t, store), Dir: dir}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{jobs: make(chan chan int64, 2), service: service}
	w, err := worker.New(store, worker.Config{
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
		Pools:  []worker.Pool{{Name: "reports", Queues: []string{"reports"}, Slots: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	worker.HandleResult(w, s.build)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// A user's browser follows a report through progress, a reload, a loss of the
// network and a cancel, and downloads the file in the end. Pictures of the page
// are artefacts of the test, at two widths, by day and by night.
func TestFollowInABrowser(t *testing.T) {
	ctx, _ := browser(t) // it complains while there is no network
	v := &visitor{t}
	dir := t.TempDir()
	store := openStore(t, dir)
	web := startOn(t, dir, store, withoutWorker)
	slow, steps := startSlow(t, store, dir), make(chan int64)
	slow.jobs <- steps
	slow.jobs <- make(chan int64)
	const bar = `document.querySelector("progress[data-part=bar]").value`
	v.uploads(ctx, web, "offstage-status[state=running]")
	steps <- 20
	v.sees(ctx, bar+" === 20")
	steps <- 40
	v.sees(ctx, bar+" === 40")
	pictures(t, ctx, "status-running")

	v.does(ctx, chromedp.Reload(), chromedp.WaitVisible("offstage-status[state=running]"))
	v.sees(ctx, bar+" === 40")

	address := strings.TrimPrefix(web.url, "http://")
	web.stop()
	v.does(ctx, chromedp.WaitVisible("offstage-status[stale]"))
	steps <- 60
	startOn(t, dir, store, withoutWorker, func(cfg *Config) { cfg.Listener = listen(t, address) })
	v.sees(ctx, `!document.querySelector("offstage-status").hasAttribute("stale") && `+bar+" === 60")

	close(steps)
	v.does(ctx, chromedp.WaitVisible("#report .button.primary"))
	pictures(t, ctx, "status-completed")
	href := v.at(ctx, `document.querySelector("#report .button:not(.primary)").getAttribute("href")`)
	if got := web.get(href); got.status != http.StatusOK || !strings.Contains(got.header.Get("Content-Disposition"), "mine.csv.html") {
		t.Errorf("the download is answered with %d, %v", got.status, got.header)
	}

	v.uploads(ctx, web, "offstage-status[state=running]")
	v.does(ctx, chromedp.WaitVisible("#status form button"), chromedp.Click("#status form button"), chromedp.WaitVisible(".state.cancelled"))
	pictures(t, ctx, "status-cancelled")
}

// pictures keeps pictures of the page as it is, on a desk and on a phone, light
// and dark.
func pictures(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, theme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}, // nothing is on its way
		}}
		for device, width := range map[string]int64{"desktop": 1280, "phone": 390} {
			err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 800), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
				_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, media)
				return err
			}))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.ArtifactDir(), fmt.Sprintf("%s-%s-%s.png", name, device, theme))
			if err := os.WriteFile(path, picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
