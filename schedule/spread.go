package schedule

import (
	"strconv"
	"strings"
)

// hashed reads H or H(lo-hi): a value that the schedule's name decides. Of the
// days of the month H takes only those that every month has.
func (p *cronParser) hashed(f *field, w word, it *item) error {
	it.kind, it.lo, it.hi, it.text = 'H', f.min, f.max, "H"
	if f == dayField {
		it.hi = 28
	}
	return p.drawn(f, w, strings.TrimSuffix(w.text[1:], ")"), "-", it)
}

// random reads ~, lo~, ~hi or lo~hi: a value that is drawn once.
func (p *cronParser) random(f *field, w word, it *item) error {
	it.kind, it.lo, it.hi, it.text = '~', f.min, f.max, "~"
	return p.drawn(f, w, w.text, "~", it)
}

// drawn reads the range, if there is one, from which a value is drawn.
func (p *cronParser) drawn(f *field, w word, text, mark string, it *item) error {
	if f == yearField {
		return p.fail(w, "years are not drawn")
	}
	text = strings.TrimPrefix(text, "(")
	if text == "" && w.text[len(w.text)-1] != '(' && w.text[len(w.text)-1] != ')' {
		return nil
	}
	first, last, ranged := strings.Cut(text, mark)
	if !ranged || it.kind == 'H' && (first == "" || last == "" || !strings.HasSuffix(w.text, ")")) {
		return p.fail(w, "a drawn value is written H, H(lo-hi), ~ or lo~hi")
	}
	var err error
	if first != "" {
		if it.lo, err = p.value(f, word{first, w.at + strings.Index(w.text, first)}, w); err != nil {
			return err
		}
	}
	if last != "" {
		if it.hi, err = p.value(f, word{last, w.at + strings.LastIndex(w.text, last)}, w); err != nil {
			return err
		}
	}
	if it.hi < it.lo {
		return p.fail(w, "a value cannot be drawn from %d to %d", it.lo, it.hi)
	}
	lo, hi := strconv.Itoa(it.lo), strconv.Itoa(it.hi)
	if it.text = "H(" + lo + "-" + hi + ")"; it.kind == '~' {
		it.text = lo + "~" + hi
	}
	return nil
}

// draw decides a drawn entry: one value, or with a step every step-th from one
// of the first step values on.
func (it item) draw(seed string) (lo, hi int) {
	size := it.hi - it.lo + 1
	stepped := strings.Contains(it.text, "/")
	if stepped {
		size = min(size, it.step)
	}
	key := seed + "\x00" + it.field.name + "\x00" + string(it.kind)
	if it.kind == '~' {
		key += it.text // entries of one list are drawn apart
	}
	lo = it.lo + int(hash(key)%uint64(size))
	if stepped {
		return lo, it.hi
	}
	return lo, lo
}

// hash turns a text into a number by FNV-1a, whose differences are then spread
// over all bits. It must never change: it decides when schedules tick.
func hash(text string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, b := range []byte(text) {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	h = (h ^ h>>32) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}
