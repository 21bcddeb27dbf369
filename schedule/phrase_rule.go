package schedule

import "time"

// resolve decides what the clauses mean together.
func (p *phrase) resolve() (*Expression, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.unit != 0 && p.unit <= perHour {
		return p.often()
	}
	return p.onDays()
}

// check refuses clauses that need another one.
func (p *phrase) check() error {
	startWord, startSaid := p.heard[startClause]
	named := p.ofMonth.text != "" || p.months != 0 || p.unit == perMonth
	switch {
	case p.everyNth.text != "" && !named:
		return p.fail(p.everyNth, "every which one: of the month, or counted?").
			hint("add of the month to count in each month; or write, for example, every 2 days")
	case (p.noun == weekdayOf || p.noun == workdayOf) && !named:
		return p.fail(p.heard[daysClause], "the %s of what?", p.heard[daysClause].text).hint("write of the month, or of january")
	case p.noun == nothing && p.ofMonth.text != "":
		return p.fail(p.ofMonth, "which day of the month?").hint("write, for example, first monday of the month")
	case startSaid && !p.numbered:
		return p.fail(startWord, "only an interval counts from a date").hint("write, for example, every 2 weeks starting 2026-01-05")
	}
	return nil
}

// often makes the rule of units up to the hour: an interval, or the same on
// certain days or between certain times.
func (p *phrase) often() (*Expression, error) {
	_, windowed := p.heard[windowClause]
	_, timed := p.heard[timesClause]
	limited := p.heard[daysClause].text != "" || p.months != 0
	switch {
	case windowed:
		return p.inWindow(limited)
	case timed && p.marks == 0:
		return nil, p.fail(p.heard[timesClause], "a time of the day does not go with %ss", p.unit).
			hint("write between 8:00 and 18:00, or starting and a date")
	case !timed && !limited && p.numbered:
		anchor := p.anchor().Unix()
		return p.expression(interval{anchor: anchor, step: p.count}, anchor)
	}
	if w, said := p.heard[startClause]; said {
		return nil, p.fail(w, "only an interval without days and times counts from a date")
	}
	times, err := p.everyClock()
	if err != nil {
		return nil, err
	}
	return p.calendar(&calendar{times: times, dates: p.dates(), elapsed: true}, always)
}

// everyClock makes the times of "every 15 minutes" in whole hours, of "every 2
// hours at minute 12" in whole days.
func (p *phrase) everyClock() (clock, error) {
	c := clock{hours: setOf(0, 23, 1), minutes: setOf(0, 59, 1), seconds: 1}
	n, of, marked := p.count, int64(60), unit(0)
	switch {
	case n < 60:
		c.seconds = setOf(0, 59, int(n))
	case n < 3600:
		c.minutes, marked = setOf(0, 59, int(n/60)), perMinute
		of = 3600
	default:
		c.minutes, c.hours, marked = 1, setOf(0, 23, int(n/3600)), perHour
		of = daySeconds
	}
	switch {
	case n >= daySeconds || of%n != 0:
		return c, p.fail(p.heard[everyClause], "this interval does not divide a day into equal parts").
			hint("leave out the days, or add, for example, between 8:00 and 18:00")
	case p.marks == 0:
	case p.marked+1 != marked:
		return c, p.fail(p.heard[timesClause], "%ss do not go with every %s", p.marked, p.unit)
	case p.marked == perMinute:
		c.minutes = p.marks
	default:
		c.seconds = p.marks
	}
	return c, nil
}

// inWindow makes the rule of "every 15 minutes between 8:00 and 18:00".
func (p *phrase) inWindow(limited bool) (*Expression, error) {
	for _, other := range []clause{timesClause, startClause} {
		if w, said := p.heard[other]; said {
			return nil, p.fail(w, "a window already says %s", windowClause)
		}
	}
	if limited && p.window.to < p.window.from {
		return nil, p.fail(p.heard[windowClause], "a window over midnight belongs to two days").
			hint("make two schedules, or leave out the days")
	}
	if p.count >= daySeconds {
		return nil, p.fail(p.heard[everyClause], "a window is shorter than this interval")
	}
	p.window.step = int(p.count)
	return p.calendar(&calendar{times: p.window, dates: p.dates()}, always)
}

