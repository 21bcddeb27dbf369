package demo

import (
	"encoding/json"
	"net/http"

	"github.com/offstagehq/offstage"
)

// overviewPage is the front page: a card for each situation.
type overviewPage struct {
	frame
	MaxUpload int64
	Sample    int
	Reports   []reportLine
	Devices   []string
	LowJobs   int
	HighJobs  int
	Schedules []scheduleLine
	Workers   int
}

// reportLine is one of the latest uploads.
type reportLine struct {
	offstage.JobInfo
	BuildReport
	Status string
}

// showOverview is GET /.
func (s *service) showOverview(w http.ResponseWriter, r *http.Request) {
	page := overviewPage{
		frame: frame{Title: "Offstage demo", Nav: "overview", Every: liveSlow, Form: true}, MaxUpload: s.maxUpload, Sample: sampleRows, Devices: deviceNames,
		LowJobs: lowJobs, HighJobs: highJobs,
	}
	reports, err := s.client.List(r.Context(), offstage.Filter{Kind: BuildReport{}.Kind(), Limit: 5})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, job := range reports.Jobs {
		var args BuildReport
		if err := json.Unmarshal(job.Args, &args); err != nil {
			continue // not enqueued by this program; the jobs page has it
		}
		page.Reports = append(page.Reports, reportLine{job, args, s.flows.Link(r, job.ID)})
	}
	if page.Schedules, err = s.scheduleLines(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	stats, err := s.client.Stats(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page.Workers = len(stats.Workers)
	s.render(w, http.StatusOK, "overview", page)
}
