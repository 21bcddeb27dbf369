package demo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/offstagehq/offstage"
)

// overviewPage is the front page: a card for each situation.
type overviewPage struct {
	frame
	MaxUpload int64
	Reports   []reportLine
	Devices   []string
	LowJobs   int
	HighJobs  int
	CleanUp   *offstage.JobInfo // nil: no worker has scheduled it yet
	CleanEach time.Duration
	KeepFiles time.Duration
	Workers   int
}

// reportLine is one of the latest uploads.
type reportLine struct {
	offstage.JobInfo
	Name   string
	Bytes  int64
	Status string
}

// showOverview is GET /.
func (s *service) showOverview(w http.ResponseWriter, r *http.Request) {
	page := overviewPage{
		frame: frame{Title: "Offstage demo", Nav: "overview", Every: liveSlow}, MaxUpload: s.maxUpload, Devices: deviceNames,
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
		page.Reports = append(page.Reports, reportLine{job, args.Name, args.Size, "/status/" + s.tokens.sign(job.ID)})
	}
	cleanUp, err := s.client.List(r.Context(), offstage.Filter{Kind: CleanUploads{}.Kind(), Limit: 1})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(cleanUp.Jobs) > 0 {
		page.CleanUp = &cleanUp.Jobs[0]
	}
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
	receipt, err := s.scheduleCleanUp(r.Context())
	if err == nil && receipt.Existed {
		_, err = s.client.RunNow(r.Context(), receipt.ID)
	}
	var state *offstage.StateError
	if errors.As(err, &state) && state.State == offstage.Running {
		err = nil // it is at it already
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.accepted(w, r, receipt.ID, "/")
}

// sampleRows make a sample of about 13 MB, which takes long enough to be
// watched.
const sampleRows = 300_000

// sendSample is GET /sample.csv: something to upload for those who have no CSV
// at hand. It is the same each time.
func (s *service) sendSample(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="telemetry.csv"`)
	out := bufio.NewWriterSize(w, 64<<10)
	_, err := out.WriteString("time,device,temperature,humidity,battery\n")
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for row := 0; row < sampleRows && err == nil; row++ {
		day := float64(row) / 8640 * 2 * math.Pi
		_, err = fmt.Fprintf(out, "%s,%s,%.2f,%.1f,%d\n", begin.Add(time.Duration(row)*10*time.Second).Format(time.RFC3339),
			deviceNames[row%len(deviceNames)], 18+7*math.Sin(day)+math.Sin(float64(row)), 55-20*math.Sin(day+0.5), 100-row*80/sampleRows)
	}
	if err == nil {
		_ = out.Flush() // an error means that the browser has gone
	}
}
