package csvreport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Report holds the figures of one file. Its JSON is at most [MaxReport] bytes; one read back is equal.
type Report struct {
	Rows    int64    `json:"rows"`    // records after the header
	Columns []Column `json:"columns"` // the numeric columns in the order of the file; empty, not nil, without any
}

// Analysis is everything that is found in one file.
type Analysis struct {
	Report
	// Courses are those of the numeric columns, in the order of Report.Columns. It may be shorter: only the first
	// columns of a file have one.
	Courses []Course `json:"-"`
	// Head is how the text begins: at most [MaxHead] bytes, whole characters.
	Head string `json:"-"`
}

// Column holds the figures of one numeric column. They are exact up to 34 significant digits and rounded half to even
// beyond; the mean has at least 17. Numbers too long to be read in full, such as 1e+40, have an exponent.
type Column struct {
	Name  string      `json:"name"`  // as in the header; may be empty or repeat
	Count int64       `json:"count"` // cells that hold a number
	Sum   json.Number `json:"sum"`
	Min   json.Number `json:"min"`
	Max   json.Number `json:"max"`
	Mean  json.Number `json:"mean"`
}

// Analyze reads a CSV to its end, in memory that depends on its width and not on its length, and returns what it found.
// After every block it calls progress, unless that is nil, with the bytes of r read so far.
//
// The error is an *Error when the content is broken, the cause of the context when that ended, else the reader's.
func Analyze(ctx context.Context, r io.Reader, progress func(done int64)) (Analysis, error) {
	a := analysis{detector: newDetector()}
	a.decoder.emit = a.text
	block := make([]byte, decodeBlock)
	for done := int64(0); ; {
		if ctx.Err() != nil {
			return Analysis{}, context.Cause(ctx)
		}
		n, err := r.Read(block)
		if done += int64(n); n > 0 {
			if err := a.decoder.write(block[:n]); err != nil {
				return Analysis{}, err
			}
			if progress != nil {
				progress(done)
			}
		}
		if errors.Is(err, io.EOF) {
			return a.finish()
		}
		if err != nil {
			return Analysis{}, fmt.Errorf("read csv: %w", err)
		}
	}
}

// analysis is the chain of stages behind one Analyze.
type analysis struct {
	decoder  decoder
	detector *detector // nil once it has decided
	head     []byte    // text that came before that; the limit of a record bounds it
	begin    []byte    // the first MaxHead bytes of the text
	splitter *splitter
	table    table
}

func (a *analysis) text(p []byte) error {
	if room := MaxHead - len(a.begin); room > 0 {
		a.begin = append(a.begin, p[:min(len(p), room)]...)
	}
	if a.detector == nil {
		return a.splitter.write(p)
	}
	a.head = append(a.head, p...)
	if a.detector.write(p) {
		return nil
	}
	return a.decide()
}

// decide chooses the separator and cuts the head with it.
func (a *analysis) decide() error {
	separator, _, err := a.detector.verdict()
	if err != nil {
		return err
	}
	a.splitter = newSplitter(separator, &a.table)
	head := a.head
	a.detector, a.head = nil, nil
	return a.splitter.write(head)
}

func (a *analysis) finish() (Analysis, error) {
	if err := a.decoder.close(); err != nil {
		return Analysis{}, err
	}
	if a.detector != nil {
		a.detector.close()
		if err := a.decide(); err != nil {
			return Analysis{}, err
		}
	}
	if err := a.splitter.close(); err != nil {
		return Analysis{}, err
	}
	found, err := a.table.report()
	found.Head = strings.ToValidUTF8(string(a.begin), "") // the last character may be cut
	return found, err
}

// table gathers the figures of every column. It is the sink of a splitter; its zero value waits for the header.
type table struct {
	headed  bool
	names   []string
	columns []figures
	next    int // column of the next cell
	rows    int64
}

func (t *table) cell(text []byte) {
	if !t.headed {
		t.names = append(t.names, string(text))
		return
	}
	if t.next < len(t.columns) {
		t.columns[t.next].add(text, t.rows)
	}
	t.next++
}

func (t *table) record(line int64, cells int) error {
	if !t.headed {
		t.headed = true
		t.columns = make([]figures, cells)
		for i := range t.columns[:min(cells, maxCourses)] {
			t.columns[i].course = new(courseOf)
		}
		return nil
	}
	t.next = 0
	if cells != len(t.columns) {
		return widthError(line, cells, len(t.columns))
	}
	t.rows++
	return nil
}

func (t *table) report() (Analysis, error) {
	r := Analysis{Report: Report{Rows: t.rows, Columns: []Column{}}}
	for i := range t.columns {
		if f := &t.columns[i]; f.numeric() {
			r.Columns = append(r.Columns, f.column(t.names[i]))
			if f.course != nil {
				r.Courses = append(r.Courses, f.course.stretches)
			}
		}
	}
	text, err := json.Marshal(r.Report)
	if err != nil {
		return Analysis{}, fmt.Errorf("encode report: %w", err)
	}
	if len(text) > MaxReport {
		return Analysis{}, &Error{Reason: fmt.Sprintf(
			"the figures of %d numeric columns take %d bytes, more than the %d that a report may have",
			len(r.Columns), len(text), MaxReport)}
	}
	return r, nil
}
