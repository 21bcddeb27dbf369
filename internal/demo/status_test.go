package demo

import (
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
