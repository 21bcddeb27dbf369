package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// canonical writes the phrase with its clauses in one order and one spelling.
func (p *phrase) canonical() string {
	var b strings.Builder
	if p.unit != 0 {
		b.WriteString("every " + p.lengthText() + " ")
	}
	b.WriteString(p.daysText())
	switch {
	case p.marks != 0:
		b.WriteString(" at " + p.marked.String() + " " + joined(numbers(p.marks.members())))
	case len(p.times) > 0:
		b.WriteString(" at " + joined(timeTexts(p.times)))
	case p.window != window{}:
		b.WriteString(" between " + timeText(p.window.from) + " and " + timeText(p.window.to))
	}
	if _, said := p.heard[startClause]; said {
		b.WriteString(" starting " + p.start.text())
	}
	if p.named != "" {
		b.WriteString(" in " + p.named)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// lengthText writes the interval: "hour", "90m", "2 weeks".
func (p *phrase) lengthText() string {
	switch {
	case !p.numbered:
		return p.unit.String()
	case p.unit <= perHour:
		return durationText(p.count)
	case p.count == 1:
		return "1 " + p.unit.String()
	}
	return fmt.Sprintf("%d %ss", p.count, p.unit)
}

// durationText writes seconds as 1h30m.
func durationText(seconds int64) string {
	var text string
	for _, part := range []struct {
		size int64
		name string
	}{{3600, "h"}, {60, "m"}, {1, "s"}} {
		if n := seconds / part.size; n > 0 {
			text += strconv.FormatInt(n, 10) + part.name
			seconds %= part.size
		}
	}
	return text
}

// daysText writes the days and months.
func (p *phrase) daysText() string {
	in := ""
	if p.months != 0 {
		var names []string
		for _, n := range p.months.members() {
			names = append(names, monthNames[n-1])
		}
		in = " in " + joined(names)
	}
	of := " of the month"
	if p.months != 0 || p.unit == perMonth {
		of = ""
	}
	var ordinals []string
	for _, n := range p.ordinals {
		ordinals = append(ordinals, ordinalText(n))
	}
	switch p.noun {
	case weekdayOf:
		return "on the " + joined(ordinals) + " " + joined(weekdaysIn(p.weekdays)) + of + in
	case workdayOf:
		return "on the " + joined(ordinals) + " weekday" + of + in
	case daysOfMonth:
		return "on the " + joined(ordinals) + " day" + of + in
	}
	switch {
	case p.weekdays == 0:
		return in
	case p.unit != 0:
		return "on " + weekdayText(p.weekdays, "s") + in
	}
	return "every " + weekdayText(p.weekdays, "") + in
}

// weekdayText writes weekdays, by their common name where they have one.
func weekdayText(s set, plural string) string {
	switch s {
	case setOf(1, 5, 1):
		return "weekday" + plural
	case 1<<0 | 1<<6:
		return "weekend" + plural
	}
	return joined(weekdaysIn(s))
}

// ordinalText writes 1st to 31st, and last for -1.
func ordinalText(n int) string {
	switch {
	case n < 0:
		return "last"
	case n/10 != 1 && n%10 >= 1 && n%10 <= 3:
		return strconv.Itoa(n) + []string{"st", "nd", "rd"}[n%10-1]
	}
	return strconv.Itoa(n) + "th"
}

// text writes the start as it was read.
func (s start) text() string {
	switch {
	case s.dateOnly:
		return s.time.Format(time.DateOnly)
	case s.offset:
		return s.time.Format(time.RFC3339)
	}
	return s.time.Format("2006-01-02T15:04:05")
}

// timeText writes a second of the day as 09:00, or as 09:00:15 if need be.
func timeText(second int) string {
	text := fmt.Sprintf("%02d:%02d", second/3600, second/60%60)
	if second%60 != 0 {
		text += fmt.Sprintf(":%02d", second%60)
	}
	return text
}

func timeTexts(seconds []int) []string {
	var texts []string
	for _, s := range seconds {
		texts = append(texts, timeText(s))
	}
	return texts
}

func numbers(list []int) []string {
	var texts []string
	for _, n := range list {
		texts = append(texts, strconv.Itoa(n))
	}
	return texts
}

// joined writes a list as people do: a, b and c.
func joined(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}
