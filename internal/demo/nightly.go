package demo

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
)

// ReportUploads is a job that reports on all uploads.
type ReportUploads struct{}

// Kind returns "report_uploads".
func (ReportUploads) Kind() string { return "report_uploads" }

// EnqueueOptions puts it among the other reports.
func (ReportUploads) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("reports")}
}

// uploadsReport sums up a report on all uploads; the figures are in its file.
type uploadsReport struct {
	Uploads int   `json:"uploads"` // that were read
	Gone    int   `json:"gone"`    // whose file is no longer there
	Broken  int   `json:"broken"`  // that are no CSV to their end
	Rows    int64 `json:"rows"`
	Bytes   int64 `json:"bytes"`
	Columns int   `json:"columns"` // lines of the file
}

// reportUploads reads every upload from its beginning to its end, as a stream, and
// writes a line for each numeric column into a CSV as it goes: whatever number and
// size of uploads, it needs the memory of one block of one file. Run twice, it does
// the same twice; only the file of the attempt that completes is ever seen.
func (s *service) reportUploads(ctx context.Context, job *offstage.Job[ReportUploads]) (sum uploadsReport, err error) {
	at := time.Now()
	if job.Tick != nil {
		at = job.Tick.At
	}
	file, err := s.results.Create(ctx, job.ID, job.Run, "uploads-"+at.UTC().Format("2006-01-02")+".csv", "text/csv; charset=utf-8")
	if err != nil {
		return sum, err
	}
	defer file.Discard()
	if sum, err = s.readUploads(ctx, file); err != nil {
		return sum, err
	}
	offstage.Progress(ctx, 1, 1, "done")
	return sum, file.Close()
}

// readUploads writes the figures of all uploads.
func (s *service) readUploads(ctx context.Context, w io.Writer) (sum uploadsReport, err error) {
	lines := csv.NewWriter(w)
	if err := lines.Write([]string{"upload", "uploaded", "rows", "column", "count", "sum", "min", "max", "mean"}); err != nil {
		return sum, err
	}
	filter := offstage.Filter{Kind: BuildReport{}.Kind(), Limit: 100}
	for {
		page, err := s.client.List(ctx, filter)
		if err != nil {
			return sum, err
		}
		for _, job := range page.Jobs {
			if err := s.readUpload(ctx, job, lines, &sum); err != nil {
				return sum, err
			}
		}
		if filter.After = page.Next; filter.After == "" {
			lines.Flush()
			return sum, lines.Error()
		}
	}
}

// readUpload reads one upload and writes its lines.
func (s *service) readUpload(ctx context.Context, job offstage.JobInfo, lines *csv.Writer, sum *uploadsReport) error {
	var args BuildReport
	if json.Unmarshal(job.Args, &args) != nil {
		return nil // not enqueued by this program
	}
	upload, err := s.open(args)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		sum.Gone++
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = upload.Close() }() // it was only read
	before := sum.Bytes
	analysis, err := csvreport.Analyze(ctx, upload, func(done int64) {
		sum.Bytes = before + done
		offstage.Progress(ctx, 0, 0, fmt.Sprintf("%s; %s read so far", args.Name, size(sum.Bytes)))
	})
	var content *csvreport.Error
	if errors.As(err, &content) {
		sum.Broken++
		return nil
	}
	if err != nil {
		return err
	}
	sum.Uploads++
	sum.Rows += analysis.Rows
	sum.Columns += len(analysis.Columns)
	rows := strconv.FormatInt(analysis.Rows, 10)
	for _, c := range analysis.Columns {
		err := lines.Write([]string{asText(args.Name), stamp(job.CreatedAt), rows, asText(c.Name), strconv.FormatInt(c.Count, 10), c.Sum.String(), c.Min.String(), c.Max.String(), c.Mean.String()})
		if err != nil {
			return err
		}
	}
	return nil
}

// asText writes a name that strangers chose so that no spreadsheet takes it for a
// formula: https://owasp.org/www-community/attacks/CSV_Injection.
func asText(name string) string {
	if strings.IndexAny(name, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + name
	}
	return name
}
