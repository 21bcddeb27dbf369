package schedule

import (
	"strconv"
	"strings"
)

// day reads an entry of the day of the month: what all fields have, and L, L-3,
// -3, LW, 15W and 25-L. It returns the entry's canonical text.
func (p *cronParser) day(entry word) (string, error) {
	text := strings.ToUpper(entry.text)
	text = strings.Replace(text, "LAST", "L", 1)
	switch {
	case text == "L":
		p.days.fromEnd |= 1
		return "L", nil
	case text == "LW" || text == "WL":
		p.days.lastWeekday = true
		return "LW", nil
	case strings.HasPrefix(text, "L-"):
		return p.fromEnd(text[2:], entry, 0)
	case strings.HasPrefix(text, "-"):
		return p.fromEnd(text[1:], entry, 1)
	case strings.HasSuffix(text, "W"):
		n, ok := digits(text[:len(text)-1])
		if !ok || n < 1 || n > 31 {
			return "", p.fail(entry, "W needs one day of the month from 1 to 31").
				hint("write 15W for the weekday nearest to the 15th, or LW for the month's last")
		}
		p.days.nearest |= 1 << n
		return strconv.Itoa(n) + "W", nil
	}
	if from, found := strings.CutSuffix(text, "-L"); found {
		if _, ok := digits(from); ok { // else the words of an error would not be the user's
			entry.text = from + "-31"
		}
	}
	return p.plainItem(dayField, entry)
}

// fromEnd reads a number of days that are counted back from the month's last,
// which is number first.
func (p *cronParser) fromEnd(count string, entry word, first int) (string, error) {
	n, ok := digits(count)
	if !ok || n < 1 || n-first > 30 {
		return "", p.fail(entry, "days before the last are counted from 1 to %d", 30+first)
	}
	n -= first
	p.days.fromEnd |= 1 << n
	if n == 0 {
		return "L", nil
	}
	return "L-" + strconv.Itoa(n), nil
}

// weekday reads an entry of the weekday: what all fields have, and FRI#2, FRI#L,
// FRI#-2 and FRIL. It returns the entry's canonical text.
func (p *cronParser) weekday(entry word) (string, error) {
	name, nth, numbered := strings.Cut(entry.text, "#")
	if strings.Contains(entry.text, "%") {
		return "", p.fail(entry, "weekdays are not counted by %%").
			hint("write, for example, every 2 weeks on sunday starting 2026-01-04")
	}
	lower := strings.ToLower(name)
	if !numbered {
		if _, known := weekdayNumber(lower); known || !strings.HasSuffix(lower, "l") {
			return p.plainItem(weekdayField, entry)
		}
		if lower == "l" {
			return "", p.fail(entry, "L needs a weekday").hint("write 5L for the month's last Friday, 6 for every Saturday")
		}
		name, nth = name[:len(name)-1], "l"
	}
	if strings.ContainsAny(name, "-/*") {
		return "", p.fail(entry, "only one weekday can be counted").hint("write a list such as 1#2,3#2")
	}
	n, err := p.value(weekdayField, word{name, entry.at}, entry)
	if err != nil {
		return "", err
	}
	n %= 7
	switch nth = strings.ToLower(nth); nth {
	case "l", "last":
		nth = "-1"
	}
	count, ok := digits(strings.TrimPrefix(nth, "-"))
	if !ok || count < 1 || count > 5 {
		return "", p.fail(entry, "a month's weekdays are counted from 1 to 5, or -1 to -5 from the end").hint("L is the last")
	}
	if strings.HasPrefix(nth, "-") {
		p.week.fromEnd[count] |= 1 << n
	} else {
		p.week.nth[count] |= 1 << n
	}
	return strconv.Itoa(n) + "#" + nth, nil
}

// plainItem reads an entry that has nothing of its own, and keeps it until the
// seed is known.
func (p *cronParser) plainItem(f *field, entry word) (string, error) {
	it, err := p.item(f, entry)
	p.items = append(p.items, it)
	return it.text, err
}
