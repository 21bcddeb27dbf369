package schedule

import (
	"slices"
	"strconv"
	"strings"
)

// every reads what follows "every": a number of units, a unit, or days.
func (p *phrase) every(t token) error {
	next := p.take()
	switch u := unitOf(next.text); {
	case next.text == "":
		return p.fail(next.word, "every what?").hint("write, for example, every day at 9:00")
	case next.lower == "other":
		return p.other(t)
	case isNumber(next) && !p.isDayOfMonth(next):
		p.push(next)
		return p.duration(t)
	case next.lower == "second" && (p.peek().lower == "of" || p.beginsWeekdays(p.peek()) || p.peek().lower == "day"),
		u == 0 && p.beginsDays(next):
		if _, ordinal := ordinalOf(next.lower); ordinal {
			p.everyNth = next.word
		}
		return p.days(next)
	case u != 0 && !strings.HasSuffix(next.lower, "s"):
		p.unit, p.count = u, u.size()
		return p.say(everyClause, t)
	case u != 0:
		return p.fail(next.word, "every how many %s?", next.lower).hint("write every %s or, for example, every 2 %s", u, next.lower)
	}
	return p.fail(next.word, "this is neither a number, a unit of time nor a day").hint(example).suggest(vocabulary()...)
}

// other reads "every other week" and "every other monday".
func (p *phrase) other(t token) error {
	next := p.take()
	p.numbered = true
	if p.beginsWeekdays(next) {
		p.unit, p.count = perWeek, 2
		if err := p.say(everyClause, t); err != nil {
			return err
		}
		return p.days(next)
	}
	if p.unit = unitOf(next.text); p.unit == 0 {
		return p.fail(next.word, "other than what?").hint("write, for example, every other day or every other monday")
	}
	p.count = 2 * p.unit.size()
	return p.say(everyClause, t)
}

// adverb reads "hourly" and its like.
func (p *phrase) adverb(t token) error {
	units := map[string]unit{"hourly": perHour, "daily": perDay, "weekly": perWeek, "monthly": perMonth, "yearly": perYear, "annually": perYear}
	p.unit = units[t.lower]
	p.count = p.unit.size()
	return p.say(everyClause, t)
}

// The longest interval that is counted: a hundred years.
var maxCount = []int64{perHour: 36525 * daySeconds, perDay: 36525, perWeek: 5218, perMonth: 1200, perYear: 100}

// duration reads numbers with units: 40m, 2 weeks, 1.5h, 1h30m, 2 hours and 30 minutes.
func (p *phrase) duration(t token) error {
	first := p.peek()
	p.numbered = true
	for {
		number := p.take()
		if err := p.parts(number); err != nil {
			return err
		}
		if u := unitOf(p.peek().text); u != 0 && p.unit == 0 {
			return p.fail(p.peek().word, "a unit without a number")
		}
		if !isNumber(p.peek()) && !p.more(isNumber) {
			break
		}
	}
	if p.unit <= perHour {
		p.unit = perHour
		if p.count%3600 != 0 {
			p.unit = perMinute
		}
		if p.count%60 != 0 {
			p.unit = perSecond
		}
	}
	if limit := maxCount[max(p.unit, perHour)]; p.count < 1 || p.count > limit {
		return p.fail(first.word, "an interval is at least 1 second and at most 100 years")
	}
	return p.say(everyClause, t)
}

// parts reads the numbers and units in one token, and in the next if the last
// number there has no unit.
func (p *phrase) parts(t token) error {
	rest := t.text
	for rest != "" {
		n := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if n < 0 {
			n = len(rest)
		}
		number := rest[:n]
		if count, named := numberWords[strings.ToLower(rest)]; named && n == 0 {
			number, n = strconv.Itoa(count), len(rest)
		}
		at := t.at + len(t.text) - len(rest)
		said := word{rest[:n], at}
		m := n + strings.IndexAny(rest[n:]+"0", "0123456789")
		name := word{rest[n:m], at + n}
		if rest = rest[m:]; name.text == "" {
			name = p.take().word
		}
		if err := p.part(number, said, name); err != nil {
			return err
		}
	}
	return nil
}

// part adds a number of units, as it was said, to the interval.
func (p *phrase) part(number string, said, name word) error {
	u := unitOf(name.text)
	switch {
	case name.text == "":
		return p.fail(name, "%s what?", said.text).hint("write, for example, every %s minutes", said.text)
	case name.text == "M":
		return p.fail(name, "m means minutes").hint("write %s months or %s minutes", said.text, said.text)
	case u == 0:
		return p.fail(name, "this is not a unit of time").suggest("seconds", "minutes", "hours", "days", "weeks", "months", "years")
	}
	whole, fraction, _ := strings.Cut(number, ".")
	n, ok := digits(whole)
	count := int64(n) * u.size()
	if fraction != "" && ok {
		f, small := digits(fraction)
		ten := int64(1)
		for range fraction {
			ten *= 10
		}
		ok = small && int64(f)*u.size()%ten == 0
		if ok {
			count += int64(f) * u.size() / ten
		}
	}
	switch {
	case !ok:
		return p.fail(said, "this number is too large, or not a whole number of seconds")
	case p.unit != 0 && (p.unit > perHour || u > perHour):
		return p.fail(name, "units from the day on depend on the calendar and do not mix with others").
			hint("write, for example, every 36 hours or every 18 months")
	}
	p.unit, p.count = u, p.count+count
	return nil
}

// size is a unit's length in what the phrase counts: seconds up to the hour, the
// unit itself from the day on.
func (u unit) size() int64 {
	if u > perHour {
		return 1
	}
	return []int64{0, 1, 60, 3600}[u]
}

// unitOf reads the name of a unit.
func unitOf(name string) unit {
	lower := strings.ToLower(name)
	switch lower {
	case "s", "sec", "secs":
		return perSecond
	case "m", "min", "mins":
		return perMinute
	case "h", "hr", "hrs":
		return perHour
	case "d":
		return perDay
	case "w":
		return perWeek
	case "y":
		return perYear
	case "":
		return 0
	}
	return unit(max(0, slices.Index(unitNames, strings.TrimSuffix(lower, "s"))))
}

// numberWords are the numbers that may be written out.
var numberWords = map[string]int{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
	"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30}

// isNumber reports whether a token is, or begins with, a number that is neither
// an ordinal nor a time.
func isNumber(t token) bool {
	if _, named := numberWords[t.lower]; named {
		return true
	}
	_, ordinal := ordinalOf(t.lower)
	return t.text != "" && t.text[0] >= '0' && t.text[0] <= '9' && !ordinal && !isTime(t) && !isDate(t)
}
