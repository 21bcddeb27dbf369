package demo

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// A report whose page was closed is mailed, with a link that works; one whose end
// was seen is not.
func TestReportIsMailedUnlessItWasSeen(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	s := startOn(t, dir, store, withoutWorker)
	s.upload("seen.csv", readings(10))
	seen := s.jobs("build_report")[0].ID
	closed := s.upload("closed.csv", readings(10)).header.Get("Location")
	if err := s.tables.noteSeen(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	startOn(t, dir, store, func(cfg *Config) { cfg.Role, cfg.MailAfter = RoleWorker, time.Millisecond })
	for _, job := range s.jobs("mail_report") {
		s.until("the mail's job has ended", func() bool {
			mail, err := s.client.Get(t.Context(), job.ID)
			return err == nil && mail.State == offstage.Completed
		})
	}
	mails, err := s.tables.mails(t.Context(), 10)
	if err != nil || len(mails) != 1 || mails[0].Subject != "Report on closed.csv is ready" {
		t.Fatalf("the inbox has %+v, %v", mails, err)
	}
	_, link, _ := strings.Cut(mails[0].Text, s.url)
	link, _, _ = strings.Cut(link, "\n")
	page := s.get(strings.TrimSpace(link), "Accept", "text/html")
	if page.status != http.StatusOK || !strings.Contains(page.body, "Report on closed.csv") {
		t.Errorf("the mail's link %q is answered with %d", link, page.status)
	}
	// Whoever looks at a page that shows the end has seen it.
	id := s.status(closed).ID
	if noted, err := s.tables.wasSeen(t.Context(), id); err != nil || !noted {
		t.Errorf("it is not noted that report %d was seen: %v", id, err)
	}
}

// A command may wait until its device reports: the job holds no slot meanwhile, the
// report wakes it, and no attempt of its budget is used.
func TestDeviceCallsBack(t *testing.T) {
	s := start(t)
	for n := range 20 {
		if s.calibrate(n + 1) {
			return
		}
		// The device had carried it out and reported before a later attempt asked.
	}
	t.Error("no command has waited for its report")
}

// calibrate sends the n-th command that reports, and returns whether an attempt waited
// for the report.
func (s *site) calibrate(n int) (waited bool) {
	t := s.t
	t.Helper()
	got := s.send(s.request(http.MethodPost, "/devices/pump-2/commands", strings.NewReader(`{"command":"calibrate","report":true}`),
		"Content-Type", "application/json"))
	if got.status != http.StatusAccepted {
		t.Fatalf("the command was answered with %d %s", got.status, got.body)
	}
	s.awaitState(got.header.Get("Location"), offstage.Completed)
	job := s.jobs("send_command")[0]
	details, err := s.client.Get(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	errors := 0
	for _, attempt := range details.Attempts {
		waited = waited || attempt.Outcome == offstage.OutcomeSnoozed && attempt.Next.Waiting()
		if attempt.Outcome == offstage.OutcomeErrored {
			errors++
		}
	}
	if details.Errors != errors {
		t.Errorf("the attempts are %+v, of which %d count as failed", details.Attempts, details.Errors)
	}
	if last := len(details.Attempts) - 1; waited && details.Attempts[last].FinishedAt.Sub(details.Attempts[last-1].FinishedAt) >= reportWithin {
		t.Errorf("the report did not wake the job: it came back when its time was over")
	}
	signalled := false
	for _, step := range details.Steps {
		signalled = signalled || step.Kind == offstage.StepWait && strings.Contains(string(step.Value), `"calibrate"`)
	}
	if !signalled {
		t.Errorf("the job remembers %+v, and no report", details.Steps)
	}
	if view := s.deviceState("pump-2"); view.Applied != int64(n) {
		t.Errorf("the device applied %d commands, want %d", view.Applied, n)
	}
	return waited
}