// onDays makes the rule of times on days, which may be counted from an anchor.
func (p *phrase) onDays() (*Expression, error) {
	_, timed := p.heard[timesClause]
	day, dated := p.heard[daysClause]
	every := p.heard[everyClause]
	switch {
	case p.heard[windowClause].text != "":
		return nil, p.fail(p.heard[windowClause], "how often in this window?").hint("write, for example, every 15 minutes between 8:00 and 18:00")
	case p.marks != 0:
		return nil, p.fail(p.heard[timesClause], "%ss do not go with days", p.marked).hint("write, for example, at 9:30")
	case p.unit == 0 && !dated:
		return nil, p.fail(p.end(), "on which days?").hint("write, for example, every day at 9:00")
	case p.unit == perDay && dated:
		return nil, p.fail(day, "every day already says %s", daysClause)
	case p.unit == perWeek && !dated && !p.numbered:
		return nil, p.fail(every, "on which day of the week?").hint("write every week on monday, or every 1 week to count from a date")
	case p.unit == perWeek && p.noun != nothing, p.unit >= perMonth && dated && p.noun == nothing:
		return nil, p.fail(day, "these days do not go with every %s", p.unit)
	case p.unit == perYear && dated != (p.months != 0):
		return nil, p.fail(every, "on which day of the year?").hint("write, for example, every year on january 15")
	case p.months != 0 && (p.unit == perMonth || p.numbered && p.unit < perYear):
		return nil, p.fail(p.heard[monthsClause], "months do not go with this %s", p.unit)
	}
	anchor := p.anchor().In(p.zone)
	rule := &calendar{dates: p.dates(), times: p.times}
	if !timed {
		rule.times = list{0}
		if p.numbered && !dated {
			rule.times = list{anchor.Hour()*3600 + anchor.Minute()*60 + anchor.Second()}
		}
	}
	if p.unit > perWeek && !dated {
		p.defaultDay(&rule.dates, anchor)
	}
	if !p.numbered {
		return p.calendar(rule, always)
	}
	if p.unit == perWeek && !dated {
		rule.dates.week.plain = 1 << anchor.Weekday()
	}
	rule.dates.cycle = newCycle(p.unit, p.count, dayNumber(anchor.Year(), int(anchor.Month()), anchor.Day()))
	return p.calendar(rule, anchor.Unix())
}

// defaultDay sets the day of a month or year that names none: the first, or that
// of the anchor.
func (p *phrase) defaultDay(d *dates, anchor time.Time) {
	if !p.numbered {
		d.day.plain = 1 << 1
		if p.unit == perYear {
			d.months = 1 << 1
		}
		return
	}
	d.day = monthDays{clamped: 1 << anchor.Day()}
	if p.unit == perYear {
		d.months = 1 << int(anchor.Month())
	}
}

// dates makes the dates of the days and months that were said, all if none.
func (p *phrase) dates() dates {
	d := dates{months: allMonths, day: monthDays{plain: allDays}, week: weekDays{plain: allWeekdays}}
	if p.months != 0 {
		d.months = p.months
	}
	switch p.noun {
	case nothing:
		if p.weekdays != 0 {
			d.week.plain = p.weekdays
		}
		return d
	case weekdayOf:
		d.week = weekDays{}
	default:
		d.day = monthDays{}
	}
	for _, n := range p.ordinals {
		switch {
		case p.noun == weekdayOf && n < 0:
			d.week.fromEnd[1] = p.weekdays
		case p.noun == weekdayOf:
			d.week.nth[n] = p.weekdays
		case p.noun == workdayOf && n < 0:
			d.day.lastWeekday = true
		case p.noun == workdayOf:
			d.day.nearest |= 1 << n
		case n < 0:
			d.day.fromEnd |= 1
		default:
			d.day.plain |= 1 << n
		}
	}
	return d
}

// calendar completes a rule, and refuses one whose days never come.
func (p *phrase) calendar(rule *calendar, from int64) (*Expression, error) {
	rule.zone = p.zone
	if !rule.dates.prepare() {
		return nil, p.fail(p.heard[daysClause], "there is no such day: the expression never ticks")
	}
	return p.expression(rule, from)
}

func (p *phrase) expression(rule rule, from int64) (*Expression, error) {
	return &Expression{text: p.canonical(), zone: p.zone, rule: rule, from: from}, nil
}

// defaultAnchor begins a week, a month and a year.
var defaultAnchor = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// anchor returns the time from which an interval counts: the text's, else the
// option's, else the default's reading in the expression's zone.
func (p *phrase) anchor() time.Time {
	if _, said := p.heard[startClause]; said {
		if p.start.offset {
			return p.start.time
		}
		return time.Unix(firstShown(p.zone, p.start.time.Unix()), 0)
	}
	if !p.settings.anchor.IsZero() {
		return p.settings.anchor
	}
	return time.Unix(firstShown(p.zone, defaultAnchor.Unix()), 0)
}
