package schedule

import (
	"slices"
	"strings"
	"time"
)

// at reads times of the day, or minutes of the hour or seconds of the minute.
func (p *phrase) at(t token) error {
	if err := p.say(timesClause, t); err != nil {
		return err
	}
	next := p.peek()
	switch next.lower {
	case "minute", "minutes", "min", "mins":
		p.take()
		p.marked = perMinute
		return p.markList()
	case "second", "seconds", "sec", "secs":
		p.take()
		p.marked = perSecond
		return p.markList()
	}
	if strings.HasPrefix(next.text, ":") {
		p.marked = perMinute
		return p.markList()
	}
	return p.timeList()
}

// markList reads minutes or seconds: 12, :12, 0 and 30.
func (p *phrase) markList() error {
	isMark := func(t token) bool { _, ok := digits(strings.TrimPrefix(t.text, ":")); return ok }
	for {
		t := p.take()
		n, ok := digits(strings.TrimPrefix(t.text, ":"))
		if !ok || n > 59 {
			return p.fail(t.word, "%ss go from 0 to 59", p.marked)
		}
		p.marks |= 1 << n
		if !p.more(isMark) {
			return nil
		}
	}
}

// timeList reads times of the day.
func (p *phrase) timeList() error {
	var read []clockTime
	for {
		t, err := p.clockTime()
		if err != nil {
			return err
		}
		read = append(read, t)
		p.times = append(p.times, t.second)
		if !p.more(func(t token) bool { return isTime(t) || isNumber(t) }) {
			break
		}
	}
	slices.Sort(p.times)
	p.times = slices.Compact(p.times)
	return p.sameStyle(read)
}

// clockTime is a time of the day as it was written.
type clockTime struct {
	token
	second int
	half   string // am or pm
	named  bool   // noon or midnight
}

// sameStyle refuses "9 and 10 pm": whether 9 is in the morning would be a guess.
func (p *phrase) sameStyle(times []clockTime) error {
	halves := slices.ContainsFunc(times, func(t clockTime) bool { return t.half != "" })
	for _, t := range times {
		if halves && t.half == "" && !t.named {
			return p.fail(t.word, "am or pm?").hint("write am or pm at each time, or at none")
		}
	}
	return nil
}

// halves are the names of the day's halves.
var halves = []string{"am", "pm", "a.m.", "p.m."}

// clockTime reads 16:30, 16:30:15, 4:30 am, 4pm, 9, nine, noon or midnight.
func (p *phrase) clockTime() (clockTime, error) {
	t := p.take()
	read := clockTime{token: t}
	switch t.lower {
	case "":
		return read, p.fail(t.word, "a time is missing")
	case "noon", "midday":
		read.named, read.second = true, 12*3600
		return read, nil
	case "midnight":
		read.named = true
		return read, nil
	}
	text := t.lower
	for _, half := range halves {
		if before, found := strings.CutSuffix(text, half); found {
			text, read.half = before, half[:1]
		} else if p.accept(half) {
			read.half = half[:1]
		}
	}
	if n, named := numberWords[text]; named {
		text = string(rune('0'+n/10)) + string(rune('0'+n%10))
	}
	var ok bool
	if read.second, ok = secondOfDay(text, read.half); !ok {
		err := p.fail(t.word, "this is not a time of the day")
		if text == "24:00" {
			return read, err.hint("midnight is 0:00 of the day that begins")
		}
		return read, err.hint("write, for example, 16:30, 4:30 pm, noon or midnight")
	}
	return read, nil
}

// secondOfDay reads 16:30:15, 16:30 and 16, in the half of the day that begins
// with a or p, if it is given.
func secondOfDay(text, half string) (int, bool) {
	parts := strings.Split(text, ":")
	if len(parts) > 3 || len(parts[0]) > 2 {
		return 0, false
	}
	total, scale := 0, 3600
	for i, part := range parts {
		n, ok := digits(part)
		switch {
		case !ok, i > 0 && (len(part) != 2 || n > 59), i == 0 && n > 23, i == 0 && half != "" && (n < 1 || n > 12):
			return 0, false
		case i == 0 && half != "":
			n %= 12
		}
		total += n * scale
		scale /= 60
	}
	if half == "p" {
		total += 12 * 3600
	}
	return total, true
}

// isTime reports whether a token can only be a time of the day.
func isTime(t token) bool {
	switch t.lower {
	case "noon", "midday", "midnight":
		return true
	case "":
		return false
	}
	if t.text[0] < '0' || t.text[0] > '9' || isDate(t) {
		return false
	}
	return strings.Contains(t.text, ":") || strings.HasSuffix(t.lower, "am") || strings.HasSuffix(t.lower, "pm") ||
		strings.HasSuffix(t.lower, ".m.")
}

// between reads a window: two times with a word between them.
func (p *phrase) between(t token, and ...string) error {
	if err := p.say(windowClause, t); err != nil {
		return err
	}
	from, err := p.clockTime()
	if err != nil {
		return err
	}
	if !p.accept(and...) {
		return p.fail(p.peek().word, "%s is missing after the window's first time", and[0])
	}
	to, err := p.clockTime()
	if err != nil {
		return err
	}
	if from.second == to.second {
		return p.fail(to.word, "a window ends at another time than it begins")
	}
	p.window.from, p.window.to = from.second, to.second
	return p.sameStyle([]clockTime{from, to})
}

// from reads "from 8:00 to 18:00", "from monday to friday" and "from 2026-01-05".
func (p *phrase) from(t token) error {
	next := p.peek()
	switch {
	case isDate(next):
		return p.starting(t)
	case p.beginsWeekdays(next):
		return p.days(p.take())
	}
	return p.between(t, "to", "until", "till")
}

var startLayouts = []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", time.RFC3339}

// isDate reports whether a token looks like a date.
func isDate(t token) bool {
	return len(t.text) >= len(time.DateOnly) && t.text[4] == '-' && t.text[0] >= '0' && t.text[0] <= '9'
}

// starting reads the date from which an interval counts.
func (p *phrase) starting(t token) error {
	if err := p.say(startClause, t); err != nil {
		return err
	}
	next := p.take()
	for i, layout := range startLayouts {
		when, err := time.Parse(layout, next.text)
		if err == nil && when.Year() >= 1 {
			p.start = start{time: when, offset: i >= 3, dateOnly: i == 0}
			return nil
		}
	}
	return p.fail(next.word, "this is not a date").hint("write 2026-01-05, 2026-01-05T09:00 or, with an offset, 2026-01-05T09:00:00Z")
}
