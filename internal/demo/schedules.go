package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
)

// The schedules of the demo, and who declares them.
const (
	cleanUpSchedule = "clean_up"
	billSchedule    = "monthly_billing"
	scheduleOwner   = "demo"
)

// ownSchedules are those that every worker of the demo declares.
func ownSchedules() []offstage.Schedule {
	cleanUp := offstage.MustSchedule(cleanUpSchedule, schedule.MustParse("every "+cleanEvery.String()), CleanUploads{})
	cleanUp.Description = "Removes the files of reports that ended long ago"
	cleanUp.Overlap = offstage.OverlapSkip
	bills := offstage.MustSchedule(billSchedule, schedule.MustParse("1st of the month at 6:00"), BillMonth{}, offstage.InQueue("billing"))
	bills.Description = "Bills every customer for the month; run it twice, and nobody is billed twice"
	return []offstage.Schedule{cleanUp, bills}
}

// BillMonth is a job that bills every customer for the month of its tick.
type BillMonth struct{}

// Kind returns "bill_month".
func (BillMonth) Kind() string { return "bill_month" }

// billMonth enqueues the bills of a month. Each has a key of its own that is held
// longer than the month, so that a second run enqueues none.
func (s *service) billMonth(ctx context.Context, job *offstage.Job[BillMonth]) error {
	at := time.Now()
	if job.Tick != nil {
		at = job.Tick.At
	}
	month := at.UTC().Format("2006-01")
	enqueued := 0
	for n := range billsAtOnce {
		customer := fmt.Sprintf("customer-%d", n+1)
		once := offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: month + " " + customer, Period: 40 * 24 * time.Hour})
		receipt, err := s.client.Enqueue(ctx, BillCustomer{Customer: customer, Cents: int64(100 * (n + 1))}, once)
		if err != nil {
			return err
		}
		if !receipt.Existed {
			enqueued++
		}
	}
	message := fmt.Sprintf("%s: %d enqueued, %d were there already", month, enqueued, billsAtOnce-enqueued)
	offstage.Progress(ctx, billsAtOnce, billsAtOnce, message)
	offstage.Logger(ctx).InfoContext(ctx, "the month is billed", "month", month, "enqueued", enqueued)
	return nil
}

// schedulesPage shows each schedule in words with its next ticks.
type schedulesPage struct {
	frame
	Schedules []scheduleCard
}

// scheduleCard is a schedule with what it means, does next and did last.
type scheduleCard struct {
	offstage.ScheduleInfo
	Meaning string
	Next    []time.Time
	History []offstage.TickInfo
}

const (
	nextTicks = 3
	lastTicks = 5
)

// showSchedules is GET /schedules.
func (s *service) showSchedules(w http.ResponseWriter, r *http.Request) {
	page := schedulesPage{frame: frame{Title: "Schedules", Nav: "schedules", Every: liveSlow}}
	all, err := s.client.Schedules(r.Context(), "", 100)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, info := range all {
		card, err := s.newCard(r.Context(), info)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		page.Schedules = append(page.Schedules, card)
	}
	s.render(w, http.StatusOK, "schedules", page)
}

func (s *service) newCard(ctx context.Context, info offstage.ScheduleInfo) (card scheduleCard, err error) {
	card.ScheduleInfo = info
	anchor := info.Anchor
	if anchor.IsZero() {
		anchor = info.CreatedAt
	}
	zone, err := schedule.Zone(info.Zone)
	if err != nil {
		return card, err
	}
	e, err := schedule.Parse(info.Expression, schedule.In(zone), schedule.Anchor(anchor), schedule.Name(info.Name))
	if err != nil {
		card.Meaning = err.Error()
	} else {
		card.Meaning = e.Explain()
		for tick := range e.Ticks(time.Now()) {
			if card.Next = append(card.Next, tick); len(card.Next) == nextTicks || info.Paused {
				break
			}
		}
	}
	card.History, err = s.client.ScheduleHistory(ctx, info.Name, time.Time{}, lastTicks)
	if errors.Is(err, offstage.ErrNoSchedule) {
		err = nil // it was removed meanwhile
	}
	return card, err
}

// runSchedule is POST /schedules/{name}/run.
func (s *service) runSchedule(w http.ResponseWriter, r *http.Request) {
	s.runNamed(w, r, r.PathValue("name"), "/schedules")
}

func (s *service) runNamed(w http.ResponseWriter, r *http.Request, name, page string) {
	receipt, err := s.client.RunSchedule(r.Context(), name)
	if errors.Is(err, offstage.ErrNoSchedule) {
		err = refuse(http.StatusNotFound, "there is no such schedule; a worker declares the demo's when it starts")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.accepted(w, r, receipt.ID, page)
}

// switchSchedule is POST /schedules/{name}/pause and /resume.
func (s *service) switchSchedule(do func(context.Context, string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := do(r.Context(), r.PathValue("name"))
		if errors.Is(err, offstage.ErrNoSchedule) {
			err = refuse(http.StatusNotFound, "there is no such schedule")
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		http.Redirect(w, r, "/schedules", http.StatusSeeOther)
	}
}
