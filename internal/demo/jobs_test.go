package demo

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// The page of jobs shows each state, leads from page to page, and every job on
// it exactly once.
func TestJobsPages(t *testing.T) {
	s := start(t, withoutWorker)
	const jobs = 120
	for i := range jobs {
		if _, err := s.client.Enqueue(t.Context(), SendCommand{Device: "pump-2", Command: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	row := regexp.MustCompile(`href="/jobs/(\d+)"`)
	older := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	seen := map[string]int{}
	path, pages := "/jobs?state=ready", 0
	for ; path != ""; pages++ {
		page := s.get(path)
		if page.status != http.StatusOK {
			t.Fatalf("GET %s: %d", path, page.status)
		}
		for _, found := range row.FindAllStringSubmatch(page.body, -1) {
			seen[found[1]]++
		}
		path = ""
		if next := older.FindStringSubmatch(page.body); next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if len(seen) != jobs || pages != 3 {
		t.Errorf("%d jobs on %d pages, want %d on 3", len(seen), pages, jobs)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("job %s is listed %d times", id, times)
		}
	}
	for _, state := range offstage.States() {
		if got := s.get("/jobs?state=" + state.String()); got.status != http.StatusOK {
			t.Errorf("the page of %s jobs is %d", state, got.status)
		}
	}
	for _, bad := range []string{"state=lost", "after=nonsense"} {
		if got := s.get("/jobs?" + bad); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s is answered with %d", bad, got.status)
		}
	}
}

// The buttons do what they say and lead back; a job that cannot be changed says
// why.
func TestJobButtons(t *testing.T) {
	s := start(t, withoutWorker)
	receipt, err := s.client.Enqueue(t.Context(), SendCommand{Device: "pump-2", Command: "stop"})
	if err != nil {
		t.Fatal(err)
	}
	path := "/jobs/" + receipt.ID.String()
	expect := func(verb, back, leads string, state offstage.State) {
		t.Helper()
		got := s.press(path+"/"+verb, url.Values{"back": {back}})
		if got.status != http.StatusSeeOther || got.header.Get("Location") != leads {
			t.Errorf("%s is answered with %d to %s: %s", verb, got.status, got.header.Get("Location"), got.body)
		}
		job, err := s.client.Get(t.Context(), receipt.ID)
		if err != nil || job.State != state {
			t.Errorf("after %s the job is %s, %v", verb, job.State, err)
		}
	}
	expect("cancel", "/jobs?state=ready", "/jobs?state=ready", offstage.Cancelled)
	expect("retry", "https://evil.example/jobs", "/jobs", offstage.Ready)
	expect("cancel", "//evil.example/jobs", "/jobs", offstage.Cancelled)
	page := s.get(path)
	for _, text := range []string{"cancelled", "never started", "/status/", "&#34;command&#34;: &#34;stop&#34;"} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the job's page does not show %q", text)
		}
	}
	if got := s.press(path+"/run-now", nil); got.status != http.StatusConflict || !strings.Contains(got.body, "cancelled") {
		t.Errorf("running a cancelled job now is answered with %d", got.status)
	}
	if got := s.press(path+"/delete", url.Values{"back": {"/jobs"}}); got.status != http.StatusSeeOther {
		t.Errorf("deleting is answered with %d", got.status)
	}
	for _, gone := range []string{path, "/jobs/0", "/jobs/x", "/jobs/99999999"} {
		if got := s.get(gone); got.status != http.StatusNotFound {
			t.Errorf("%s is answered with %d", gone, got.status)
		}
	}
}

// An attempt whose worker died is shown as such, and the job's user is told.
func TestLostAttemptIsShown(t *testing.T) {
	s := start(t, withoutWorker)
	receipt, err := s.client.Enqueue(t.Context(), SendCommand{Device: "pump-2", Command: "stop"})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := s.store.Register(t.Context(), offstage.WorkerInfo{Name: "doomed", Queues: []string{"devices"}, Kinds: []offstage.Kind{{Name: "send_command"}}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	claim, err := s.store.Claim(t.Context(), offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"devices"}, Slots: 1}}})
	if err != nil || len(claim.Jobs) != 1 {
		t.Fatalf("claimed %v, %v", claim, err)
	}
	if _, _, err := s.store.Rescue(t.Context(), offstage.Peer{ID: worker, Dead: true}, 10); err != nil {
		t.Fatal(err)
	}
	if page := s.get("/jobs/" + receipt.ID.String()); !strings.Contains(page.body, "lost</span> its worker died") {
		t.Errorf("the job's page does not show the lost attempt: %s", page.body)
	}
	if page := s.get("/jobs"); !strings.Contains(page.body, "worker died") {
		t.Error("the list does not show that a worker died")
	}
}

// Operators read an error as it was written for the user, without the mark by
// which it is known.
func TestErrorsForUsersAreShownToOperators(t *testing.T) {
	s := start(t)
	content := io.MultiReader(readings(50), strings.NewReader("only one cell\n"))
	status := s.awaitState(s.upload("late.csv", content).header.Get("Location"), offstage.Failed)
	for _, path := range []string{"/jobs", "/jobs/" + status.ID.String()} {
		page := s.get(path)
		if !strings.Contains(page.body, *status.Error) || strings.Contains(page.body, "for the user: ") {
			t.Errorf("%s does not show %q, or shows it with its mark", path, *status.Error)
		}
	}
}

// A page that shows less than all jobs says what it shows.
func TestJobsPageSaysWhatItShows(t *testing.T) {
	s := start(t, withoutWorker)
	all := s.get("/jobs").body
	if strings.Contains(all, "Only: ") {
		t.Error("the page of all jobs says that it shows only some")
	}
	some := s.get("/jobs?queue=devices&tag=device%3Apump-2").body
	if !strings.Contains(some, "Only: queue devices, tag device:pump-2.") {
		t.Error("the page does not say what it shows")
	}
}
