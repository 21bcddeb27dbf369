package csvreport

import (
	"math"
	"strconv"
	"strings"
)

const (
	// maxStretches is how finely a course is drawn, at most.
	maxStretches = 256
	// maxCourses is how many columns, the first of a file, have one.
	maxCourses = 256
	// minStretches is the least that is worth a line; with fewer, the range says as much.
	minStretches = 4
)

// A Course is how a column's numbers go along the file, in stretches of equally many rows. It is for the eye: the
// numbers are rounded to float64.
type Course []Stretch

// Stretch sums up the numbers of some rows that follow one another. The zero value has none.
type Stretch struct {
	Count         int64
	Sum, Min, Max float64
}

func (s *Stretch) add(v float64) {
	if s.Count == 0 {
		s.Min, s.Max = v, v
	}
	s.Count++
	s.Sum += v
	s.Min, s.Max = min(s.Min, v), max(s.Max, v)
}

func (s *Stretch) join(other Stretch) {
	switch {
	case other.Count == 0:
	case s.Count == 0:
		*s = other
	default:
		s.Count += other.Count
		s.Sum += other.Sum
		s.Min, s.Max = min(s.Min, other.Min), max(s.Max, other.Max)
	}
}

// courseOf gathers a course in constant memory: when the stretches are used up, each takes in its neighbour, and all
// are twice as long from then on. The zero value has stretches of one row.
type courseOf struct {
	doubled   uint8 // a stretch has 2^doubled rows
	stretches Course
}

func (c *courseOf) add(row int64, v float64) {
	if math.IsInf(v, 0) {
		return // beyond what can be drawn
	}
	at := row >> c.doubled
	for at >= maxStretches {
		half := len(c.stretches) / 2
		for i := range half {
			c.stretches[i] = c.stretches[2*i]
			c.stretches[i].join(c.stretches[2*i+1])
		}
		if len(c.stretches)%2 == 1 {
			c.stretches[half] = c.stretches[2*half]
			half++
		}
		clear(c.stretches[half:])
		c.stretches = c.stretches[:half]
		c.doubled++
		at = row >> c.doubled
	}
	if c.stretches == nil {
		c.stretches = make(Course, 0, maxStretches)
	}
	if int(at) >= len(c.stretches) {
		c.stretches = c.stretches[:at+1]
	}
	c.stretches[at].add(v)
}

// The size of a drawn course, in the units of its SVG.
const (
	courseWidth  = chartWidth
	courseHeight = 200
)

// pageCourse is a course drawn: a line through the means and a band around it.
type pageCourse struct{ Line, Band string }

// draw returns the course in the frame from the column's minimum to its maximum; empty, if it is too short for that.
func (c Course) draw(low, high float64) (drawn pageCourse) {
	if len(c) < minStretches {
		return drawn
	}
	place := func(i int, v float64) string {
		x := (float64(i) + .5) / float64(len(c)) * courseWidth
		y := courseHeight - within(low, v, high)*courseHeight
		return " " + strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64)
	}
	var line, over strings.Builder
	under := ""
	for i, s := range c {
		if s.Count == 0 {
			continue
		}
		line.WriteString(place(i, s.Sum/float64(s.Count)))
		over.WriteString(place(i, s.Max))
		under = place(i, s.Min) + under
	}
	return pageCourse{Line: strings.TrimSpace(line.String()), Band: strings.TrimSpace(over.String() + under)}
}

// within returns where v stands between low, 0, and high, 1; the middle, if that cannot be said.
func within(low, v, high float64) float64 {
	// Halves, because high - low may be beyond float64.
	x := (v/2 - low/2) / (high/2 - low/2)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return .5
	}
	return min(max(x, 0), 1)
}
