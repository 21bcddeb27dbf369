package demo

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// Behind two thousand jobs that can wait, the ten that cannot go first.
func TestPriorities(t *testing.T) {
	s := start(t)
	if got := s.press("/priorities", nil); got.status != http.StatusSeeOther || got.header.Get("Location") != "/priorities" {
		t.Fatalf("the button is answered with %d %s", got.status, got.body)
	}
	s.until("all ten urgent jobs have run", func() bool {
		jobs := s.jobs("raise_alert")
		for _, job := range jobs {
			if job.State != offstage.Completed {
				return false
			}
		}
		return len(jobs) == highJobs
	})
	var seen struct {
		High []struct {
			State  string
			WaitMS *float64 `json:"wait_ms"`
		} `json:"high_priority"`
		Low struct{ Ready, Running int } `json:"low_priority"`
	}
	if err := json.Unmarshal([]byte(s.get("/priorities", "Accept", "application/json").body), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Low.Ready < lowJobs/4 {
		t.Errorf("when the urgent jobs had run, only %d of the %d others were waiting", seen.Low.Ready, lowJobs)
	}
	if len(seen.High) != highJobs || seen.High[0].WaitMS == nil {
		t.Errorf("the urgent jobs are told as %+v", seen.High)
	}
	page := s.get("/priorities")
	if strings.Count(page.body, `<span class="state completed">`) != highJobs {
		t.Errorf("the page does not show the ten: %s", page.body)
	}
}

// The page follows the urgent jobs, though nothing else is left.
func TestPrioritiesFollowsTheUrgent(t *testing.T) {
	s := start(t, withoutWorker)
	for _, want := range []bool{false, true} {
		if follows := strings.Contains(s.get("/priorities", "Accept", "text/html").body, "data-every"); follows != want {
			t.Errorf("the page follows: %t, want %t", follows, want)
		}
		if _, err := s.client.Enqueue(t.Context(), RaiseAlert{1}); err != nil {
			t.Fatal(err)
		}
	}
}
