package schedule

import (
	"strconv"
	"strings"
)

// Crontab returns the five fields by which any cron runs the expression at the same
// times, with H and ~ drawn, or "@reboot". false: five fields cannot say it. The
// zone is not in it.
func (e *Expression) Crontab() (fields string, ok bool) {
	if e.Reboot() {
		return e.text, true
	}
	c, is := e.rule.(*calendar)
	if !is || e.from != always || len(c.dates.years) > 0 || c.dates.cycle != (cycle{}) {
		return "", false
	}
	hours, minutes, ok := crontabTimes(c.times)
	if !ok {
		return "", false
	}
	hour := crontabList(hours)
	if c.elapsed { // with any but a * it would behave otherwise when clocks change
		if hour, ok = crontabStep(hours, 0, 23); !ok {
			return "", false
		}
	}
	days, ok := c.dates.crontab()
	if !ok {
		return "", false
	}
	return crontabField(minutes, 0, 59) + " " + hour + " " + days, true
}

// crontabTimes returns the hours and minutes whose combinations the times are.
func crontabTimes(t times) (hours, minutes set, ok bool) {
	switch t := t.(type) {
	case clock:
		return t.hours, t.minutes, t.seconds == 1
	case list:
		for _, second := range t {
			if second%60 != 0 {
				return 0, 0, false
			}
			hours |= 1 << (second / 3600)
			minutes |= 1 << (second / 60 % 60)
		}
		return hours, minutes, hours.size()*minutes.size() == len(t)
	}
	return 0, 0, false
}

// crontab returns the fields of days, months and weekdays.
func (d *dates) crontab() (fields string, ok bool) {
	plain := monthDays{plain: d.day.plain}
	week := weekDays{plain: d.week.plain}
	if d.day != plain || d.week != week {
		return "", false
	}
	day, weekday := "*", "*"
	if d.day.plain != allDays {
		day = crontabList(d.day.plain)
	}
	if d.week.plain != allWeekdays {
		weekday = crontabList(d.week.plain)
	}
	switch {
	case day != "*" && weekday != "*" && !d.either:
		return "", false // cron takes either
	case d.either && (day == "*" || weekday == "*"):
		day, weekday = "*", "*"
	}
	return day + " " + crontabField(d.months, 1, 12) + " " + weekday, true
}

// crontabField writes a set as a field: *, */n or a list of numbers and ranges.
func crontabField(s set, lo, hi int) string {
	if text, ok := crontabStep(s, lo, hi); ok && s.size() > 2 { // of two numbers a list is easier to read
		return text
	}
	return crontabList(s)
}

// crontabStep writes a set as * or */n, if it is one.
func crontabStep(s set, lo, hi int) (text string, ok bool) {
	for step := 1; step <= hi-lo; step++ {
		if s == setOf(lo, hi, step) {
			if step == 1 {
				return "*", true
			}
			return "*/" + strconv.Itoa(step), true
		}
	}
	return "", false
}

// crontabList writes a set as a list of numbers and ranges.
func crontabList(s set) string {
	var parts []string
	for list := s.members(); len(list) > 0; {
		n := 1
		for n < len(list) && list[n] == list[0]+n {
			n++
		}
		part := strconv.Itoa(list[0])
		if n > 2 {
			part += "-" + strconv.Itoa(list[n-1])
		} else {
			n = 1
		}
		parts, list = append(parts, part), list[n:]
	}
	return strings.Join(parts, ",")
}
