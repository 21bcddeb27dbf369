package schedule

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// ParseError says which word of an expression is not understood, and why. It is
// made by Parse and never changed afterwards.
type ParseError struct {
	Text    string // the whole expression
	Offset  int    // where the word begins, in bytes from the start of Text
	Word    string // as it stands in Text; "" if something is missing at Offset
	Problem string // what is wrong, as a sentence without its full stop
	Hint    string // what to write instead; may be ""
}

// Error returns the problem, the word with its column (the first is 1), and the hint.
func (e *ParseError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "schedule: %s: ", quote(e.Text))
	if e.Word != "" {
		fmt.Fprintf(&b, "%s at column %d: ", quote(e.Word), utf8.RuneCountInString(e.Text[:e.Offset])+1)
	}
	b.WriteString(e.Problem)
	if e.Hint != "" {
		if !strings.HasSuffix(e.Problem, "?") {
			b.WriteString(";")
		}
		b.WriteString(" " + e.Hint)
	}
	return b.String()
}

// quote makes a text readable in one line, however long and odd it is.
func quote(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// fail makes an error that points at a word.
func (in *input) fail(w word, problem string, args ...any) *ParseError {
	return &ParseError{Text: in.text, Offset: w.at, Word: w.text, Problem: fmt.Sprintf(problem, args...)}
}

// hint adds what to write instead.
func (e *ParseError) hint(format string, args ...any) *ParseError {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// suggest makes the hint the known word that is nearest to the unknown one, if
// one is near.
func (e *ParseError) suggest(known ...string) *ParseError {
	unknown := strings.ToLower(e.Word)
	best, distance := "", 3
	if len(unknown) < 5 {
		distance = 2
	}
	for _, candidate := range known {
		if d := editDistance(unknown, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	if best != "" {
		return e.hint("did you mean %s?", best)
	}
	return e
}

// editDistance counts the letters to insert, remove, replace or swap with their
// neighbour that make one word the other. Long words are far from all.
func editDistance(a, b string) int {
	if len(a) > 24 || len(b) > 24 {
		return 24
	}
	var before, last, row [25]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
