package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// explain puts the rule into words: the times, the days, what is counted, the zone.
func (c *calendar) explain(zone *time.Location) string {
	text, frequent := c.times.words()
	if days := c.dates.words(); days != "" {
		text += " " + days
	} else if !frequent && c.dates.cycle.unit != perDay {
		text += " every day"
	}
	if count := c.dates.cycle.words(); count != "" {
		text += ", " + count
	}
	if zone == time.UTC {
		return text + ", UTC"
	}
	return text + ", " + zone.String() + " time"
}

// words lists a clock's times if they are few; else it describes the seconds of
// the minutes of the hours. Frequent times need no "every day".
func (c clock) words() (text string, frequent bool) {
	const few = 8
	if c.hours.size()*c.minutes.size()*c.seconds.size() <= few {
		var times []int
		for _, h := range c.hours.members() {
			for _, m := range c.minutes.members() {
				for _, s := range c.seconds.members() {
					times = append(times, h*3600+m*60+s)
				}
			}
		}
		return "at " + joined(timeTexts(times)), false
	}
	var parts []string
	if c.seconds != 1 {
		parts = append(parts, partWords("second", c.seconds, 60, true))
	}
	parts = append(parts, partWords("minute", c.minutes, 60, len(parts) == 0))
	parts = append(parts, partWords("hour", c.hours, 24, false))
	for len(parts) > 1 && strings.HasPrefix(parts[len(parts)-1], "every ") && strings.HasPrefix(parts[len(parts)-2], "every ") {
		parts = parts[:len(parts)-1]
	}
	text = strings.Join(parts, " of ")
	if !strings.HasPrefix(text, "every ") {
		text = "at " + text
	}
	return text, c.hours.size() == 24
}

// partWords writes one part of the clock: every minute, every 15 minutes, minute
// 5, minutes 5 and 35. Even steps are named as such only where nothing smaller
// comes before.
func partWords(name string, s set, size int, smallest bool) string {
	step := size / s.size()
	switch {
	case s.size() == size:
		return "every " + name
	case smallest && s.size() > 1 && s == setOf(0, size-1, step) && size%step == 0:
		return fmt.Sprintf("every %d %ss", step, name)
	case s.size() == 1:
		return name + " " + strconv.Itoa(s.least())
	}
	return name + "s " + runs(s, strconv.Itoa)
}

func (l list) words() (string, bool) { return "at " + joined(timeTexts(l)), false }

func (w window) words() (string, bool) {
	return fmt.Sprintf("every %s from %s to %s", durationWords(int64(w.step)), timeText(w.from), timeText(w.to)), true
}

// durationWords writes seconds in words: 1 hour and 30 minutes, 40 minutes, hour.
func durationWords(seconds int64) string {
	var parts []string
	for _, u := range []unit{perHour, perMinute, perSecond} {
		n := seconds / u.size()
		seconds %= u.size()
		switch {
		case n == 1 && seconds == 0 && parts == nil:
			return u.String()
		case n == 1:
			parts = append(parts, "1 "+u.String())
		case n > 0:
			parts = append(parts, fmt.Sprintf("%d %ss", n, u))
		}
	}
	return joined(parts)
}

// runs lists the members of a set: neighbours as "1 to 5", long rows of equal
// steps as "0, 2, 4 … 22".
func runs(s set, name func(int) string) string {
	all := s.members()
	if len(all) > 5 {
		step := all[1] - all[0]
		if step > 1 && s == setOf(all[0], all[len(all)-1], step) {
			return fmt.Sprintf("%s, %s, %s … %s", name(all[0]), name(all[1]), name(all[2]), name(all[len(all)-1]))
		}
	}
	var parts []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		if j < i+2 {
			parts = append(parts, name(all[i]))
			i++
			continue
		}
		parts = append(parts, name(all[i])+" to "+name(all[j]))
		i = j + 1
	}
	return joined(parts)
}

// words writes the dates; it is empty if they are all.
func (d *dates) words() string {
	ofMonth := " of the month"
	inMonths := ""
	if d.months != allMonths {
		listed := runs(d.months, func(n int) string { return title(monthNames[n-1]) })
		ofMonth, inMonths = " of "+listed, " in "+listed
	}
	year := ""
	if len(d.years) > 0 {
		year = " in " + yearWords(d.years)
	}
	day, nth := d.day.words(), d.week.nthWords()
	weekday := d.week.plainWords()
	week := ""
	switch {
	case weekday != "" && nth != "":
		week = "on " + weekday + ", and on " + nth + ofMonth
	case nth != "":
		week = "on " + nth + ofMonth
	case weekday != "":
		week = "on " + weekday
	}
	switch {
	case day == "" && week == "" && inMonths+year == "":
		return ""
	case day == "" && week == "":
		return "every day" + inMonths + year
	case day == "" && nth != "":
		return week + year
	case day == "":
		return week + inMonths + year
	case week == "":
		return "on " + day + ofMonth + year
	case d.either:
		return "on " + day + ofMonth + ", or " + week + inMonths + year
	}
	return "on " + day + ofMonth + year + ", only if that is " + strings.TrimPrefix(week, "on ")
}

// words writes the days of the month; it is empty if they are all.
func (d *monthDays) words() string {
	if d.plain == allDays {
		return ""
	}
	var parts []string
	if n := d.plain.size(); n > 0 {
		name := "days "
		if n == 1 {
			name = "day "
		}
		parts = append(parts, name+runs(d.plain, strconv.Itoa))
	}
	for _, n := range d.nearest.members() {
		parts = append(parts, "the weekday nearest to day "+strconv.Itoa(n))
	}
	for _, n := range d.clamped.members() {
		part := "day " + strconv.Itoa(n)
		if n > 28 {
			part += " (or the last, where there is none)"
		}
		parts = append(parts, part)
	}
	for _, n := range d.fromEnd.members() {
		switch n {
		case 0:
			parts = append(parts, "the last day")
		case 1:
			parts = append(parts, "the day before the last")
		default:
			parts = append(parts, fmt.Sprintf("the day %d days before the last", n))
		}
	}
	if d.lastWeekday {
		parts = append(parts, "the last weekday")
	}
	return joined(parts)
}

// plainWords writes the weekdays that always match; it is empty if they are all,
// or none.
func (d *weekDays) plainWords() string {
	if d.plain == allWeekdays {
		return ""
	}
	return runs(mondayFirst(d.plain), func(n int) string { return title(weekdayNames[n%7]) })
}

// nthWords writes the weekdays that are counted in the month; it is empty if
// there are none.
func (d *weekDays) nthWords() string {
	if d.plain == allWeekdays {
		return ""
	}
	var parts []string
	add := func(ordinal string, s set) {
		for _, name := range weekdaysIn(s) {
			parts = append(parts, "the "+ordinal+" "+title(name))
		}
	}
	for n := 1; n <= 5; n++ {
		add(ordinalWords[n], d.nth[n])
	}
	for n := 5; n >= 1; n-- {
		add([]string{"", "last", "second-last", "third-last", "fourth-last", "fifth-last"}[n], d.fromEnd[n])
	}
	return joined(parts)
}

// yearWords lists years.
func yearWords(spans []span) string {
	var parts []string
	for _, s := range spans {
		switch last, _ := s.atMost(s.hi); {
		case last == s.lo:
			parts = append(parts, strconv.Itoa(s.lo))
		case s.step == 1:
			parts = append(parts, fmt.Sprintf("%d to %d", s.lo, last))
		default:
			parts = append(parts, fmt.Sprintf("every %s year from %d to %d", ordinalText(s.step), s.lo, last))
		}
	}
	return joined(parts)
}
