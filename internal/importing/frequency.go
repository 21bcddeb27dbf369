package importing

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// frequency is what stands after "every".
type frequency struct {
	line       int
	original   string
	often, at  []token
	expression string
	// of all its tasks
	description string
	warnings    []string
	problem     string // why it is refused
}

// units are those of whenever, singular.
var units = []string{"minute", "hour", "day", "week", "month", "year"}

var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sun", "mon", "tue", "wed", "thu", "fri", "sat", "weekday", "weekend"}

// resolve turns it into an expression of ours.
func (f *frequency) resolve(hours24 bool) {
	if f.problem != "" {
		return
	}
	texts := listOf(f.often)
	switch {
	case len(f.often) == 3 && f.often[0].kind == 'n' && f.often[1].text == ".":
		f.interval(f.often[0].text, strings.TrimSuffix(f.often[2].text, "s"))
	case len(texts) == 0:
		f.problem = "this is not a frequency that can be read without running Ruby"
	case len(texts) == 1 && slices.Contains(units, texts[0]):
		f.interval("1", texts[0])
	case len(texts) == 1 && slices.Contains([]string{"reboot", "hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually"}, texts[0]):
		f.expression = "@" + texts[0]
		f.noTimes()
	case len(texts) == 1 && (strings.HasPrefix(texts[0], "@") || len(strings.Fields(texts[0])) == 5):
		f.expression = texts[0]
		if fields := strings.Fields(texts[0]); len(fields) == 5 {
			f.warnings = append(f.warnings, unevenFields(fields)...)
		}
		f.noTimes()
	default:
		f.days(texts)
	}
	f.ambiguous(hours24)
}

// listOf reads a symbol or text, or an array of them; texts are cut at commas.
func listOf(s []token) (texts []string) {
	if len(s) > 1 && s[0].kind == 'p' && s[0].text == "[" {
		for _, part := range split(s[1 : len(s)-1]) {
			texts = append(texts, listOf(part)...)
		}
		return texts
	}
	if len(s) != 1 || s[0].kind != ':' && s[0].kind != '"' {
		return nil
	}
	for part := range strings.SplitSeq(s[0].text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			texts = append(texts, part)
		}
	}
	if len(strings.Fields(s[0].text)) == 5 { // cron, whose commas are its own
		return []string{s[0].text}
	}
	return texts
}

func (f *frequency) days(texts []string) {
	var days []string
	for _, text := range texts {
		text = strings.ToLower(text)
		if !slices.Contains(dayNames, strings.TrimSuffix(text, "s")) && !slices.Contains(dayNames, text) {
			f.problem = fmt.Sprintf("%q is neither a number of units, a day, nor cron", text)
			return
		}
		days = append(days, text)
	}
	f.expression = "every " + strings.Join(days, " and ") + f.timesText()
}

func (f *frequency) noTimes() {
	if f.at != nil {
		f.problem = "at does not go with it"
	}
}

// timesText writes the times as plain language; midnight if there are none.
func (f *frequency) timesText() string {
	if f.at == nil {
		return ""
	}
	times := f.atParts()
	if len(times) == 0 {
		f.problem = "the times cannot be read without running Ruby: " + original(f.at)
		return ""
	}
	return " at " + strings.Join(times, " and ")
}

// atParts lists what "at" names: texts, and numbers, also of ranges.
func (f *frequency) atParts() []string {
	if texts := listOf(f.at); len(texts) > 0 {
		return texts
	}
	s := f.at
	if len(s) > 1 && s[0].text == "(" && s[len(s)-1].text == ")" {
		s = s[1 : len(s)-1]
	}
	number := func(t token) (int, bool) {
		n, err := strconv.Atoi(t.text)
		return n, err == nil && t.kind == 'n'
	}
	switch {
	case len(s) == 1:
		if _, ok := number(s[0]); ok {
			return []string{s[0].text}
		}
	case len(s) == 3 && (s[1].text == ".." || s[1].text == "..."):
		lo, ok := number(s[0])
		hi, ok2 := number(s[2])
		if s[1].text == "..." {
			hi--
		}
		var parts []string
		for n := lo; ok && ok2 && n <= hi && len(parts) < 60; n++ {
			parts = append(parts, strconv.Itoa(n))
		}
		return parts
	}
	return nil
}

// interval turns N.units into what its author meant; where whenever's crontab says
// something else, that is a warning.
func (f *frequency) interval(number, unit string) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 10_000 || !slices.Contains(units, unit) {
		f.problem = "this is not a frequency: write, for example, 1.day"
		return
	}
	switch unit {
	case "minute":
		f.minutes(n)
	case "hour":
		f.hours(n)
	case "day":
		f.everyDays(n)
	case "week":
		f.expression = fmt.Sprintf("every %d weeks", n) + f.timesText()
		when := "on the 1st, 8th, 15th and 22nd of each month"
		if n > 1 {
			when = fmt.Sprintf("on the days 1, %d … of each month", 1+7*n)
		}
		f.warn("whenever runs it %s; here it is %s, counted from when the schedule is made", when, each(n, "week"))
	case "month":
		f.months(n)
	case "year":
		f.year(n)
	}
}

