package demo

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// jobsPage is a page of jobs for whoever operates the service.
type jobsPage struct {
	frame
	State  string // "" is any
	Narrow string // what else the jobs are chosen by, for people; "" is nothing
	States []offstage.State
	Jobs   []jobRow
	Next   string // the next page's address; "" on the last
	First  string // the first page's address; "" on the first
	Looked int
	Queues []offstage.QueueStats
}

// jobRow is one job in a list.
type jobRow struct {
	offstage.JobInfo
	What string
	Actions
	Back string // where the buttons lead back to
}

// Trouble is the error of the latest attempt that ended, for operators. That a
// job put itself off is none.
func (j jobRow) Trouble() string {
	if j.Outcome == offstage.OutcomeSnoozed {
		return ""
	}
	return status.Untold(j.Error)
}

// Narrowed reports whether the page shows less than all jobs.
func (p jobsPage) Narrowed() bool { return p.State != "" || p.Narrow != "" }

// narrow says in words what a filter chooses by, beside the state.
func narrow(filter offstage.Filter) string {
	var parts []string
	for _, part := range []struct{ what, name string }{{"kind", filter.Kind}, {"queue", filter.Queue}, {"tag", filter.Tag}} {
		if part.name != "" {
			parts = append(parts, part.what+" "+part.name)
		}
	}
	return strings.Join(parts, ", ")
}

// Actions say which buttons a job has.
type Actions struct{ CanRetry, CanCancel, CanRun, CanDelete bool }

func actionsOf(job offstage.JobInfo) Actions {
	return Actions{
		CanRetry:  job.State.Terminal() || job.State == offstage.Retrying,
		CanCancel: !job.State.Terminal() && !job.CancelAsked,
		CanRun:    job.State == offstage.Scheduled,
		CanDelete: job.State != offstage.Running,
	}
}

// listJobs is GET /jobs: 50 at a time, by state if asked; newest first, or in the
// order in which ready jobs will start.
func (s *service) listJobs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	filter := offstage.Filter{Kind: query.Get("kind"), Queue: query.Get("queue"), Tag: query.Get("tag"), After: query.Get("after"), Limit: 50}
	page := jobsPage{frame: frame{Title: "Jobs", Nav: "jobs"}, State: query.Get("state"), States: offstage.States()}
	if page.State != "" {
		state, err := offstage.ParseState(page.State)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		filter.State = state
	}
	page.Narrow = narrow(filter)
	found, err := s.client.List(r.Context(), filter)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	stats, err := s.client.Stats(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page.Queues, page.Looked = stats.Queues, found.Looked
	if found.Next != "" {
		page.Next = pageAfter(query, found.Next)
	}
	if filter.After != "" {
		page.First = pageAfter(query, "")
	} else {
		page.Every = liveSlow // an older page would change under its reader's hands
	}
	for _, job := range found.Jobs {
		page.Jobs = append(page.Jobs, jobRow{JobInfo: job, What: s.describe(job.Facts), Actions: actionsOf(job), Back: r.URL.RequestURI()})
	}
	s.render(w, http.StatusOK, "jobs", page)
}

func pageAfter(query url.Values, cursor string) string {
	next := url.Values{}
	for key, values := range query {
		next[key] = values
	}
	next.Del("after")
	if cursor != "" {
		next.Set("after", cursor)
	}
	return "/jobs?" + next.Encode()
}
