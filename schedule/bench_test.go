package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

// longest takes a search through all years for a tick in one of the last: its lists
// of years leave out few, and those that they have are no leap years.
var longest = "0 30 2 29 2 * " + strings.Repeat("1971-9999/4,1973-9999/4,1974-9999/4,", 3) + "9996"

// BenchmarkLongest parses an expression that takes long, finds its first tick, and
// tells what a step of such a search takes.
func BenchmarkLongest(b *testing.B) {
	e := schedule.MustParse(longest)
	b.Run("Parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := schedule.Parse(longest); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Next", func(b *testing.B) {
		for b.Loop() {
			if _, ok := e.Next(time.Time{}); !ok {
				b.Fatal("no tick was found")
			}
		}
		steps := e.Steps(time.Time{})
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*steps), "ns/step")
		b.ReportMetric(float64(steps), "steps")
	})
}
