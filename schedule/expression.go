package schedule

import (
	"iter"
	"math"
	"strings"
	"time"
	"unicode"
)

// Expression is a parsed expression. It never changes and may be used by many
// goroutines at once. Parse makes it; the zero value is of no use.
type Expression struct {
	text string // canonical
	zone *time.Location
	rule rule
	from int64 // there are no ticks before it
}

// rule says which seconds, counted from 1970, are ticks. Both methods end for
// every argument between minSecond and maxSecond.
type rule interface {
	next(after int64) (tick int64, ok bool)
	prev(before int64) (tick int64, ok bool)
	explain(zone *time.Location) string
}

// The first and the last second that can be a tick, in UTC and on any clock.
var (
	minSecond = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	maxSecond = time.Date(maxYear, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

const (
	maxYear   = 9999
	maxLength = 512 // of an expression, in bytes
	always    = math.MinInt64
)

// Option changes how an expression is read. Options say what the text leaves
// open; where the text says it, the text wins.
type Option func(*settings)

type settings struct {
	zone   *time.Location
	anchor time.Time // zero: defaultAnchor
	name   string
}

// In sets the zone of an expression that names none. Without it, or with nil,
// that is UTC.
func In(zone *time.Location) Option {
	return func(s *settings) {
		if zone != nil {
			s.zone = zone
		}
	}
}

// Anchor sets the time from which an interval counts, to the second: it is the
// first tick, and later ones lie whole intervals after it. Without it, or with
// the zero time, that is Monday, 1 January 2001, 00:00 in the expression's zone.
// Expressions that do not count ignore it.
func Anchor(t time.Time) Option {
	return func(s *settings) { s.anchor = t }
}

// Name sets the name from which H and ~ draw their values, so that schedules of
// one expression spread. Without it, or with "", they draw from the expression
// itself. A name's values never change.
func Name(name string) Option {
	return func(s *settings) { s.name = name }
}

// Parse reads an expression. An error is always a [*ParseError].
//
// An expression that can never tick, such as one for 30 February, is an error;
// one whose ticks have all passed is not.
func Parse(text string, options ...Option) (*Expression, error) {
	s := settings{zone: time.UTC}
	for _, option := range options {
		option(&s)
	}
	in := &input{settings: s, text: text}
	e, err := in.parse()
	if err == nil && len(e.text) > maxLength {
		err = in.fail(in.end(), "written out, the expression has %d bytes: at most %d are allowed", len(e.text), maxLength)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// MustParse is [Parse] for expressions in a program's text: it panics on an error.
func MustParse(text string, options ...Option) *Expression {
	e, err := Parse(text, options...)
	if err != nil {
		panic(err)
	}
	return e
}

// Next returns the first tick strictly after a time, in the expression's zone.
// It returns false if there is none until the end of the year 9999.
func (e *Expression) Next(after time.Time) (tick time.Time, ok bool) {
	second := after.Unix()
	switch {
	case after.Year() > maxYear:
		return time.Time{}, false
	case after.Year() < 1:
		second = minSecond
	}
	if e.from > second {
		second = e.from - 1
	}
	return e.tick(e.rule.next(second))
}

// Prev returns the last tick strictly before a time, in the expression's zone.
// It returns false if there is none.
func (e *Expression) Prev(before time.Time) (tick time.Time, ok bool) {
	second := before.Unix()
	switch {
	case before.Year() < 1:
		return time.Time{}, false
	case before.Year() > maxYear:
		second = maxSecond + 1
	case before.Nanosecond() > 0:
		second++ // a tick at the second that has begun is before
	}
	return e.tick(e.rule.prev(second))
}

// tick makes the result of Next and Prev.
func (e *Expression) tick(second int64, ok bool) (time.Time, bool) {
	if !ok || second < e.from || second < minSecond || second > maxSecond {
		return time.Time{}, false
	}
	return time.Unix(second, 0).In(e.zone), true
}

// Ticks yields the ticks after a time in ascending order, until there are no
// more or the loop ends.
func (e *Expression) Ticks(after time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for tick, ok := e.Next(after); ok && yield(tick); {
			tick, ok = e.Next(tick)
		}
	}
}

// Zone returns the zone of the expression's clock: its own, else that of [In],
// else UTC.
func (e *Expression) Zone() *time.Location { return e.zone }

// Reboot reports whether the expression is @reboot, which has no ticks: what it
// waits for is no time, but a start.
func (e *Expression) Reboot() bool {
	_, reboot := e.rule.(reboot)
	return reboot
}

// String returns the expression in its canonical form. Parsed with the same
// options it has the same ticks.
func (e *Expression) String() string { return e.text }

// Explain says in words when the expression ticks, after all options and drawn
// values are applied.
func (e *Expression) Explain() string { return e.rule.explain(e.zone) }

// reboot is the rule of @reboot.
type reboot struct{}

func (reboot) next(int64) (int64, bool)      { return 0, false }
func (reboot) prev(int64) (int64, bool)      { return 0, false }
func (reboot) explain(*time.Location) string { return "when a worker starts and no other runs" }

// input is an expression that is being read.
type input struct {
	settings
	text  string
	words []word // what is still to be read of it
	named string // the zone that the text names
}

// word is a part of the text, and where it begins there.
type word struct {
	text string
	at   int
}

// parse reads what all forms have in common, and finds out which one it is.
func (in *input) parse() (*Expression, error) {
	if len(in.text) > maxLength {
		return nil, in.fail(word{in.text[maxLength:], maxLength}, "an expression has at most %d bytes", maxLength)
	}
	in.words = split(in.text)
	for _, w := range in.words {
		if strings.IndexFunc(w.text, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
			return nil, in.fail(w, "an expression is written in ASCII letters and signs")
		}
	}
	if err := in.zonePrefix(); err != nil {
		return nil, err
	}
	if len(in.words) == 0 {
		return nil, in.fail(in.end(), "there is no expression").hint("write, for example, 30 4 * * * or every day at 4:30")
	}
	first := in.words[0].text
	switch {
	case strings.HasPrefix(first, "@"):
		return in.parseKeyword()
	case in.looksLikeCron():
		return in.parseCron()
	}
	return in.parsePhrase()
}

// split cuts a text at white space.
func split(text string) []word {
	var words []word
	rest := 0
	for _, field := range strings.Fields(text) {
		at := rest + strings.Index(text[rest:], field)
		words = append(words, word{field, at})
		rest = at + len(field)
	}
	return words
}

// end is the place after the last word.
func (in *input) end() word { return word{"", len(in.text)} }
