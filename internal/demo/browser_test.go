package demo

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser opens a real browser for the test and returns its context and what it
// complained of; without one installed the test is skipped,
// in CI it fails.
func browser(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" && os.Getenv("CI") == "true" {
		t.Fatal("no Chromium is installed, and in CI nothing may be missing")
	}
	if path == "" {
		t.Skip("no Chromium is installed: the pages are not tried in a browser")
	}
	var mu sync.Mutex
	var said []string
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch event := event.(type) {
		case *log.EventEntryAdded:
			said = append(said, event.Entry.Text)
		case *runtime.EventExceptionThrown:
			said = append(said, event.ExceptionDetails.Text)
		}
	}))
	limited, cancelLimit := context.WithTimeout(ctx, patient)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		cancelLimit()
		cancel()
		cancelAllocator()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return limited, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// A status page follows its job without being loaded again, and no page has
// anything that its own policy forbids.
func TestPagesInABrowser(t *testing.T) {
	ctx, complaints := browser(t)
	v := &visitor{t}
	dir := t.TempDir()
	store := openStore(t, dir)
	web := startOn(t, dir, store, withoutWorker)
	path := web.upload("live.csv", readings(1000)).header.Get("Location")
	v.does(ctx, chromedp.Navigate(web.url+path), chromedp.WaitVisible(".state.ready"))
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("window.same = true")); err != nil {
		t.Fatal(err)
	}
	startOn(t, dir, store, func(cfg *Config) { cfg.Role = RoleWorker })
	v.does(ctx, chromedp.WaitVisible(".state.completed"))
	heading, err := chromedp.Run(ctx, chromedp.Text("#report h2"))
	if err != nil || heading != "1,000 rows" {
		t.Errorf("the page shows %q, %v", heading, err)
	}
	if same, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("window.same === true")); err != nil || !same {
		t.Errorf("the page was loaded again, or %v", err)
	}
	for _, page := range []string{"/", "/devices", "/devices/pump-2", "/priorities", "/billing", "/schedules", "/inbox", "/search?q=live", "/jobs", "/jobs/" + web.jobs("build_report")[0].ID.String(), web.file(path) + "?view"} {
		v.does(ctx, chromedp.Navigate(web.url+page), chromedp.WaitReady("h1"))
	}
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
}

// The forms work as people use them.
func TestFormsInABrowser(t *testing.T) {
	ctx, complaints := browser(t)
	v := &visitor{t}
	s := start(t)
	v.does(ctx,
		chromedp.Navigate(s.url+"/"),
		chromedp.SetUploadFiles("#file", []string{v.file()}),
		chromedp.Submit("#file"),
		chromedp.WaitVisible("table.wide-names"),
		chromedp.Navigate(s.url+"/devices/pump-2"),
		chromedp.SetValue("#command", "open"),
		chromedp.Submit("#command"),
		chromedp.WaitVisible("#commands table"),
		chromedp.Navigate(s.url+"/priorities"),
		chromedp.Click("main form button"),
		chromedp.WaitVisible("#high .state.completed"),
	)
	if reports, alerts := s.jobs("build_report"), s.jobs("raise_alert"); len(reports) != 1 || len(alerts) != highJobs {
		t.Errorf("the forms enqueued %d reports and %d alerts", len(reports), len(alerts))
	}
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
}
