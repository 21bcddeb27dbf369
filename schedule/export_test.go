package schedule

import "time"

// MaxSteps is the budget of one search.
const MaxSteps = maxSteps

// Steps counts the steps of the searches for the ticks around a time, and of the
// one that Parse makes; it returns the largest count.
func (e *Expression) Steps(at time.Time) int {
	c, ok := e.rule.(*calendar)
	if !ok {
		return 0
	}
	most := 0
	count := func(search func(*budget)) {
		steps := budget(maxSteps)
		search(&steps)
		most = max(most, maxSteps-int(steps))
	}
	second := min(max(at.Unix(), minSecond), maxSecond)
	count(func(b *budget) { c.nextWithin(b, second) })
	count(func(b *budget) { c.prevWithin(b, second) })
	count(func(b *budget) { c.dates.next(b, minSecond/daySeconds) })
	return most
}
