package demo

import (
	"net/http"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// The page shows each schedule in words; its buttons pause, resume and run it.
func TestSchedulesPage(t *testing.T) {
	s := start(t)
	s.until("both schedules are known and looked at", func() bool {
		body := s.get("/schedules").body
		return strings.Contains(body, "every 10 minutes, counted from") && strings.Contains(body, "at 06:00 on day 1 of the month, UTC")
	})
	for _, step := range []struct{ button, shows string }{{"pause", "<dd>paused</dd>"}, {"resume", "Pause"}, {"run", "enqueued by hand"}} {
		if got := s.press("/schedules/"+cleanUpSchedule+"/"+step.button, nil); got.status != http.StatusSeeOther {
			t.Fatalf("%s is answered with %d %s", step.button, got.status, got.body)
		}
		if body := s.get("/schedules").body; !strings.Contains(body, step.shows) {
			t.Errorf("after %s the page does not show %q", step.button, step.shows)
		}
	}
	for _, button := range []string{"run", "pause", "resume"} {
		if got := s.press("/schedules/nothing/"+button, nil); got.status != http.StatusNotFound {
			t.Errorf("%s of no schedule is answered with %d", button, got.status)
		}
	}
}

// The month is billed once, however often that is asked for.
func TestTheMonthIsBilledOnce(t *testing.T) {
	s := start(t)
	s.until("the schedule is there", func() bool {
		_, err := s.client.Schedule(t.Context(), billSchedule)
		return err == nil
	})
	for range 3 {
		if got := s.press("/schedules/"+billSchedule+"/run", nil); got.status != http.StatusSeeOther {
			t.Fatalf("run is answered with %d %s", got.status, got.body)
		}
	}
	s.until("all three runs have ended", func() bool {
		ended := 0
		for _, job := range s.jobs("bill_month") {
			if job.State == offstage.Completed {
				ended++
			}
		}
		return ended == 3
	})
	if bills := s.jobs("bill_customer"); len(bills) != billsAtOnce {
		t.Errorf("%d bills, want %d", len(bills), billsAtOnce)
	}
}
