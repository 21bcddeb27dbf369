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
// result and a chart as a file. Run twice, it does the same twice: the chart is
// replaced as a whole, under a name that is the job's.
func (s *service) buildReport(ctx context.Context, job *offstage.Job[BuildReport]) (csvreport.Report, error) {
	var none csvreport.Report
	analysis, total, err := s.analyze(ctx, job.Args)
	var content *csvreport.Error
	if errors.As(err, &content) {
		return none, offstage.Fail(tell(content.Error(), err)) // the file will not get better
	}
	if err != nil {
		return none, err
	}
	offstage.Progress(ctx, total, total, "drawing the chart")
	err = replaceFile(s.files.chart(job.ID), func(file *os.File) error {
		return csvreport.WriteHTML(file, analysis, job.Args.Name)
	})
	if err != nil {
		return none, fmt.Errorf("store the chart: %w", err)
	}
	offstage.Progress(ctx, total, total, "done")
	offstage.Logger(ctx).InfoContext(ctx, "report is ready", "rows", analysis.Rows, "columns", len(analysis.Columns))
	return analysis.Report, nil
}

// analyze reads the job's CSV and tells how far it is: in bytes of a file, in
// readings of a sample. It returns how many there were.
func (s *service) analyze(ctx context.Context, args BuildReport) (analysis csvreport.Analysis, total int64, err error) {
	if args.Sample > 0 {
		sample := newSample(args.Sample)
		analysis, err = csvreport.Analyze(ctx, sample, func(int64) {
			offstage.Progress(ctx, sample.done, args.Sample, "reading the sample")
		})
		return analysis, args.Sample, err
	}
	path, err := s.files.upload(args.File)
	if err != nil {
		return analysis, 0, offstage.Fail(err)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return analysis, 0, offstage.Fail(tell("the uploaded file is no longer here; please upload it again", err))
	}
	if err != nil {
		return analysis, 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	analysis, err = csvreport.Analyze(ctx, file, func(done int64) {
		offstage.Progress(ctx, done, args.Size, "reading the file")
	})
	return analysis, args.Size, err
}
