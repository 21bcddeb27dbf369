package schedule

import "slices"

// times says which seconds of the day match. Each kind has at least one.
type times interface {
	next(second int) (int, bool) // the first from this one on
	prev(second int) (int, bool) // the last up to this one
	words() (text string, frequent bool)
}

// clock takes every combination of its hours, minutes and seconds.
type clock struct{ hours, minutes, seconds set }

func (c clock) next(second int) (int, bool) {
	h, m, s := second/3600, second/60%60, second%60
	if c.hours.has(h) {
		if c.minutes.has(m) {
			if s, ok := c.seconds.atLeast(s); ok {
				return h*3600 + m*60 + s, true
			}
		}
		if m, ok := c.minutes.atLeast(m + 1); ok {
			return h*3600 + m*60 + c.seconds.least(), true
		}
	}
	h, ok := c.hours.atLeast(h + 1)
	return h*3600 + c.minutes.least()*60 + c.seconds.least(), ok
}

func (c clock) prev(second int) (int, bool) {
	h, m, s := second/3600, second/60%60, second%60
	if c.hours.has(h) {
		if c.minutes.has(m) {
			if s, ok := c.seconds.atMost(s); ok {
				return h*3600 + m*60 + s, true
			}
		}
		if m, ok := c.minutes.atMost(m - 1); ok {
			return h*3600 + m*60 + c.seconds.most(), true
		}
	}
	h, ok := c.hours.atMost(h - 1)
	return h*3600 + c.minutes.most()*60 + c.seconds.most(), ok
}

// list takes some seconds of the day, in ascending order.
type list []int

func (l list) next(second int) (int, bool) {
	i, _ := slices.BinarySearch(l, second)
	if i == len(l) {
		return 0, false
	}
	return l[i], true
}

func (l list) prev(second int) (int, bool) {
	i, _ := slices.BinarySearch(l, second+1)
	if i == 0 {
		return 0, false
	}
	return l[i-1], true
}

// window takes from and every step-th second after it, until to. If to is before
// from, that is on the next day.
type window struct{ from, to, step int }

// parts returns the window's part of the day on which it begins, and that of the
// day after, which is empty (hi < lo) if it does not go over midnight.
func (w window) parts() (today, tomorrow span) {
	if w.to >= w.from {
		return span{w.from, w.to, w.step}, span{0, -1, w.step}
	}
	today = span{w.from, daySeconds - 1, w.step}
	last, _ := today.atMost(daySeconds - 1)
	return today, span{last + w.step - daySeconds, w.to, w.step}
}

func (w window) next(second int) (int, bool) {
	today, tomorrow := w.parts()
	if n, ok := tomorrow.atLeast(second); ok {
		return n, true
	}
	return today.atLeast(second)
}

func (w window) prev(second int) (int, bool) {
	today, tomorrow := w.parts()
	if n, ok := today.atMost(second); ok {
		return n, true
	}
	if tomorrow.hi < tomorrow.lo {
		return 0, false
	}
	return tomorrow.atMost(second)
}
