package schedule

import "time"

// dates says which days match: those of the years and months whose day of the
// month and weekday match both, or with either one of them, and that the cycle
// does not leave out.
type dates struct {
	years  []span // none: every year
	months set
	day    monthDays
	week   weekDays
	either bool
	cycle  cycle
	kinds  set // the kinds of year in which a day matches, the cycle aside
}

// monthDays is a set of days of the month.
type monthDays struct {
	plain       set // 1 to 31
	fromEnd     set // days before the last
	nearest     set // the weekday nearest to this day, in its month
	clamped     set // this day, or the last one of a month that is shorter
	lastWeekday bool
}

// weekDays is a set of weekdays, 0 being Sunday.
type weekDays struct {
	plain   set
	nth     [6]set // at 2: the month's second of these weekdays
	fromEnd [6]set // at 1: the month's last of these weekdays
}

const (
	allDays     set = 1<<32 - 2
	allMonths   set = 1<<13 - 2
	allWeekdays set = 1<<7 - 1
)

// in returns the days that match in a month of a length whose first day is this
// weekday.
func (d *monthDays) in(length, first int) set {
	days := d.plain
	for s := d.fromEnd; s != 0; s &= s - 1 {
		n := s.least()
		if n < length {
			days |= 1 << (length - n)
		}
	}
	for s := d.nearest; s != 0; s &= s - 1 {
		n := s.least()
		if n <= length {
			days |= 1 << nearestWeekday(n, length, first)
		}
	}
	for s := d.clamped; s != 0; s &= s - 1 {
		n := s.least()
		days |= 1 << min(n, length)
	}
	if d.lastWeekday {
		days |= 1 << nearestWeekday(length, length, first)
	}
	return days & (1<<(length+1) - 2)
}

// nearestWeekday returns the day from Monday to Friday that is nearest to a day
// in its month.
func nearestWeekday(day, length, first int) int {
	switch weekday := (first + day - 1) % 7; {
	case weekday == 6 && day == 1:
		return 3
	case weekday == 6:
		return day - 1
	case weekday == 0 && day == length:
		return day - 2
	case weekday == 0:
		return day + 1
	}
	return day
}

// in returns the days that match in a month of a length whose first day is this
// weekday.
func (d *weekDays) in(length, first int) set {
	var days set
	for day := 1; day <= length; day++ {
		weekday := (first + day - 1) % 7
		if d.plain.has(weekday) || d.nth[(day+6)/7].has(weekday) || d.fromEnd[(length-day)/7+1].has(weekday) {
			days |= 1 << day
		}
	}
	return days
}

// in returns the days that match, the cycle aside.
func (d *dates) in(length, first int) set {
	if d.either {
		return d.day.in(length, first) | d.week.in(length, first)
	}
	days := d.day.in(length, first)
	if d.week.plain != allWeekdays {
		days &= d.week.in(length, first)
	}
	return days
}

// prepare finds out in which kinds of year a day matches, so that a search can
// pass over the others, and reports whether any day ever matches.
func (d *dates) prepare() bool {
	var seen set
	for year := 2000; seen.size() < 14; year++ {
		if seen.has(kindOf(year)) {
			continue
		}
		seen |= 1 << kindOf(year)
		for _, month := range d.months.members() {
			if d.in(shape(year, month)) != 0 {
				d.kinds |= 1 << kindOf(year)
				break
			}
		}
	}
	if d.kinds == 0 {
		return false
	}
	steps := budget(maxSteps)
	_, ok := d.next(&steps, floorDiv(minSecond, daySeconds))
	return ok
}

// next returns the first day that matches, from this one on. Days are counted
// from 1 January 1970.
func (d *dates) next(steps *budget, day int64) (int64, bool) {
	for steps.spend(1) {
		day = d.cycle.from(day)
		year, month, from := civil(day)
		y, m, ok := d.nextMonth(steps, year, month)
		if !ok {
			return 0, false
		}
		if y != year || m != month {
			from = 1
		}
		if n, ok := d.matching(y, m).atLeast(from); ok {
			return dayNumber(y, m, n), true
		}
		day = dayNumber(y, m+1, 1)
	}
	return 0, false
}

