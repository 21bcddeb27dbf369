package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/status"
)

// billsAtOnce is how many customers a press of the button bills.
const billsAtOnce = 20

// billingPage shows what the latest bills have led to.
type billingPage struct {
	frame
	AtOnce int
	Bills  []billLine
	Twice  int // bills of which something happened twice
	Known  bool
}

// billLine is one bill with what was done for it.
type billLine struct {
	offstage.JobInfo
	Customer string
	Cents    int64
	Invoices int
	Charges  int
	Mails    int
}

// MarshalJSON writes what programs want to know.
func (p billingPage) MarshalJSON() ([]byte, error) {
	type bill struct {
		ID       offstage.ID    `json:"id"`
		State    offstage.State `json:"state"`
		Attempt  int            `json:"attempt"`
		Customer string         `json:"customer"`
		Invoices int            `json:"invoices"`
		Charges  int            `json:"charges"`
		Mails    int            `json:"mails"`
	}
	bills := []bill{}
	for _, b := range p.Bills {
		bills = append(bills, bill{b.ID, b.State, b.Run, b.Customer, b.Invoices, b.Charges, b.Mails})
	}
	return json.Marshal(map[string]any{"bills": bills, "twice": p.Twice, "services_reachable": p.Known})
}

// showBilling is GET /billing.
func (s *service) showBilling(w http.ResponseWriter, r *http.Request) {
	page, err := s.newBillingPage(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	if status.PrefersJSON(r) {
		s.writeJSON(w, http.StatusOK, page)
		return
	}
	s.render(w, http.StatusOK, "billing", page)
}

// maxBills is how many bills the page shows.
const maxBills = 100

func (s *service) newBillingPage(ctx context.Context) (billingPage, error) {
	page := billingPage{frame: frame{Title: "Billing", Nav: "billing"}, AtOnce: billsAtOnce}
	found, err := s.client.List(ctx, offstage.Filter{Kind: BillCustomer{}.Kind(), Limit: maxBills})
	if err != nil || len(found.Jobs) == 0 {
		return page, err
	}
	invoices, err := s.tables.countInvoices(ctx, found.Jobs[len(found.Jobs)-1].ID)
	if err != nil {
		return page, err
	}
	charges, known := s.ordersOf(ctx, cardProvider)
	mails, alsoKnown := s.ordersOf(ctx, postOffice)
	page.Known = known && alsoKnown
	for _, job := range found.Jobs {
		var args BillCustomer
		if json.Unmarshal(job.Args, &args) != nil {
			continue // not enqueued by this program; the jobs page has it
		}
		line := billLine{job, args.Customer, args.Cents, invoices[job.ID], charges[job.ID], mails[job.ID]}
		if max(line.Invoices, line.Charges, line.Mails) > 1 {
			page.Twice++
		}
		if !job.State.Terminal() {
			page.Every = liveFast
		}
		page.Bills = append(page.Bills, line)
	}
	return page, nil
}

// ordersOf counts what a service has done for each bill. The services remember the
// latest thousand orders.
func (s *service) ordersOf(ctx context.Context, name string) (map[offstage.ID]int, bool) {
	state, err := s.devices.State(ctx, s.devicesURL, name)
	if err != nil {
		s.log.WarnContext(ctx, "a service's state is unknown", "service", name, "err", err)
	}
	return ordersIn(state), err == nil
}

func ordersIn(state device.State) map[offstage.ID]int {
	orders := map[offstage.ID]int{}
	for _, order := range state.Log {
		var id offstage.ID
		if _, err := fmt.Sscanf(order.Command, "bill %d:", &id); err == nil {
			orders[id]++
		}
	}
	return orders
}

// startBilling is POST /billing: it bills twenty customers, or the one that is
// named.
func (s *service) startBilling(w http.ResponseWriter, r *http.Request) {
	customer := strings.TrimSpace(r.PostFormValue("customer"))
	bills := func(n int) offstage.Args {
		return BillCustomer{Customer: fmt.Sprintf("customer-%d", n), Cents: int64(100 * n)}
	}
	n := billsAtOnce
	if customer != "" {
		if err := offstage.CheckText("customer", customer, 100); err != nil {
			s.fail(w, r, err)
			return
		}
		n, bills = 1, func(int) offstage.Args { return BillCustomer{Customer: customer, Cents: 100} }
	}
	if _, err := s.client.EnqueueMany(r.Context(), numbered(n, bills)); err != nil {
		s.fail(w, r, err)
		return
	}
	if status.PrefersHTML(r) {
		http.Redirect(w, r, "/billing", http.StatusSeeOther)
		return
	}
	w.Header().Set("Location", "/billing")
	s.writeJSON(w, http.StatusAccepted, map[string]int{"bills": n})
}
