package demo

import (
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
)

// statusJSON is what GET /status/{token} answers to programs, in every state.
// All keys are always there; what is empty is null.
type statusJSON struct {
	ID       offstage.ID     `json:"id"`
	Kind     string          `json:"kind"`
	State    offstage.State  `json:"state"`
	Attempt  int             `json:"attempt"` // 0: it has not started
	Progress *progressJSON   `json:"progress"`
	Result   json.RawMessage `json:"result"`
	Error    *string         `json:"error"`
}

type progressJSON struct {
	Done    int64  `json:"done"`
	Total   int64  `json:"total"` // 0: unknown
	Message string `json:"message"`
}

func newStatusJSON(job offstage.JobInfo) statusJSON {
	status := statusJSON{ID: job.ID, Kind: job.Kind, State: job.State, Attempt: job.Run}
	if p := currentProgress(job); p != nil {
		status.Progress = &progressJSON{p.Done, p.Total, p.Message}
	}
	if job.State == offstage.Completed {
		status.Result = job.Result
	}
	if text := userError(job); text != "" {
		status.Error = &text
	}
	return status
}

// currentProgress returns what the latest attempt reported; an earlier one's
// report says nothing about where the job is now.
func currentProgress(job offstage.JobInfo) *offstage.ProgressInfo {
	if job.Progress == nil || job.Progress.Run != job.Run {
		return nil
	}
	return job.Progress
}

// showStatus is GET /status/{token}: where a job's user follows it.
func (s *service) showStatus(w http.ResponseWriter, r *http.Request) {
	job, err := s.jobOfToken(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "no-store")
	if wantsJSON(r) {
		s.writeJSON(w, http.StatusOK, newStatusJSON(job.JobInfo))
		return
	}
	page, err := s.newStatusPage(r.PathValue("token"), job)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, http.StatusOK, "status", page)
}

// jobOfToken returns the job that the request's link names. A forged link and a
// link to a job that is gone get the same answer.
func (s *service) jobOfToken(r *http.Request) (offstage.Details, error) {
	id, genuine := s.tokens.open(r.PathValue("token"))
	if !genuine {
		return offstage.Details{}, errNoStatus
	}
	job, err := s.client.Get(r.Context(), id)
	if errors.Is(err, offstage.ErrNotFound) {
		return offstage.Details{}, errNoStatus
	}
	return job, err
}

var errNoStatus = refuse(http.StatusNotFound, "this link leads to nothing, or to nothing any more")

// statusPage is what a browser shows of a job to its user.
type statusPage struct {
	frame
	Job      offstage.Details
	What     string // what is being done, in the user's words
	Progress *offstage.ProgressInfo
	Trouble  string // for the user's eyes
	InBytes  bool   // the progress is
	Report   *csvreport.Report
	Chart    string // path of the chart page; "" without one
}

func (s *service) newStatusPage(token string, job offstage.Details) (statusPage, error) {
	page := statusPage{Job: job, What: s.describe(job.Facts), Trouble: userError(job.JobInfo), Progress: currentProgress(job.JobInfo)}
	page.frame = frame{Title: page.What, Nav: "overview"}
	if !job.State.Terminal() {
		page.Every = liveFast
	}
	if job.Kind != (BuildReport{}).Kind() {
		return page, nil
	}
	var args BuildReport
	if json.Unmarshal(job.Args, &args) == nil { // else somebody else enqueued it
		page.InBytes = args.Sample == 0
	}
	if job.State != offstage.Completed {
		return page, nil
	}
	page.Report = new(csvreport.Report)
	if err := json.Unmarshal(job.Result, page.Report); err != nil {
		return page, err
	}
	if _, err := os.Stat(s.files.chart(job.ID)); err == nil {
		page.Chart = "/status/" + token + "/report"
	}
	return page, nil
}

// describe says what a job does in words for its user.
func (s *service) describe(job offstage.Facts) string {
	switch job.Kind {
	case (BuildReport{}).Kind():
		var args BuildReport
		if json.Unmarshal(job.Args, &args) == nil {
			return "Report on " + args.Name
		}
	case (SendCommand{}).Kind():
		var args SendCommand
		if json.Unmarshal(job.Args, &args) == nil {
			return "Command “" + args.Command + "” to " + args.Device
		}
	}
	return job.Kind
}

// showChart is GET /status/{token}/report: the chart page, to open or, with
// ?download, to keep.
func (s *service) showChart(w http.ResponseWriter, r *http.Request) {
	job, err := s.jobOfToken(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	file, err := os.Open(s.files.chart(job.ID))
	if errors.Is(err, fs.ErrNotExist) || job.State != offstage.Completed {
		err = refuse(http.StatusNotFound, "there is no chart here, or none any more")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	// The page stands alone: it brings its own style and nothing else.
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'")
	if r.URL.Query().Has("download") {
		name := strings.TrimPrefix(s.describe(job.Facts), "Report on ") + ".html"
		header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	}
	http.ServeContent(w, r, "", job.FinishedAt, file)
}
