package schedule

import "fmt"

// unit is a length of time that an expression can name. The zero value is none.
type unit uint8

const (
	perSecond unit = 1 + iota
	perMinute
	perHour
	perDay
	perWeek
	perMonth
	perYear
)

var unitNames = []string{"", "second", "minute", "hour", "day", "week", "month", "year"}

func (u unit) String() string { return unitNames[u] }

// cycle takes every n-th day, week, month or year, one of which is that of a
// day, the origin. Weeks begin on Monday. The zero value takes all.
type cycle struct {
	unit   unit
	n      int64
	origin int64
	first  int64 // the number of the origin's day, week, month or year
}

// newCycle makes a cycle of days, weeks, months or years.
func newCycle(u unit, n, origin int64) cycle {
	c := cycle{unit: u, n: n, origin: origin}
	year, month, _ := civil(origin)
	switch u {
	case perDay:
		c.first = origin
	case perWeek:
		c.first = weekOf(origin)
	case perMonth:
		c.first = int64(year*12 + month)
	case perYear:
		c.first = int64(year)
	}
	return c
}

// weekOf numbers the weeks; 1 January 1970 was a Thursday.
func weekOf(day int64) int64 { return floorDiv(day+3, 7) }

// takes reports whether the cycle takes the day, week, month or year of a number.
func (c cycle) takes(number int64) bool { return (number-c.first)%c.n == 0 }

// month reports whether the cycle may take days of a month.
func (c cycle) month(year, month int) bool {
	switch c.unit {
	case perMonth:
		return c.takes(int64(year*12 + month))
	case perYear:
		return c.takes(int64(year))
	}
	return true
}

// filter drops the days of a month, whose first day is given, that the cycle
// does not take.
func (c cycle) filter(month set, first int64) set {
	if c.unit != perDay && c.unit != perWeek {
		return month
	}
	for rest := month; rest != 0; rest &= rest - 1 {
		number := first + int64(rest.least()) - 1
		if c.unit == perWeek {
			number = weekOf(number)
		}
		if !c.takes(number) {
			month &^= rest & -rest
		}
	}
	return month
}

// from passes over the days after which a cycle of days or weeks takes the next.
func (c cycle) from(day int64) int64 {
	switch {
	case c.unit == perDay:
		return c.first - floorDiv(c.first-day, c.n)*c.n
	case c.unit == perWeek && !c.takes(weekOf(day)):
		return (c.first-floorDiv(c.first-weekOf(day), c.n)*c.n)*7 - 3
	}
	return day
}

// upTo passes over the days before which a cycle of days or weeks takes the last.
func (c cycle) upTo(day int64) int64 {
	switch {
	case c.unit == perDay:
		return c.first + floorDiv(day-c.first, c.n)*c.n
	case c.unit == perWeek && !c.takes(weekOf(day)):
		return (c.first+floorDiv(weekOf(day)-c.first, c.n)*c.n)*7 + 3
	}
	return day
}

// words writes what the cycle counts; it is empty if it counts nothing.
func (c cycle) words() string {
	if c.unit == 0 {
		return ""
	}
	year, month, day := civil(c.origin)
	from := fmt.Sprintf("%04d-%02d-%02d", year, month, day)
	if c.n == 1 {
		return "from " + from + " on"
	}
	return fmt.Sprintf("every %d %ss, counted from %s", c.n, c.unit, from)
}
