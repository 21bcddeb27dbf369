package demo

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

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
	Scheduled bool              // a worker has declared the clean-up
	CleanNext time.Time         // when it is due; zero: not known
	CleanUp   *offstage.JobInfo // the latest round; nil: none yet
	CleanEach time.Duration
	KeepFiles time.Duration
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
		frame: frame{Title: "Offstage demo", Nav: "overview", Every: liveSlow}, MaxUpload: s.maxUpload, Sample: sampleRows, Devices: deviceNames,
		LowJobs: lowJobs, HighJobs: highJobs, CleanEach: cleanEvery, KeepFiles: keepFiles,
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
	cleanUp, err := s.client.List(r.Context(), offstage.Filter{Kind: CleanUploads{}.Kind(), Limit: 1})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(cleanUp.Jobs) > 0 {
		page.CleanUp = &cleanUp.Jobs[0]
	}
	scheduled, err := s.client.Schedule(r.Context(), cleanUpSchedule)
	if err != nil && !errors.Is(err, offstage.ErrNoSchedule) {
		s.fail(w, r, err)
		return
	}
	page.Scheduled, page.CleanNext = err == nil, scheduled.NextTick
	stats, err := s.client.Stats(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page.Workers = len(stats.Workers)
	s.render(w, http.StatusOK, "overview", page)
}

// cleanUpNow is POST /cleanup: the clean-up does not wait for its time.
func (s *service) cleanUpNow(w http.ResponseWriter, r *http.Request) {
	s.runNamed(w, r, cleanUpSchedule, "/")
}
