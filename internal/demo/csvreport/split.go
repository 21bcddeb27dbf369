package csvreport

import (
	"bytes"
	"fmt"
)

// sink takes what a splitter finds. The bytes of a cell are valid during the call only.
type sink interface {
	cell(text []byte)
	// record ends a record that began on the given line; an error of it ends the splitting.
	record(line int64, cells int) error
}

// splitter cuts UTF-8 text, in whatever pieces it comes, into records and cells by RFC 4180. It keeps at most one
// cell. Make it with newSplitter; it is for one text and one goroutine.
type splitter struct {
	sink      sink
	separator byte
	special   [256]bool // separator, quote and line ends
	state     splitState

	kept  []byte      // the part of the present cell that came with earlier pieces or stood between quotes
	cells int         // finished cells of the present record
	size  int         // bytes of the present record, without kept
	line  int64       // line on which the present record began
	lines lineCounter // line ends in front of the present piece, or inside the present quotes
}

type splitState uint8

const (
	atRecord splitState = iota // nothing of a record has come
	atCell                     // a separator has come
	inCell                     // a part of an unquoted cell has come
	inQuotes
	afterQuote // a quote has come that closes the cell or is the first of two
)

func newSplitter(separator byte, s sink) *splitter {
	sp := &splitter{sink: s, separator: separator, line: 1}
	for _, c := range []byte{separator, '"', '\r', '\n'} {
		sp.special[c] = true
	}
	return sp
}

// write takes the next piece of the text. It returns an *Error, or what the sink returned.
func (s *splitter) write(p []byte) error {
	for i := 0; i < len(p); {
		var err error
		switch s.state {
		case inQuotes:
			i, err = s.quoted(p, i)
		case afterQuote:
			i, err = s.closed(p, i)
		default:
			i, err = s.plain(p, i)
		}
		if err != nil {
			return err
		}
	}
	if len(p) > 0 {
		s.lines.lastCR = p[len(p)-1] == '\r'
	}
	return s.grow(0)
}

// close takes the end of the text, which ends the last record.
func (s *splitter) close() error {
	switch s.state {
	case atRecord:
		return nil
	case inQuotes:
		return s.refuse("the closing quote of a cell is missing")
	}
	if err := s.endCell(s.kept); err != nil {
		return err
	}
	return s.endRecord()
}

// plain takes unquoted cells, from the beginning of a cell or from inside an unquoted one.
func (s *splitter) plain(p []byte, i int) (int, error) {
	for start := i; ; start = i {
		for i < len(p) && !s.special[p[i]] {
			i++
		}
		if i == len(p) {
			if i > start {
				s.kept = append(s.kept, p[start:]...)
				s.state = inCell
			}
			return i, nil
		}
		switch c := p[i]; {
		case c == s.separator:
			if err := s.endCell(s.join(p[start:i])); err != nil {
				return i, err
			}
			s.state = atCell
			i++
		case c == '"':
			if s.state == inCell || i > start {
				return i, s.refuse(`a quote (") inside a cell that is not quoted; quote the whole cell and double the quotes in it`)
			}
			s.state = inQuotes
			s.lines.lastCR = false // the quote is behind it
			return i + 1, nil
		case s.state == atRecord && i == start:
			s.blankLine(p, i)
			i++
		default:
			if err := s.endCell(s.join(p[start:i])); err != nil {
				return i, err
			}
			if err := s.endLine(); err != nil {
				return i, err
			}
			i++
		}
	}
}

// quoted takes the inside of a quoted cell. A cell that is whole in the piece is handed on without a copy.
func (s *splitter) quoted(p []byte, i int) (int, error) {
	n := bytes.IndexByte(p[i:], '"')
	if n < 0 {
		s.kept = append(s.kept, p[i:]...)
		s.lines.count(p[i:])
		return len(p), s.grow(0)
	}
	text := p[i : i+n]
	s.lines.count(text)
	s.lines.lastCR = false
	i += n + 1
	s.state = afterQuote
	if len(s.kept) == 0 && i < len(p) && p[i] == s.separator {
		s.state = atCell
		return i + 1, s.endCell(text)
	}
	s.kept = append(s.kept, text...)
	return i, nil
}

// closed takes the byte behind a quote that was not the first of a cell.
func (s *splitter) closed(p []byte, i int) (int, error) {
	switch p[i] {
	case '"':
		s.kept = append(s.kept, '"')
		s.state = inQuotes
		return i + 1, nil
	case s.separator:
		s.state = atCell
		return i + 1, s.endCell(s.kept)
	case '\r', '\n':
		if err := s.endCell(s.kept); err != nil {
			return i, err
		}
		return i + 1, s.endLine()
	}
	return i, s.refuse("text behind the closing quote of a cell")
}

// join returns the present cell, whose last part is tail.
func (s *splitter) join(tail []byte) []byte {
	if len(s.kept) == 0 {
		return tail
	}
	s.kept = append(s.kept, tail...)
	return s.kept
}

func (s *splitter) endCell(text []byte) error {
	s.kept = s.kept[:0]
	s.cells++
	if s.cells > MaxColumns {
		return s.refuse(fmt.Sprintf("more than %d cells in one record", MaxColumns))
	}
	s.sink.cell(text)
	return s.grow(len(text) + 1)
}

// grow adds to the size of the present record and refuses one that is too long.
func (s *splitter) grow(n int) error {
	s.size += n
	if s.size+len(s.kept) > MaxRecord {
		return s.refuse(fmt.Sprintf("the record is longer than %d bytes; is a closing quote missing?", MaxRecord))
	}
	return nil
}

// endLine ends the present record and its line.
func (s *splitter) endLine() error {
	s.lines.n++
	return s.endRecord()
}

func (s *splitter) endRecord() error {
	line, cells := s.line, s.cells
	s.state, s.cells, s.size, s.line = atRecord, 0, 0, s.lines.n+1
	return s.sink.record(line, cells)
}

// blankLine takes a line end in front of any record, at p[i]: a blank line, or the LF of a CRLF.
func (s *splitter) blankLine(p []byte, i int) {
	behindCR := s.lines.lastCR
	if i > 0 {
		behindCR = p[i-1] == '\r'
	}
	if p[i] == '\n' && behindCR {
		return
	}
	s.lines.n++
	s.line = s.lines.n + 1
}

func (s *splitter) refuse(reason string) error {
	return &Error{Line: s.line, Reason: reason}
}
