package demo

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
	"github.com/offstagehq/offstage/status"
)

// maxReports is how many reports may wait for a worker: their files are kept here.
const maxReports = 50

// newFlows returns what users follow their jobs by. Whoever has a job's link may
// cancel it. Streams end when ctx does, so that a stop need not wait for them.
func (s *service) newFlows(ctx context.Context) (*status.Flows, error) {
	blobs, err := status.Dir(s.files.results())
	if err != nil {
		return nil, err
	}
	s.results = status.NewFiles(s.client, blobs)
	flows, err := status.New(ctx, s.client, status.Config{
		Title:  s.describe,
		Cancel: func(*http.Request, offstage.JobInfo) bool { return true },
		Files:  s.results,
		Limits: map[string]status.Limit{"reports": {Depth: maxReports}},
		Page:   s.showStatus,
		Refuse: func(w http.ResponseWriter, r *http.Request, p *status.Problem) { s.fail(w, r, p) },
		Logger: s.log,
	})
	if err == nil {
		context.AfterFunc(ctx, flows.Stop)
	}
	return flows, err
}

// currentProgress returns what the latest attempt reported; an earlier one's
// report says nothing about where the job is now.
func currentProgress(job offstage.JobInfo) *offstage.ProgressInfo {
	if job.Progress == nil || job.Progress.Run != job.Run {
		return nil
	}
	return job.Progress
}

// statusPage is what a browser shows of a job to its user.
type statusPage struct {
	frame
	Now    status.Status
	Job    offstage.Details
	Script string
	Report *csvreport.Report
	All    *uploadsReport
	Device string       // that a command is for; "": it is none
	File   *status.File // that it left; nil: none
}

// showStatus is GET /status/{token} for browsers.
func (s *service) showStatus(w http.ResponseWriter, r *http.Request, now status.Status) {
	job, err := s.client.Get(r.Context(), now.ID)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := statusPage{frame: frame{Title: now.Title, Nav: "overview"}, Now: now, Job: job, Script: status.DefaultPrefix + status.Script}
	if !now.State.Terminal() { // of what is shown: the job, read later, may have ended
		page.Every = liveFast
	}
	if now.State == offstage.Completed {
		switch job.Kind {
		case BuildReport{}.Kind():
			err = json.Unmarshal(now.Result, &page.Report)
		case ReportUploads{}.Kind():
			err = json.Unmarshal(now.Result, &page.All)
		}
	}
	if job.Kind == (SendCommand{}).Kind() {
		var args SendCommand
		err = json.Unmarshal(job.Args, &args)
		page.Nav, page.Device = "devices", args.Device
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if job.Kind == (BuildReport{}).Kind() && now.State.Terminal() {
		if err := s.tables.noteSeen(r.Context(), job.ID); err != nil {
			s.log.WarnContext(r.Context(), "a report was seen and is mailed all the same", "job", job.ID, "err", err)
		}
	}
	if len(now.Files) > 0 {
		page.File = &now.Files[0]
	}
	w.Header().Set("Cache-Control", "no-store")
	s.render(w, http.StatusOK, "status", page)
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
	case (ReportUploads{}).Kind():
		return "Report on all uploads"
	case (MailReport{}).Kind():
		return "Mail about report " + offstage.Followed(job).String()
	case (SendDigest{}).Kind():
		return "Digest by mail"
	case (RefreshSearch{}).Kind():
		return "Refresh of the search index"
	}
	return job.Kind
}