// prev returns the last day that matches, up to this one.
func (d *dates) prev(steps *budget, day int64) (int64, bool) {
	for steps.spend(1) {
		day = d.cycle.upTo(day)
		year, month, to := civil(day)
		y, m, ok := d.prevMonth(steps, year, month)
		if !ok {
			return 0, false
		}
		if y != year || m != month {
			to = 31
		}
		if n, ok := d.matching(y, m).atMost(to); ok {
			return dayNumber(y, m, n), true
		}
		day = dayNumber(y, m, 1) - 1
	}
	return 0, false
}

// matching returns the days of a month that match.
func (d *dates) matching(year, month int) set {
	return d.cycle.filter(d.in(shape(year, month)), dayNumber(year, month, 1))
}

// nextMonth returns the first month in which a day may match, from this one on.
func (d *dates) nextMonth(steps *budget, year, month int) (y, m int, ok bool) {
	for y, ok = d.nextYear(steps, year); ok; y, ok = d.nextYear(steps, y+1) {
		if y > year {
			month = 1
		}
		for m, ok := d.months.atLeast(month); ok; m, ok = d.months.atLeast(m + 1) {
			if steps.spend(1) && d.cycle.month(y, m) {
				return y, m, true
			}
		}
	}
	return 0, 0, false
}

// prevMonth returns the last month in which a day may match, up to this one.
func (d *dates) prevMonth(steps *budget, year, month int) (y, m int, ok bool) {
	for y, ok = d.prevYear(steps, year); ok; y, ok = d.prevYear(steps, y-1) {
		if y < year {
			month = 12
		}
		for m, ok := d.months.atMost(month); ok; m, ok = d.months.atMost(m - 1) {
			if steps.spend(1) && d.cycle.month(y, m) {
				return y, m, true
			}
		}
	}
	return 0, 0, false
}

// nextYear returns the first year in which a day may match, from this one on.
func (d *dates) nextYear(steps *budget, year int) (int, bool) {
	for ; year <= maxYear && steps.spend(1+len(d.years)); year++ {
		if len(d.years) > 0 {
			first := maxYear + 1
			for _, s := range d.years {
				if y, ok := s.atLeast(year); ok {
					first = min(first, y)
				}
			}
			if year = first; year > maxYear {
				return 0, false
			}
		}
		if d.kinds.has(kindOf(year)) {
			return year, true
		}
	}
	return 0, false
}

// prevYear returns the last year in which a day may match, up to this one.
func (d *dates) prevYear(steps *budget, year int) (int, bool) {
	for ; year >= 1 && steps.spend(1+len(d.years)); year-- {
		if len(d.years) > 0 {
			last := 0
			for _, s := range d.years {
				if y, ok := s.atMost(year); ok {
					last = max(last, y)
				}
			}
			if year = last; year < 1 {
				return 0, false
			}
		}
		if d.kinds.has(kindOf(year)) {
			return year, true
		}
	}
	return 0, false
}

const daySeconds = 24 * 3600

// civil returns the date of a day.
func civil(day int64) (year, month, dayOfMonth int) {
	y, m, d := time.Unix(day*daySeconds, 0).UTC().Date()
	return y, int(m), d
}

// dayNumber returns the number of a date's day.
func dayNumber(year, month, day int) int64 {
	return floorDiv(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix(), daySeconds)
}

// weekdayOn returns a day's weekday; 1 January 1970 was a Thursday.
func weekdayOn(day int64) int { return int(((day+4)%7 + 7) % 7) }

// shape returns the length of a month and the weekday of its first day.
func shape(year, month int) (length, first int) {
	day := dayNumber(year, month, 1)
	return int(dayNumber(year, month+1, 1) - day), weekdayOn(day)
}

// kindOf tells the fourteen kinds of year apart, by their length and first weekday.
func kindOf(year int) int {
	kind := (1 + 5*((year-1)%4) + 4*((year-1)%100) + 6*((year-1)%400)) % 7
	if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		kind += 7
	}
	return kind
}
