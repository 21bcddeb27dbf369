package schedule_test

import (
	"archive/zip"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

// wallCase is an expression and, written apart from it, the times that it means.
type wallCase struct {
	expression string
	elapsed    bool // its hour field begins with *
	clock      func(hour, minute int) bool
	date       func(month time.Month, day, last int, weekday time.Weekday) bool
}

func everyDate(time.Month, int, int, time.Weekday) bool { return true }

// wallCases are minutes that clock changes skip or repeat in one zone or another.
var wallCases = []wallCase{
	{"30 2 * * *", false, func(h, m int) bool { return h == 2 && m == 30 }, everyDate},
	{"0 0 * * *", false, func(h, m int) bool { return h == 0 && m == 0 }, everyDate},
	{"*/20 1-2 * * *", false, func(h, m int) bool { return (h == 1 || h == 2) && m%20 == 0 }, everyDate},
	{"5,45 0,3,23 * * 6,0", false, func(h, m int) bool { return (m == 5 || m == 45) && (h == 0 || h == 3 || h == 23) },
		func(_ time.Month, _, _ int, w time.Weekday) bool { return w == time.Saturday || w == time.Sunday }},
	{"59 23 L * 5", false, func(h, m int) bool { return h == 23 && m == 59 },
		func(_ time.Month, d, last int, w time.Weekday) bool { return d == last || w == time.Friday }},
	{"0 * * * *", true, func(_, m int) bool { return m == 0 }, everyDate},
	{"30 */6 * * *", true, func(h, m int) bool { return h%6 == 0 && m == 30 }, everyDate},
}

// The ten years hold the day that Apia skipped, and clock changes of each kind:
// by half an hour, by several hours, at midnight, twice within a month.
var (
	tenYearsFrom = time.Date(2011, 7, 1, 0, 0, 0, 0, time.UTC)
	tenYearsTo   = time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC)
)

// TestAllZonesAgainstEveryMinute walks through ten years minute by minute in
// each zone, writes down what its clock shows, derives the ticks by the rule
// alone, and expects Next and Prev to give the same. Zones whose clocks agreed
// in these years count once. With -short only every eighth of these is walked.
func TestAllZonesAgainstEveryMinute(t *testing.T) {
	histories := zoneHistories(t)
	for i, h := range histories {
		if testing.Short() && i%8 != 0 {
			continue
		}
		t.Run(h.names[0], func(t *testing.T) {
			t.Parallel()
			h.check(t)
		})
	}
	zones := 0
	for _, h := range histories {
		zones += len(h.names)
	}
	t.Logf("%d zones with %d histories", zones, len(histories))
}

// history is what one or more zones' clocks did in the ten years.
type history struct {
	names   []string
	zone    *time.Location
	changes []change // in the order of time; the first is the beginning
}

// change is a minute, counted from the beginning, from which an offset holds.
type change struct{ minute, offset int32 }

// zoneHistories looks at all zones that Go knows.
func zoneHistories(t *testing.T) []*history {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	data, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := data.Close(); err != nil {
			t.Error(err)
		}
	}()
	var all []*history
	known := map[string]*history{}
	for _, file := range data.File {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		zone, err := time.LoadLocation(file.Name)
		if err != nil {
			t.Fatal(err)
		}
		h := &history{zone: zone, changes: changesOf(zone)}
		key := fmt.Sprint(h.changes)
		if known[key] == nil {
			known[key] = h
			all = append(all, h)
		}
		known[key].names = append(known[key].names, file.Name)
	}
	if len(all) < 50 {
		t.Fatalf("only %d histories", len(all))
	}
	return all
}

