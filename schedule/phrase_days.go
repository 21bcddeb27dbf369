package schedule

import (
	"slices"
	"strings"
)

// on reads days after "on" or "the". Some people also write "on Asia/Tokyo".
func (p *phrase) on(t token) error {
	p.accept("the")
	next := p.take()
	switch {
	case next.text == "":
		return p.fail(next.word, "the days are missing after %s", t.lower)
	case strings.Contains(next.text, "/"):
		return p.nameZone(next.word)
	case p.beginsDays(next):
		return p.days(next)
	}
	return p.fail(next.word, "this is not a day").hint(example).suggest(vocabulary()...)
}

// beginsDays reports whether days begin with a token that was just read.
func (p *phrase) beginsDays(t token) bool {
	_, ordinal := ordinalOf(t.lower)
	_, month := monthNumber(t.lower)
	return ordinal || month || p.beginsWeekdays(t) || p.isDayOfMonth(t) ||
		(t.lower == "day" || t.lower == "days") && isNumber(p.peek())
}

func (p *phrase) beginsWeekdays(t token) bool { return weekdaysOf(t.lower) != 0 }

// isDayOfMonth reports whether a number that was just read belongs to the month
// after it: 15 january.
func (p *phrase) isDayOfMonth(t token) bool {
	_, number := digits(t.text)
	_, month := monthNumber(p.peek().lower)
	return number && month
}

// days reads days, of which the first token is given.
func (p *phrase) days(t token) error {
	if _, month := monthNumber(t.lower); month {
		return p.inMonths(t)
	}
	if err := p.say(daysClause, t); err != nil {
		return err
	}
	switch {
	case p.beginsWeekdays(t):
		var err error
		p.weekdays, err = p.weekdayList(t)
		return err
	case t.lower == "day" || t.lower == "days":
		p.noun = daysOfMonth
		return p.dayNumbers(p.take())
	case p.isDayOfMonth(t):
		p.noun = daysOfMonth
		if err := p.dayNumbers(t); err != nil {
			return err
		}
		return p.inMonths(p.take())
	}
	return p.ordinalDays(t)
}

// weekdaysOf reads one word for weekdays; 0 means that it is none.
func weekdaysOf(name string) set {
	switch name {
	case "weekday", "weekdays":
		return setOf(1, 5, 1)
	case "weekend", "weekends":
		return 1<<0 | 1<<6
	}
	if n, ok := weekdayNumber(name); ok {
		return 1 << n
	}
	if first, last, ranged := strings.Cut(name, "-"); ranged {
		lo, ok := weekdayNumber(first)
		hi, ok2 := weekdayNumber(last)
		if ok && ok2 {
			return weekdayRange(lo, hi)
		}
	}
	if n := slices.Index(weekdayNames, strings.TrimSuffix(name, "s")); n >= 0 {
		return 1 << n
	}
	return 0
}

// weekdayRange returns the weekdays from one to another, over the week's end if
// need be.
func weekdayRange(lo, hi int) set {
	return item{field: weekdayField, lo: lo, hi: hi, step: 1}.set("")
}

// weekdayList reads weekdays, of which the first token is given.
func (p *phrase) weekdayList(t token) (set, error) {
	var all set
	for {
		s := weekdaysOf(t.lower)
		if p.accept("to", "through", "until", "-") {
			last := p.take()
			end := weekdaysOf(last.lower)
			if s.size() != 1 || end.size() != 1 {
				return 0, p.fail(last.word, "a range of weekdays goes from one to another").hint("write, for example, monday to friday")
			}
			s = weekdayRange(s.least(), end.least())
		}
		all |= s
		if !p.more(p.beginsWeekdays) {
			return all, nil
		}
		t = p.take()
	}
}

// ordinalWords are the ordinals that may be written out.
var ordinalWords = []string{"", "first", "second", "third", "fourth", "fifth"}

// ordinalOf reads first to fifth, 1st to 31st, and last, which is -1.
func ordinalOf(name string) (int, bool) {
	if name == "last" {
		return -1, true
	}
	if n := slices.Index(ordinalWords, name); n > 0 {
		return n, true
	}
	for _, suffix := range []string{"st", "nd", "rd", "th"} {
		if number, found := strings.CutSuffix(name, suffix); found {
			return digits(number)
		}
	}
	return 0, false
}

// ordinalDays reads "first and third monday", "1st and 15th", "last day" and
// "last weekday".
func (p *phrase) ordinalDays(t token) error {
	isOrdinal := func(t token) bool { _, ok := ordinalOf(t.lower); return ok }
	first := t
	for {
		n, _ := ordinalOf(t.lower)
		if n < -1 || n == 0 || n > 31 {
			return p.fail(t.word, "a month has no such day")
		}
		p.ordinals = append(p.ordinals, n)
		if !p.more(isOrdinal) {
			break
		}
		t = p.take()
	}
	noun := p.peek()
	p.noun = daysOfMonth
	switch {
	case p.accept("day", "days"):
	case p.accept("weekday", "workday"):
		p.noun = workdayOf
		if slices.ContainsFunc(p.ordinals, func(n int) bool { return n != 1 && n != -1 }) {
			return p.fail(first.word, "only a month's first and last weekday can be named")
		}
	case p.beginsWeekdays(noun):
		p.noun = weekdayOf
		var err error
		if p.weekdays, err = p.weekdayList(p.take()); err != nil {
			return err
		}
		if slices.Max(p.ordinals) > 5 {
			return p.fail(first.word, "a month has at most five of a weekday")
		}
	}
	return nil
}

// dayNumbers reads "1 and 15" after "day", of which the first token is given.
func (p *phrase) dayNumbers(t token) error {
	for {
		n, ok := digits(t.text)
		if ordinal, is := ordinalOf(t.lower); is {
			n, ok = ordinal, true
		}
		if !ok || n > 31 || n == 0 {
			return p.fail(t.word, "a day of the month is a number from 1 to 31")
		}
		p.ordinals = append(p.ordinals, n)
		if !p.more(func(t token) bool { _, ok := digits(t.text); return ok }) {
			return nil
		}
		t = p.take()
	}
}

// of reads "of the month", "of every month" and "of january".
func (p *phrase) of() error {
	p.accept("the", "every", "each")
	t := p.take()
	if t.lower == "month" {
		p.ofMonth = t.word
		return nil
	}
	if _, month := monthNumber(t.lower); month {
		return p.inMonths(t)
	}
	return p.fail(t.word, "this is not a month").hint("write of the month, or of january")
}

// inMonths reads months, of which the first token is given, and a day after
// them: january 15.
func (p *phrase) inMonths(t token) error {
	if err := p.say(monthsClause, t); err != nil {
		return err
	}
	isMonth := func(t token) bool { _, ok := monthNumber(t.lower); return ok }
	for {
		n, _ := monthNumber(t.lower)
		last := n
		if p.accept("to", "through", "until", "-") {
			end, ok := monthNumber(p.peek().lower)
			if !ok {
				return p.fail(p.peek().word, "a range of months goes from one to another")
			}
			p.take()
			last = end
		}
		p.months |= item{field: monthField, lo: n, hi: last, step: 1}.set("")
		if !p.more(isMonth) {
			break
		}
		t = p.take()
	}
	next := p.peek()
	_, number := digits(next.text)
	if n, ordinal := ordinalOf(next.lower); !number && (!ordinal || n < 1) {
		return nil
	}
	p.noun = daysOfMonth
	if err := p.say(daysClause, next); err != nil {
		return err
	}
	return p.dayNumbers(p.take())
}
