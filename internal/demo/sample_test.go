package demo

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
)

// The sample is a CSV with as many rows as were asked for, the same in whatever
// pieces it is read.
func TestSample(t *testing.T) {
	whole, err := io.ReadAll(newSample(1000))
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := io.ReadAll(iotest.OneByteReader(newSample(1000)))
	if err != nil || string(pieces) != string(whole) {
		t.Errorf("in pieces the sample is another one, %v", err)
	}
	analysis, err := csvreport.Analyze(t.Context(), strings.NewReader(string(whole)), nil)
	if err != nil || analysis.Rows != 1000 || len(analysis.Columns) != 3 {
		t.Errorf("%d rows, %d columns, %v", analysis.Rows, len(analysis.Columns), err)
	}
}

// Whoever has no CSV sees a report being built all the same.
func TestReportOnASample(t *testing.T) {
	s := start(t, withoutWorker)
	got := s.press("/reports/sample", nil)
	if got.status != http.StatusSeeOther {
		t.Fatalf("the button is answered with %d: %s", got.status, got.body)
	}
	waiting := s.jobs("build_report")
	if len(waiting) != 1 || !strings.Contains(string(waiting[0].Args), `"sample":10000000`) {
		t.Fatalf("it enqueued %+v", waiting)
	}
	if page := s.get(got.header.Get("Location")); !strings.Contains(page.body, "Report on a sample") {
		t.Error("its page does not say what it is")
	}
	if page := s.get("/"); !strings.Contains(page.body, "10,000,000 readings ·") {
		t.Error("the overview does not list it")
	}
}

// A report on a sample tells its progress in readings.
func TestSampleIsReported(t *testing.T) {
	s := start(t)
	receipt, err := s.client.Enqueue(t.Context(), BuildReport{Name: "a sample", Sample: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	job, err := s.client.Get(t.Context(), receipt.ID)
	if err != nil || job.State != offstage.Completed || job.Progress == nil || job.Progress.Done != 20_000 || job.Progress.Total != 20_000 {
		t.Errorf("the report is %v, its progress %+v, %v", job.State, job.Progress, err)
	}
	if !strings.Contains(string(job.Result), `"rows":20000`) {
		t.Errorf("the result is %s", job.Result)
	}
}