// changesOf finds the clock changes of a zone, from one quarter of a day to the next.
func changesOf(zone *time.Location) []change {
	offsetAt := func(minute int32) int32 {
		_, offset := tenYearsFrom.Add(time.Duration(minute) * time.Minute).In(zone).Zone()
		return int32(offset / 60)
	}
	const step = 360
	changes := []change{{0, offsetAt(0)}}
	for minute := int32(step); minute <= totalMinutes; minute += step {
		last := changes[len(changes)-1].offset
		if offsetAt(minute) == last {
			continue
		}
		before, after := minute-step, minute
		for after-before > 1 {
			if middle := (before + after) / 2; offsetAt(middle) == last {
				before = middle
			} else {
				after = middle
			}
		}
		changes = append(changes, change{after, offsetAt(after)})
	}
	return changes
}

var totalMinutes = int32(tenYearsTo.Sub(tenYearsFrom) / time.Minute)

// margin is left out at both ends of the ten years: a clock that is ahead or
// behind shows other days there.
const margin = 2 * 24 * 60

// check compares each expression's ticks with those of the walk.
func (h *history) check(t *testing.T) {
	clock := h.walk()
	for _, c := range wallCases {
		e, err := schedule.Parse(c.expression, schedule.In(h.zone))
		if err != nil {
			t.Fatal(err)
		}
		want := clock.ticks(c)
		if len(want) < 100 {
			t.Fatalf("%s: the walk found only %d ticks", c.expression, len(want))
		}
		last := tenYearsFrom.Add(margin*time.Minute - time.Second)
		for i, minute := range want {
			tick := tenYearsFrom.Add(time.Duration(minute) * time.Minute)
			got, ok := e.Next(last)
			if !ok || !got.Equal(tick) {
				t.Fatalf("%s in %s: Next(%s) = %s, want %s", c.expression, h.names, last.In(h.zone), got, tick.In(h.zone))
			}
			if i > 0 && i%5 == 0 {
				if got, ok := e.Prev(tick); !ok || !got.Equal(last) {
					t.Fatalf("%s in %s: Prev(%s) = %s, want %s", c.expression, h.names, tick.In(h.zone), got, last.In(h.zone))
				}
			}
			last = tick
		}
	}
}

// walked is what a clock showed, minute by minute, and when it first showed it.
// Readings are counted in minutes from a day before the beginning, as if they
// were UTC.
type walked struct {
	reading []int32 // by minute
	first   []int32 // minute by reading; a skipped one has the first minute after the gap
}

const ahead = 24 * 60

// walk writes down what the clock shows in each minute.
//
//go:norace
func (h *history) walk() *walked {
	w := &walked{reading: make([]int32, totalMinutes), first: make([]int32, totalMinutes+2*ahead)}
	latest := h.changes[0].offset + ahead - 1
	next, offset := 0, int32(0)
	for minute := range totalMinutes {
		if next < len(h.changes) && h.changes[next].minute == minute {
			offset = h.changes[next].offset
			next++
		}
		reading := minute + offset + ahead
		w.reading[minute] = reading
		for latest < reading { // one step, but at a gap more, and in an overlap none
			latest++
			w.first[latest] = minute
		}
	}
	return w
}

// ticks derives a case's ticks by the rule: all minutes whose reading matches
// if it goes by elapsed time, else the first minute of each reading that does.
//
//go:norace
func (w *walked) ticks(c wallCase) []int32 {
	var matching [24 * 60]bool
	for m := range matching {
		matching[m] = c.clock(m/60, m%60)
	}
	days := make([]bool, len(w.first)/len(matching)+1)
	for i := range days {
		day := tenYearsFrom.AddDate(0, 0, i-1)
		last := time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		days[i] = c.date(day.Month(), day.Day(), last, day.Weekday())
	}
	var ticks []int32
	add := func(minute int32) {
		if minute >= margin && minute < totalMinutes-margin && (len(ticks) == 0 || ticks[len(ticks)-1] != minute) {
			ticks = append(ticks, minute)
		}
	}
	if c.elapsed {
		for minute, reading := range w.reading {
			if matching[reading%(24*60)] && days[reading/(24*60)] {
				add(int32(minute))
			}
		}
		return ticks
	}
	for reading, minute := range w.first {
		if matching[reading%(24*60)] && days[reading/(24*60)] {
			add(minute)
		}
	}
	return ticks
}
