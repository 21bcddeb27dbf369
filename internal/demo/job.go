package demo

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// jobPage is one job with its history, for whoever operates the service.
type jobPage struct {
	frame
	jobRow
	Status   string // its user's page
	Args     string
	Result   string
	Progress *offstage.ProgressInfo
	Attempts []attemptRow // latest first
	Steps    []stepRow    // oldest first
}

type attemptRow struct {
	offstage.Attempt
	Lines []offstage.LogLine
}

// stepRow is what a job remembers of a step.
type stepRow struct {
	offstage.StepInfo
	Took   time.Duration
	Result string
}

// showJob is GET /jobs/{id}.
func (s *service) showJob(w http.ResponseWriter, r *http.Request) {
	id, err := offstage.ParseID(r.PathValue("id"))
	if err != nil {
		s.fail(w, r, offstage.ErrNotFound)
		return
	}
	job, err := s.client.Get(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, http.StatusOK, "job", s.newJobPage(r, job))
}

func (s *service) newJobPage(r *http.Request, job offstage.Details) jobPage {
	page := jobPage{
		frame:    frame{Title: "Job " + job.ID.String(), Nav: "jobs"},
		jobRow:   jobRow{JobInfo: job.JobInfo, What: s.describe(job.Facts), Actions: actionsOf(job.JobInfo), Back: "/jobs/" + job.ID.String()},
		Status:   s.flows.Link(r, job.ID),
		Args:     indented(job.Args),
		Result:   indented(job.Result),
		Progress: currentProgress(job.JobInfo),
	}
	if !job.State.Terminal() {
		page.Every = liveFast
	}
	for _, step := range job.Steps {
		page.Steps = append(page.Steps, stepRow{step, step.FinishedAt.Sub(step.StartedAt), indented(step.Value)})
	}
	for i := len(job.Attempts) - 1; i >= 0; i-- {
		row := attemptRow{Attempt: job.Attempts[i]}
		row.Error = status.Untold(row.Error)
		if len(row.Log) > 0 && json.Unmarshal(row.Log, &row.Lines) != nil {
			row.Lines = []offstage.LogLine{{Message: "the log of this attempt cannot be read"}}
		}
		page.Attempts = append(page.Attempts, row)
	}
	return page
}

// indented makes JSON readable; at most some of it is shown.
func indented(raw json.RawMessage) string {
	const most = 20_000
	if len(raw) == 0 {
		return ""
	}
	text, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		text = raw
	}
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "\n…"
	}
	return string(text)
}

// operate returns the handler of a button: it does one thing to a job and leads
// back to the page on which it was pressed.
func (s *service) operate(do func(context.Context, offstage.ID) (offstage.State, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := offstage.ParseID(r.PathValue("id"))
		if err != nil {
			s.fail(w, r, offstage.ErrNotFound)
			return
		}
		state, err := do(r.Context(), id)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if status.PrefersHTML(r) {
			http.Redirect(w, r, backTo(r), http.StatusSeeOther)
			return
		}
		answer := map[string]any{"id": id, "state": state}
		if state == 0 {
			answer["state"] = nil // it is gone
		}
		s.writeJSON(w, http.StatusOK, answer)
	}
}

// remove deletes a job, also from the search.
func (s *service) remove(ctx context.Context, id offstage.ID) (offstage.State, error) {
	err := s.client.Delete(ctx, id)
	if err == nil {
		err = s.tables.forgetReport(ctx, id) // if it was one
	}
	return 0, err
}

// backTo returns the page of this site that a form names; anything else leads to
// the list of jobs.
func backTo(r *http.Request) string {
	back, err := url.Parse(r.PostFormValue("back"))
	if err != nil || back.IsAbs() || back.Host != "" || !strings.HasPrefix(back.Path, "/jobs") {
		return "/jobs"
	}
	return back.RequestURI()
}
