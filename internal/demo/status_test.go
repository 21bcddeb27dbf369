package demo

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// A link works in every process and after every restart, and nobody can make one.
func TestStatusLinks(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	first := startOn(t, dir, store)
	path := first.upload("a.csv", strings.NewReader("a\n1\n")).header.Get("Location")
	second := startOn(t, dir, store, withoutWorker)
	second.awaitState(path, offstage.Completed)
	first.stop()
	third := startOn(t, dir, store)
	if got := third.status(path); got.State != "completed" {
		t.Errorf("after the restart the job is %s", got.State)
	}
	token := strings.TrimPrefix(path, "/status/")
	for _, forged := range []string{
		"", "x", token + "A", token[1:], token + "=", "BBBB" + token[4:], token[:len(token)-1] + flipped(token[len(token)-1]),
		flipped(token[0]) + token[1:], "..", "%2e%2e", strings.Repeat("A", 32), strings.Repeat("A", 10_000),
	} {
		for _, accept := range []string{"application/json", "text/html"} {
			if got := third.get("/status/"+forged, "Accept", accept); got.status != http.StatusNotFound && got.status != http.StatusTemporaryRedirect {
				t.Errorf("the link %.40q is answered with %d", forged, got.status)
			}
		}
	}
	ids := third.jobs("build_report")
	if err := third.client.Delete(t.Context(), ids[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := third.get(path, "Accept", "application/json"); got.status != http.StatusGone || !strings.Contains(got.body, "error") {
		t.Errorf("the link to a deleted job is answered with %d %s", got.status, got.body)
	}
}

func flipped(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// Without JavaScript a page that is waited on loads itself again, slowly enough to
// reach its buttons, and one with fields to fill in does not: it would empty them.
func TestReloadWithoutJavaScript(t *testing.T) {
	s := start(t, withoutWorker)
	report := s.upload("a.csv", strings.NewReader("a\n1\n")).header.Get("Location")
	for path, reloads := range map[string]bool{report: true, "/jobs": true, "/": false, "/devices/pump-2": false, "/search?q=a": false} {
		page := s.get(path, "Accept", "text/html").body
		itself, byHand := strings.Contains(page, `<noscript><meta http-equiv="refresh" content="5">`), strings.Contains(page, "load it again")
		if itself != reloads || byHand == reloads {
			t.Errorf("%s reloads itself: %t, says how to: %t", path, itself, byHand)
		}
	}
}

// seen is a store whose ready job is cancelled as soon as somebody has looked at it.
type seen struct {
	offstage.Store
	client *offstage.Client
}

func (s seen) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	job, err := s.Store.Get(ctx, id)
	if err == nil && job.State == offstage.Ready {
		_, err = s.client.Cancel(ctx, id)
	}
	return job, err
}

// A page that shows a job at work follows it, though the job ended while the page
// was being made.
func TestPageOfAJobThatEndsMeanwhile(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	first := startOn(t, dir, store, withoutWorker)
	path := first.upload("a.csv", strings.NewReader("a\n1\n")).header.Get("Location")
	s := startOn(t, dir, store, withoutWorker, func(cfg *Config) { cfg.Store = seen{store, first.client} })
	for _, want := range []struct {
		state   string
		follows bool
	}{{"ready", true}, {"cancelled", false}} {
		page := s.get(path, "Accept", "text/html").body
		if !strings.Contains(page, `<span class="state `+want.state+`"`) {
			t.Fatalf("the job is not shown as %s:\n%s", want.state, page)
		}
		for _, sign := range []string{`http-equiv="refresh"`, "data-every"} {
			if strings.Contains(page, sign) != want.follows {
				t.Errorf("the page of a job that is %s has %s: %t", want.state, sign, !want.follows)
			}
		}
	}
}
