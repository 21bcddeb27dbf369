package schedule

import (
	"strconv"
	"strings"
)

// field is what one place of a cron expression may hold.
type field struct {
	name     string
	min, max int
	number   func(name string) (int, bool) // of a name in lower case; nil: it has none
}

var (
	secondField  = &field{name: "second", max: 59}
	minuteField  = &field{name: "minute", max: 59}
	hourField    = &field{name: "hour", max: 23}
	dayField     = &field{name: "day of the month", min: 1, max: 31}
	monthField   = &field{name: "month", min: 1, max: 12, number: monthNumber}
	weekdayField = &field{name: "weekday", max: 6, number: weekdayNumber}
	yearField    = &field{name: "year", min: 1970, max: maxYear}
)

const (
	maxItems = 60   // of a list
	maxYears = 10   // of a list of years
	maxStep  = 9999 // after a slash
)

// item is one entry of a field's list.
type item struct {
	field        *field
	kind         byte   // 0: a range; 'H' and '~': drawn from it
	lo, hi, step int    // hi < lo wraps round the field's end
	text         string // canonical
}

// items reads a field's comma-separated list with a function for one entry.
func (p *cronParser) entries(f *field, list word, read func(word) error) error {
	entries := strings.Split(list.text, ",")
	most := maxItems
	if f == yearField {
		most = maxYears
	}
	if len(entries) > most {
		return p.fail(list, "a list of the field %s has at most %d entries", f.name, most)
	}
	at := list.at
	for _, text := range entries {
		entry := word{text, at}
		at += len(text) + 1
		if text == "" {
			return p.fail(list, "an entry of this list of the field %s is empty", f.name)
		}
		if err := read(entry); err != nil {
			return err
		}
	}
	return nil
}

// item reads what all fields have: *, numbers, names, ranges, H and ~, each with
// or without a step.
func (p *cronParser) item(f *field, entry word) (item, error) {
	base, step, stepped := strings.Cut(entry.text, "/")
	it := item{field: f, step: 1}
	var err error
	if stepped {
		if it.step, err = p.step(word{step, entry.at + len(base) + 1}, entry); err != nil {
			return it, err
		}
	}
	w := word{base, entry.at}
	lower := strings.ToLower(base)
	switch {
	case base == "*" || base == "?":
		it.lo, it.hi, it.text = f.min, f.max, "*"
	case lower == "h" || strings.HasPrefix(lower, "h("):
		err = p.hashed(f, w, &it)
	case strings.Contains(base, "~"):
		err = p.random(f, w, &it)
	default:
		err = p.rangeOf(f, w, stepped, &it)
	}
	if stepped {
		it.text += "/" + strconv.Itoa(it.step)
	}
	return it, err
}

// step reads the number after a slash.
func (p *cronParser) step(w, entry word) (int, error) {
	n, ok := digits(w.text)
	if w.text == "" || !ok || n < 1 || n > maxStep {
		if w.text == "" {
			w = entry
		}
		return 0, p.fail(w, "a step is a number from 1 to %d", maxStep)
	}
	return n, nil
}

// rangeOf reads a number or name, alone or as a range; alone with a step it
// reaches to the field's end.
func (p *cronParser) rangeOf(f *field, w word, stepped bool, it *item) error {
	first, last, ranged := strings.Cut(w.text, "-")
	lo, err := p.value(f, word{first, w.at}, w)
	if err != nil {
		return err
	}
	it.lo, it.hi, it.text = lo, lo, strconv.Itoa(lo)
	switch {
	case ranged:
		if it.hi, err = p.value(f, word{last, w.at + len(first) + 1}, w); err != nil {
			return err
		}
		it.text += "-" + strconv.Itoa(it.hi)
		if it.hi < it.lo && f == yearField {
			return p.fail(w, "years run forward").hint("did you mean %d-%d?", it.hi, it.lo)
		}
	case stepped:
		it.lo %= f.max + 1 // 7 is Sunday
		it.hi, it.text = f.max, strconv.Itoa(it.lo)
	}
	return nil
}

// value reads a number or name of a field. The text of an empty one is taken
// from the entry, for the message.
func (p *cronParser) value(f *field, w, entry word) (int, error) {
	if w.text == "" {
		w = entry
	}
	last := f.max
	if f == weekdayField {
		last = 7 // Sunday again
	}
	n, ok := digits(w.text)
	if ok && n >= f.min && n <= last {
		return n, nil
	}
	if !ok && f.number != nil {
		if n, ok := f.number(strings.ToLower(w.text)); ok {
			return n, nil
		}
	}
	err := p.fail(w, "the field %s takes %d to %d", f.name, f.min, last)
	switch {
	case ok && f == hourField && n == 24:
		err.hint("midnight is hour 0")
	case f == monthField:
		err.Problem += " and names such as jan"
		err.suggest(withShort(monthNames)...)
	case f == weekdayField:
		err.Problem += " and names such as mon"
		err.suggest(withShort(weekdayNames)...)
	}
	return 0, err
}

// digits reads a small number.
func digits(text string) (int, bool) {
	if text == "" || len(text) > 9 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// set returns the numbers of an entry, drawn with a seed where it asks for that.
func (it item) set(seed string) set {
	lo, hi := it.lo, it.hi
	if it.kind != 0 {
		lo, hi = it.draw(seed)
	}
	if it.field == weekdayField && hi == 7 {
		return setOf(lo, hi, it.step).sunday()
	}
	size := it.field.max - it.field.min + 1
	if hi < lo {
		hi += size
	}
	var s set
	for n := lo; n <= hi; n += it.step {
		s |= 1 << ((n-it.field.min)%size + it.field.min)
	}
	return s
}

// sunday makes the weekday 7 the weekday 0.
func (s set) sunday() set { return s&0x7f | s>>7 }
