package demo

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// Customers are billed once by services that lose answers.
func TestBilling(t *testing.T) {
	s := start(t)
	if got := s.press("/billing", nil); got.status != http.StatusSeeOther || got.header.Get("Location") != "/billing" {
		t.Fatalf("the button is answered with %d %s", got.status, got.body)
	}
	if got := s.press("/billing", url.Values{"customer": {"Grace <Hopper>"}}); got.status != http.StatusSeeOther {
		t.Fatalf("the form is answered with %d %s", got.status, got.body)
	}
	if got := s.press("/billing", url.Values{"customer": {strings.Repeat("x", 101)}}); got.status != http.StatusBadRequest && got.status != http.StatusUnprocessableEntity {
		t.Errorf("a long name is answered with %d %s", got.status, got.body)
	}
	s.until("all bills are through", func() bool {
		jobs := s.jobs("bill_customer")
		for _, job := range jobs {
			if job.State != offstage.Completed {
				return false
			}
		}
		return len(jobs) == billsAtOnce+1
	})
	var seen struct {
		Bills []struct{ Invoices, Charges, Mails int }
		Twice int
	}
	if err := json.Unmarshal([]byte(s.get("/billing", "Accept", "application/json").body), &seen); err != nil {
		t.Fatal(err)
	}
	if len(seen.Bills) != billsAtOnce+1 || seen.Twice != 0 {
		t.Errorf("%+v", seen)
	}
	for _, bill := range seen.Bills {
		if bill.Invoices != 1 || bill.Charges != 1 || bill.Mails != 1 {
			t.Errorf("a bill led to %+v", bill)
		}
	}
	page := s.get("/billing").body
	if strings.Count(page, `<span class="state completed">`) != billsAtOnce+1 || !strings.Contains(page, "nothing was done twice") || !strings.Contains(page, "Grace &lt;Hopper&gt;") {
		t.Errorf("the page does not show the bills: %s", page)
	}
	job := s.get("/jobs/" + s.jobs("bill_customer")[0].ID.String()).body
	for _, step := range []string{"invoice", "charge", "mail"} {
		if !strings.Contains(job, `<th scope="row">`+step+`</th>`) {
			t.Errorf("the job's page does not show step %s: %s", step, job)
		}
	}
}
