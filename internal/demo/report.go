package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
	"github.com/offstagehq/offstage/status"
)

// BuildReport is a job that turns a CSV, an uploaded one or a sample, into a
// report.
type BuildReport struct {
	File   string `json:"file,omitempty"`   // its name among the uploads; "" for a sample
	Name   string `json:"name"`             // what its sender calls it
	Size   int64  `json:"size,omitempty"`   // bytes of the file
	Sample int64  `json:"sample,omitempty"` // readings of the sample
}

// Kind returns "build_report".
func (BuildReport) Kind() string { return "build_report" }

// EnqueueOptions puts reports into a queue of their own: they take long, and
// nothing else should wait for them.
func (BuildReport) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("reports")}
}

// buildReport reads the CSV as a stream and leaves the figures as the job's
// result and a chart as a file. Run twice, it does the same twice: only what the
// attempt leaves that completes the job is ever seen.
func (s *service) buildReport(ctx context.Context, job *offstage.Job[BuildReport]) (csvreport.Report, error) {
	var none csvreport.Report
	analysis, total, err := s.analyze(ctx, job.Args)
	var content *csvreport.Error
	if errors.As(err, &content) {
		return none, offstage.Fail(status.Tell(content.Error(), err)) // the file will not get better
	}
	if err != nil {
		return none, err
	}
	offstage.Progress(ctx, total, total, "drawing the chart")
	if err := s.leaveChart(ctx, job, analysis); err != nil {
		return none, fmt.Errorf("store the chart: %w", err)
	}
	if err := s.tables.noteReport(ctx, job.ID, job.Args.Name, analysis.Head); err != nil {
		return none, fmt.Errorf("note the report for the search: %w", err)
	}
	offstage.Progress(ctx, total, total, "done")
	offstage.Logger(ctx).InfoContext(ctx, "report is ready", "rows", analysis.Rows, "columns", len(analysis.Columns))
	return analysis.Report, nil
}

// leaveChart writes the chart as a file that the job's user can download.
func (s *service) leaveChart(ctx context.Context, job *offstage.Job[BuildReport], analysis csvreport.Analysis) error {
	file, err := s.results.Create(ctx, job.ID, job.Run, chartName(job.Args.Name), "text/html; charset=utf-8")
	if err != nil {
		return err
	}
	defer file.Discard()
	if err := csvreport.WriteHTML(file, analysis, job.Args.Name); err != nil {
		return err
	}
	return file.Close()
}

// chartName makes the name of a chart of the name of a CSV, which may be
// anything.
func chartName(name string) string {
	name = strings.TrimLeft(strings.NewReplacer("/", "_", `\`, "_", ":", "_").Replace(name), ".")
	return strings.ToValidUTF8(name[:min(len(name), 190)], "") + ".html"
}

// analyze reads the job's CSV and tells how far it is: in bytes of a file, in
// readings of a sample. It returns how many there were.
func (s *service) analyze(ctx context.Context, args BuildReport) (analysis csvreport.Analysis, total int64, err error) {
	upload, err := s.open(args)
	switch {
	case errors.Is(err, fs.ErrInvalid):
		return analysis, 0, offstage.Fail(err)
	case errors.Is(err, fs.ErrNotExist):
		return analysis, 0, offstage.Fail(status.Tell("the uploaded file is no longer here; please upload it again", err))
	case err != nil:
		return analysis, 0, err
	}
	defer func() { _ = upload.Close() }() // it was only read
	if sample, ok := upload.(*sample); ok {
		analysis, err = csvreport.Analyze(ctx, sample, func(int64) {
			offstage.Progress(ctx, sample.done, args.Sample, "reading the sample")
		})
		return analysis, args.Sample, err
	}
	analysis, err = csvreport.Analyze(ctx, upload, func(done int64) {
		offstage.Progress(ctx, done, args.Size, "reading the file")
	})
	return analysis, args.Size, err
}

// open opens what a report is to be built of. The error is [fs.ErrNotExist] if the
// file is gone, [fs.ErrInvalid] if there can be none of its name.
func (s *service) open(args BuildReport) (io.ReadCloser, error) {
	if args.Sample > 0 {
		return newSample(args.Sample), nil
	}
	path, err := s.files.upload(args.File)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}
