package csvreport

import (
	"errors"
	"fmt"
)

// separators in the order that decides between two which fit equally well: a tab or semicolon seldom cuts every record
// alike by chance, a decimal comma may.
var separators = [...]byte{'\t', ';', ','}

// detector finds the separator from the header and the first records, by cutting the text with each candidate at the
// same time, and checks these records. Make it with newDetector; it is for one text and one goroutine.
type detector struct {
	trials [len(separators)]trial
}

func newDetector() *detector {
	d := &detector{}
	for i, c := range separators {
		d.trials[i].splitter = newSplitter(c, &d.trials[i])
	}
	return d
}

// write takes the next piece of the text and reports whether more is needed.
func (d *detector) write(p []byte) (more bool) {
	for i := range d.trials {
		t := &d.trials[i]
		if t.err == nil {
			t.err = t.splitter.write(p)
		}
		more = more || t.err == nil
	}
	return more
}

// close takes the end of the text and, like a write that needs no more, is followed by verdict.
func (d *detector) close() {
	for i := range d.trials {
		if t := &d.trials[i]; t.err == nil {
			t.err = t.splitter.close()
		}
	}
}

// verdict returns the separator and the width of the header, or an *Error if with this separator the text begins like
// no CSV.
func (d *detector) verdict() (separator byte, width int, err error) {
	var best *trial
	for i := range d.trials {
		if t := &d.trials[i]; t.seen() && (best == nil || t.better(best)) {
			best = t
		}
	}
	if best == nil {
		best = &d.trials[len(separators)-1] // one column, in which a comma still separates
	}
	end := best.splitter.lines.n + 1
	switch {
	case best.broken():
		err = best.err
	case best.width == 0:
		err = &Error{Line: 1, Reason: "the file is empty; a CSV has a header and at least one record"}
	case best.records == 0:
		err = &Error{Line: end, Reason: "no record follows the header; a CSV has at least one"}
	}
	return best.splitter.separator, best.width, err
}

// errEnough ends a trial that has seen all it needs.
var errEnough = errors.New("enough records seen")

// trial cuts the beginning of a text with one candidate. It is the sink of its splitter.
type trial struct {
	splitter *splitter
	err      error // why it ended: an *Error or errEnough; nil while it goes on or the text was short
	width    int   // cells of the header; 0 until it has come
	records  int   // records after the header that have its width
	first    int   // cells of the first record after the header
}

func (t *trial) cell([]byte) {}

func (t *trial) record(line int64, cells int) error {
	if t.width == 0 {
		t.width = cells
		return nil
	}
	if t.first == 0 {
		t.first = cells
	}
	if cells != t.width {
		return widthError(line, cells, t.width)
	}
	if t.records++; t.records == headRecords {
		return errEnough
	}
	return nil
}

// seen reports whether the candidate stands in the header or the first record, be they finished or broken.
func (t *trial) seen() bool {
	return t.width > 1 || t.first > 1 || (t.first == 0 && t.splitter.cells > 0)
}

// better compares two candidates that were seen; on a draw the earlier in separators stays.
func (t *trial) better(other *trial) bool {
	switch {
	case (t.width > 1) != (other.width > 1):
		return t.width > 1
	case t.broken() != other.broken():
		return other.broken()
	case t.records != other.records:
		return t.records > other.records
	}
	return t.width > other.width
}

func (t *trial) broken() bool {
	return t.err != nil && !errors.Is(t.err, errEnough)
}

func widthError(line int64, cells, width int) error {
	noun := "cells"
	if cells == 1 {
		noun = "cell"
	}
	return &Error{Line: line, Reason: fmt.Sprintf("%d %s, the header has %d", cells, noun, width)}
}
