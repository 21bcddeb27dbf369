package demo

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"time"
)

const (
	// sampleRows is how many readings the report on a sample has. That takes long
	// enough to be watched.
	sampleRows = 10_000_000
	// fileRows is how many the sample to take away has: about 13 MB.
	fileRows = 300_000
)

// sample is a CSV of telemetry, made as it is read, and the same each time. It
// is for one goroutine.
type sample struct {
	rows, done int64
	line       []byte
	left       []byte // of the line
}

func newSample(rows int64) *sample {
	return &sample{rows: rows, left: []byte("time,device,temperature,humidity,battery\n")}
}

// Read fills p with further lines.
func (s *sample) Read(p []byte) (n int, err error) {
	for {
		taken := copy(p[n:], s.left)
		n, s.left = n+taken, s.left[taken:]
		if n == len(p) {
			return n, nil
		}
		if s.done == s.rows {
			return n, io.EOF
		}
		s.next()
	}
}

// Close does nothing.
func (*sample) Close() error { return nil }

// The days of the sample: it is warmest in the afternoon, and warmer in summer.
const (
	readingsPerDay  = 8640 // one in 10 s
	readingsPerYear = 365 * readingsPerDay
)

var sampleBegin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// next makes the next line. The battery holds for a year, and is changed.
func (s *sample) next() {
	n := float64(s.done)
	day, year := math.Sin(n/readingsPerDay*2*math.Pi), -math.Cos(n/readingsPerYear*2*math.Pi)
	b := s.line[:0]
	b = sampleBegin.Add(time.Duration(s.done)*10*time.Second).AppendFormat(b, time.RFC3339)
	b = append(append(append(b, ','), deviceNames[s.done%int64(len(deviceNames))]...), ',')
	b = append(strconv.AppendFloat(b, 14+5*day+8*year+math.Sin(n), 'f', 2, 64), ',')
	b = append(strconv.AppendFloat(b, 60-12*day-10*year+3*math.Cos(n*.7), 'f', 1, 64), ',')
	b = append(strconv.AppendInt(b, 100-s.done%readingsPerYear*80/readingsPerYear, 10), '\n')
	s.line, s.left = b, b
	s.done++
}

// sendSample is GET /sample.csv: something to upload for those who have no CSV
// at hand.
func (s *service) sendSample(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="telemetry.csv"`)
	_, _ = io.Copy(w, newSample(fileRows)) // an error means that the browser has gone
}

// reportSample is POST /reports/sample: a report for those who have no CSV and
// want to see one being built.
func (s *service) reportSample(w http.ResponseWriter, r *http.Request) {
	s.accept(w, r, BuildReport{Name: "a sample", Sample: sampleRows}, "", s.thenMail())
}
