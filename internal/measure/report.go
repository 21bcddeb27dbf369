//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// report prints figures as they come, and counts those that miss their limits.
type report struct{ missed int }

// say prints a figure that has no limit.
func (r *report) say(what, format string, args ...any) {
	fmt.Printf("        %-44s %s\n", what, fmt.Sprintf(format, args...))
}

// hold prints a figure, and whether it keeps its limit.
func (r *report) hold(kept bool, what, limit, format string, args ...any) {
	mark := "ok"
	if !kept {
		mark = "MISSED"
		r.missed++
	}
	fmt.Printf("%-7s %-44s %s  (limit: %s)\n", mark, what, fmt.Sprintf(format, args...), limit)
}

// atMost holds the greatest of some times to a limit.
func (r *report) atMost(what string, times []time.Duration, limit time.Duration) {
	if len(times) == 0 {
		r.hold(false, what, limit.String(), "none was seen")
		return
	}
	r.hold(slices.Max(times) <= limit, what, limit.String(), "%s", spread(times))
}

// equal holds a count to the one value that it may have.
func (r *report) equal(what string, got, want int) {
	r.hold(got == want, what, fmt.Sprint(want), "%d", got)
}

// spread describes times: the median, the 99th percentile and the greatest.
func spread(times []time.Duration) string {
	return fmt.Sprintf("p50 %s, p99 %s, max %s, n %d",
		short(percentile(times, 50)), short(percentile(times, 99)), short(percentile(times, 100)), len(times))
}

func short(d time.Duration) time.Duration { return d.Round(max(d/1000, time.Microsecond)) }

// percentile returns the time which so many of a hundred do not exceed.
func percentile(times []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[max((len(sorted)*p+99)/100-1, 0)]
}

func total(times []time.Duration) (sum time.Duration) {
	for _, d := range times {
		sum += d
	}
	return sum
}