func (f *frequency) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, args...))
}

func (f *frequency) minutes(n int) {
	switch {
	case n%60 == 0:
		f.hours(n / 60)
		return
	case n < 60 && 60%n == 0:
		f.expression = fmt.Sprintf("*/%d * * * *", n)
	case n < 60:
		last := 59 / n * n
		gap := 60 - last + n
		if last == n {
			f.warn("whenever runs it once an hour, at minute %d; here it is every %d minutes", n, n)
		} else {
			f.warn("whenever begins anew with each hour, with a gap of %d minutes; here it is every %d minutes", gap, n)
		}
		f.expression = fmt.Sprintf("every %d minutes", n)
	default:
		f.warn("whenever runs it %s; here it is every %d minutes", each(n/60, "hour"), n)
		f.expression = fmt.Sprintf("every %d minutes", n)
	}
	f.noTimes()
}

// each writes "every day" or "every 2 days".
func each(n int, unit string) string {
	if n == 1 {
		return "every " + unit
	}
	return fmt.Sprintf("every %d %ss", n, unit)
}

func (f *frequency) hours(n int) {
	minute := "0"
	if f.at != nil {
		parts := f.atParts()
		for _, part := range parts {
			if m, err := strconv.Atoi(part); err != nil || m > 59 || n >= 24 {
				parts = nil
			}
		}
		if n < 24 && len(parts) == 0 {
			f.problem = "at of hours is a minute: a number from 0 to 59"
			return
		}
		minute = strings.Join(parts, ",")
	}
	switch {
	case n%24 == 0:
		f.everyDays(n / 24)
	case n == 1:
		f.expression = minute + " * * * *"
	case n < 24 && 24%n == 0:
		f.expression = fmt.Sprintf("%s */%d * * *", minute, n)
	case f.at != nil:
		f.problem = "hours that do not divide a day have no fixed minute here: write every with a start"
	case n < 24:
		gap := 24 - 23/n*n + n
		f.warn("whenever begins anew with each day, with a gap of %d hours; here it is every %d hours", gap, n)
		f.expression = fmt.Sprintf("every %d hours", n)
	default:
		f.warn("whenever runs it %s; here it is every %d hours", each(n/24, "day"), n)
		f.expression = fmt.Sprintf("every %d hours", n)
	}
}

func (f *frequency) everyDays(n int) {
	if n == 1 {
		f.expression = "every day" + f.timesText()
		return
	}
	f.warn("whenever begins anew with each month; here it is every %d days, counted from when the schedule is made", n)
	f.expression = fmt.Sprintf("every %d days", n) + f.timesText()
}

var dayAndTime = regexp.MustCompile(`^(\d{1,2}(?:st|nd|rd|th))(?:\s+(?:at\s+)?(.+))?$`)

func (f *frequency) months(n int) {
	day, times := "1st", ""
	if f.at != nil {
		parts := f.atParts()
		found := []string(nil)
		if len(parts) == 1 {
			found = dayAndTime.FindStringSubmatch(parts[0])
		}
		if found != nil {
			if day = found[1]; found[2] != "" {
				times = " at " + found[2]
			}
		} else {
			times = f.timesText()
		}
	}
	switch {
	case n == 1:
		f.expression = "on the " + day + " day of the month" + times
	case 12%n == 0:
		var months []string
		for m := 1; m <= 12; m += n {
			months = append(months, monthNames[m-1])
		}
		f.expression = "on the " + day + " day of " + strings.Join(months, " and ") + times
	default:
		f.warn("whenever begins anew with each year; here it is every %d months, counted from when the schedule is made", n)
		f.expression = fmt.Sprintf("every %d months on the %s%s", n, day, times)
	}
}

var monthNames = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

var monthAndTime = regexp.MustCompile(`(?i)^([a-z]+)\s+(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(?:at\s+)?(.+))?$`)

func (f *frequency) year(n int) {
	if n != 1 {
		f.problem = "whenever knows no more than a year"
		return
	}
	f.expression = "every year on january 1"
	if f.at == nil {
		return
	}
	parts := f.atParts()
	if len(parts) == 1 {
		if found := monthAndTime.FindStringSubmatch(parts[0]); found != nil {
			f.expression = "every year on " + strings.ToLower(found[1]) + " " + found[2]
			if found[3] != "" {
				f.expression += " at " + found[3]
			}
			return
		}
	}
	f.expression += f.timesText()
}

var earlyHour = regexp.MustCompile(`^0?[1-5]:\d\d$`)

// ambiguous warns of early times without am or pm, which whenever's parser of
// times takes for those of the afternoon unless it is told otherwise.
func (f *frequency) ambiguous(hours24 bool) {
	if hours24 || f.at == nil {
		return
	}
	for _, part := range f.atParts() {
		if earlyHour.MatchString(part) {
			f.warn("whenever takes %s, without am or pm, for the afternoon; here it is in the morning", part)
		}
	}
}
