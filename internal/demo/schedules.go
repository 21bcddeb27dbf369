package demo

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// The schedules of the demo, and who declares them.
const (
	cleanUpSchedule = "clean_up"
	billSchedule    = "monthly_billing"
	digestSchedule  = "digest"
	nightlySchedule = "nightly_report"
	searchSchedule  = "search_index"
	scheduleOwner   = "demo"
)

// ownSchedules are those that every worker of the demo declares.
func ownSchedules() []offstage.Schedule {
	one := func(name, when string, args offstage.Args, description string) offstage.Schedule {
		s := offstage.MustSchedule(name, schedule.MustParse(when), args)
		s.Description, s.Overlap = description, offstage.OverlapSkip
		return s
	}
	bills := one(billSchedule, "1st of the month at 6:00", BillMonth{}, "Bills every customer for the month; run it twice, and nobody is billed twice.")
	bills.Overlap = offstage.OverlapAllow
	return []offstage.Schedule{
		one(searchSchedule, "every minute", RefreshSearch{}, "Brings the search’s full-text index up to date with the reports that are new."),
		one(cleanUpSchedule, "every "+cleanEvery.String(), CleanUploads{}, "Removes the files of reports that ended long ago."),
		one(digestSchedule, "every weekday at 7:00", SendDigest{}, "Mails what has happened since the last digest, by SMTP."),
		one(nightlySchedule, "every day at 2:30", ReportUploads{}, "Reads all uploads, as a stream, and leaves the figures of every column as one CSV."),
		bills,
	}
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
	Effect  link // where to see what it does
}

// link is a way to a page; the zero value is none.
type link struct{ URL, Text string }

const (
	nextTicks = 3
	lastTicks = 3
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
		if err == nil {
			card.Effect, err = s.effectOf(r, info.Name)
		}
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
	if e, err := worker.ExpressionOf(&info); err != nil {
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

// effectOf returns where the effect of one of the demo's schedules is to be seen.
func (s *service) effectOf(r *http.Request, name string) (link, error) {
	switch name {
	case searchSchedule:
		return link{"/search", "Search"}, nil
	case digestSchedule:
		return link{"/inbox", "Open the inbox"}, nil
	case billSchedule:
		return link{"/billing", "See the bills"}, nil
	case nightlySchedule:
		latest, err := s.client.List(r.Context(), offstage.Filter{Kind: ReportUploads{}.Kind(), Limit: 1})
		if err != nil || len(latest.Jobs) == 0 {
			return link{}, err
		}
		return link{s.flows.Link(r, latest.Jobs[0].ID), "Open the latest report"}, nil
	}
	return link{}, nil
}

// scheduleLine is what other pages say of a schedule.
type scheduleLine struct {
	Name  string
	Known bool               // a worker has declared it
	Next  time.Time          // zero: it is not known, or paused
	Last  *offstage.TickInfo // nil: none yet
}

// Busy reports whether the job of its latest tick has not ended.
func (l scheduleLine) Busy() bool {
	return l.Last != nil && l.Last.State != 0 && !l.Last.State.Terminal()
}

func (s *service) scheduleLine(ctx context.Context, name string) (scheduleLine, error) {
	line := scheduleLine{Name: name}
	info, err := s.client.Schedule(ctx, name)
	var last []offstage.TickInfo
	if err == nil {
		line.Known, line.Next = true, info.NextTick
		last, err = s.client.ScheduleHistory(ctx, name, time.Time{}, 1)
	}
	if len(last) > 0 {
		line.Last = &last[0]
	}
	if errors.Is(err, offstage.ErrNoSchedule) {
		err = nil // no worker has started yet
	}
	return line, err
}

// scheduleLines returns a line for each of the demo's schedules.
func (s *service) scheduleLines(ctx context.Context) (lines []scheduleLine, err error) {
	for _, own := range ownSchedules() {
		line, err := s.scheduleLine(ctx, own.Name)
		if err != nil {
			return nil, err
		}
		if line.Known {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// runSchedule is POST /schedules/{name}/run; it leads back to the page on which the
// button was pressed.
func (s *service) runSchedule(w http.ResponseWriter, r *http.Request) {
	page := "/schedules"
	if back := r.PostFormValue("back"); back == "/inbox" || back == "/search" {
		page = back
	}
	s.runNamed(w, r, r.PathValue("name"), page)
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
