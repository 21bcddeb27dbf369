package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
	"github.com/spf13/cobra"
)

// message is an error's text for people: without the library's name, which the
// program puts in front by itself, without repeated lines (a driver says the
// same of each of its tries), and harmless to a terminal.
func message(err error) string {
	text := plainLines(strings.ReplaceAll(err.Error(), "offstage: ", ""))
	return strings.Join(slices.Compact(strings.Split(text, "\n")), "\n")
}

// byFlag is message for a command's user, to whom the field that is wrong is known
// as a flag, if there is one of its name.
func byFlag(command *cobra.Command, err error) string {
	text := message(err)
	var invalid *offstage.InvalidError
	if !errors.As(err, &invalid) {
		return text
	}
	flag := strings.ReplaceAll(invalid.Field, " ", "-")
	if rest, leads := strings.CutPrefix(text, invalid.Field+": "); leads && command.Flag(flag) != nil {
		return "--" + flag + ": " + rest
	}
	return text
}

// plain makes a text that others wrote harmless to a terminal and keeps it on
// one line: what is not printable is shown by its escape.
func plain(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, width := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += width
	}
	return b.String()
}

// plainLines is plain for a text of several lines, which it keeps.
func plainLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = plain(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// short cuts a text to at most so many runes.
func short(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// table writes rows of cells under a heading, aligned. The cells must be plain.
func table(w io.Writer, heading []string, rows [][]string) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		if _, err := fmt.Fprintln(columns, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}

// writeJSON writes one value as JSON. Characters that could command a terminal
// are escaped; a reader of JSON gets the same text.
func writeJSON(w io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err = fmt.Fprintln(w, b.String())
	return err
}

// moment writes a time for people: exactly, and from now.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z") + " (" + fromNow(t) + ")"
}

func fromNow(t time.Time) string {
	switch d := time.Since(t); {
	case d < -time.Second:
		return "in " + span(-d)
	case d < time.Second:
		return "now"
	default:
		return span(d) + " ago"
	}
}

// span writes a duration by its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// parseMoment reads a time: RFC 3339, a date, or how long ago it is.
func parseMoment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	return time.Time{}, usage("--%s: %q is not a time: give 2026-01-31T15:04:05Z, 2026-01-31, or how long ago, as 90m", flag, text)
}

// stateNames lists the states for people.
func stateNames() string {
	var names []string
	for _, state := range offstage.States() {
		names = append(names, state.String())
	}
	return strings.Join(names, ", ")
}
