package schedule

import "time"

// calendar is the rule of times of the day on dates, read from the clock on the
// wall. A reading of that clock is counted in seconds as if it were UTC.
type calendar struct {
	zone    *time.Location
	dates   dates
	times   times
	elapsed bool // every instant whose reading matches is a tick; else each reading once
}

func (c *calendar) next(after int64) (int64, bool) {
	steps := budget(maxSteps)
	return c.nextWithin(&steps, after)
}

func (c *calendar) prev(before int64) (int64, bool) {
	steps := budget(maxSteps)
	return c.prevWithin(&steps, before)
}

// nextWithin of a rule that follows the wall: no clock has shown the readings
// after the latest one, so the first of them that matches has the first tick.
func (c *calendar) nextWithin(steps *budget, after int64) (int64, bool) {
	if c.elapsed {
		return c.nextElapsed(steps, after)
	}
	reading, ok := c.nextReading(steps, latestReading(c.zone, after)+1)
	if !ok {
		return 0, false
	}
	return firstShown(c.zone, reading), true
}

func (c *calendar) prevWithin(steps *budget, before int64) (int64, bool) {
	if c.elapsed {
		return c.prevElapsed(steps, before)
	}
	reading, ok := c.prevReading(steps, latestReading(c.zone, before-1))
	if !ok {
		return 0, false
	}
	return firstShown(c.zone, reading), true
}

// nextElapsed walks from period to period. One whose end is near is followed by
// the next, which may show the same readings again; from one whose end is far
// the walk may jump, since all later readings are later ones.
func (c *calendar) nextElapsed(steps *budget, after int64) (int64, bool) {
	instant := after + 1
	for steps.spend(zoneSteps) {
		p := periodOf(c.zone, instant)
		reading, ok := c.nextReading(steps, instant+p.offset)
		switch {
		case ok && reading-p.offset < p.end:
			return reading - p.offset, true
		case p.end > maxSecond:
			return 0, false
		case p.end-instant < horizon:
			instant = p.end
		case !ok:
			return 0, false
		default:
			instant = max(p.end, reading-horizon/2)
		}
	}
	return 0, false
}

func (c *calendar) prevElapsed(steps *budget, before int64) (int64, bool) {
	instant := before - 1
	for steps.spend(zoneSteps) {
		p := periodOf(c.zone, instant)
		reading, ok := c.prevReading(steps, instant+p.offset)
		switch {
		case ok && reading-p.offset >= p.start:
			return reading - p.offset, true
		case p.start < minSecond:
			return 0, false
		case instant-p.start < horizon:
			instant = p.start - 1
		case !ok:
			return 0, false
		default:
			instant = min(p.start-1, reading+horizon/2)
		}
	}
	return 0, false
}

// nextReading returns the first reading that matches, from this one on.
func (c *calendar) nextReading(steps *budget, from int64) (int64, bool) {
	from = max(from, minSecond)
	if from > maxSecond {
		return 0, false
	}
	start := floorDiv(from, daySeconds)
	day, ok := c.dates.next(steps, start)
	if ok && day == start {
		if second, ok := c.times.next(int(from - day*daySeconds)); ok {
			return day*daySeconds + int64(second), true
		}
		day, ok = c.dates.next(steps, day+1)
	}
	second, _ := c.times.next(0)
	return day*daySeconds + int64(second), ok
}

// prevReading returns the last reading that matches, up to this one.
func (c *calendar) prevReading(steps *budget, to int64) (int64, bool) {
	to = min(to, maxSecond)
	if to < minSecond {
		return 0, false
	}
	start := floorDiv(to, daySeconds)
	day, ok := c.dates.prev(steps, start)
	if ok && day == start {
		if second, ok := c.times.prev(int(to - day*daySeconds)); ok {
			return day*daySeconds + int64(second), true
		}
		day, ok = c.dates.prev(steps, day-1)
	}
	second, _ := c.times.prev(daySeconds - 1)
	return day*daySeconds + int64(second), ok
}
