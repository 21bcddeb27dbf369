// Package csvreport turns a CSV file of any size into the figures of its numeric columns.
//
// An upload passes a [Validator] while it arrives, so that a file which is no CSV is refused before anything is
// stored or enqueued. Later a job calls [Analyze] on the stored file and shows the [Report] with [WriteHTML]. Both
// read the file once, in constant memory, through the same three stages:
//
//	bytes → decoder (encoding, forbidden characters) → splitter (records and cells) → detector or table
//
// # What is a CSV
//
// The text is UTF-8, with or without a byte order mark, or UTF-16 with one. Records end with LF, CR or CRLF; blank
// lines are no records. Cells are separated by comma, semicolon or tab and quoted as RFC 4180 says: a quoted cell may
// hold separators, line ends and doubled quotes; a quote inside an unquoted cell, or anything but a separator behind a
// closing quote, is an error. The first record is the header; its names may be empty or repeat. Every record has the
// width of the header. Control characters (Unicode class Cc) other than tab and line ends appear nowhere.
//
// The separator is the one that the header holds, or, when it holds none, the first record; a file with neither has
// one column. If there are several, the one that gives the first records the same width wins, then the one that gives
// more cells, then tab before semicolon before comma.
//
// # What is a number
//
// A number is an optional sign and ASCII digits with at most one point among, before or after them: 42, -0.5, .5, 5.
// Exponents, thousands separators, decimal commas, hexadecimal digits, Inf and NaN are text. Spaces and tabs around a
// number are ignored, and a cell of nothing else is empty. A column is numeric if it has at least one number and
// every other cell is empty. Sums are exact, whatever the number of rows.
package csvreport

import "fmt"

// Limits of one file. A file beyond them is refused with an [Error] that names the limit.
const (
	// MaxRecord is the most bytes of UTF-8 text that one record may have, separators and quotes included.
	MaxRecord = 1 << 20
	// MaxColumns is the most cells that one record may have.
	MaxColumns = 16_384
	// MaxReport is the most bytes that a [Report] may have as JSON; a job's result holds little more.
	MaxReport = 1_000_000
	// MaxHead is the most bytes of a text's beginning that an [Analysis] has.
	MaxHead = 8 << 10
	// MaxDigits is the most digits that a cell may have to be a number; a cell with more is text.
	MaxDigits = 1_000
)

// headRecords is the number of records after the header that decide on the separator and must have the same width.
const headRecords = 10

// Error says what is wrong with the content of a file, in words for the person who brought it. Reading the same file
// again gives the same Error; every other error of this package comes from the reader or the context.
type Error struct {
	Line   int64  // physical line, from 1, on which the offending record or byte is; 0 when none is meant
	Byte   int64  // position of the offending byte in the file, from 1; 0 when the whole record is meant
	Reason string // what is wrong, without its place
}

// Error returns the place and the reason, for example "line 1234: 5 cells, the header has 7".
func (e *Error) Error() string {
	switch {
	case e.Byte > 0:
		return fmt.Sprintf("line %d, byte %d: %s", e.Line, e.Byte, e.Reason)
	case e.Line > 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return e.Reason
}
