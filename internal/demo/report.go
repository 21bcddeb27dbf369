package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
)

// BuildReport is a job that turns an uploaded CSV into a report.
type BuildReport struct {
	File string `json:"file"` // its name among the uploads
	Name string `json:"name"` // what its sender calls it
	Size int64  `json:"size"` // bytes
}

// Kind returns "build_report".
func (BuildReport) Kind() string { return "build_report" }

// EnqueueOptions puts reports into a queue of their own: they take long, and
// nothing else should wait for them.
func (BuildReport) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("reports")}
}

// buildReport reads the file as a stream and leaves the figures as the job's
// result and a chart as a file. Run twice, it does the same twice: the chart is
// replaced as a whole, under a name that is the job's.
func (s *service) buildReport(ctx context.Context, job *offstage.Job[BuildReport]) (csvreport.Report, error) {
	var none csvreport.Report
	path, err := s.files.upload(job.Args.File)
	if err != nil {
		return none, offstage.Fail(err)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, offstage.Fail(tell("the uploaded file is no longer here; please upload it again", err))
	}
	if err != nil {
		return none, err
	}
	defer func() { _ = file.Close() }() // it was only read
	report, err := csvreport.Analyze(ctx, file, func(done int64) {
		offstage.Progress(ctx, done, job.Args.Size, "reading the file")
	})
	var content *csvreport.Error
	if errors.As(err, &content) {
		return none, offstage.Fail(tell(content.Error(), err)) // the file will not get better
	}
	if err != nil {
		return none, err
	}
	offstage.Progress(ctx, job.Args.Size, job.Args.Size, "drawing the chart")
	err = replaceFile(s.files.chart(job.ID), func(file *os.File) error {
		return csvreport.WriteHTML(file, report, job.Args.Name)
	})
	if err != nil {
		return none, fmt.Errorf("store the chart: %w", err)
	}
	offstage.Progress(ctx, job.Args.Size, job.Args.Size, "done")
	offstage.Logger(ctx).InfoContext(ctx, "report is ready", "rows", report.Rows, "columns", len(report.Columns))
	return report, nil
}
