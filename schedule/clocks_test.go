package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

// clockChanges are times at which clocks changed in a way that schedulers are known
// to get wrong. Ticks carry their offset: an overlap shows the same time twice.
var clockChanges = []struct{ why, text, zone, from, ticks string }{
	{"New York skips 2:00 to 3:00: the first instant after the gap", "30 2 * * *", "America/New_York", "2026-03-07 03:00",
		"03-08 03:00 -0400, 03-09 02:30 -0400"},
	{"two times in one gap are one tick", "15,45 2 * * *", "America/New_York", "2026-03-07 03:00",
		"03-08 03:00 -0400, 03-09 02:15 -0400"},
	{"a time in the gap and one at its end are one tick", "30 2,3 * * *", "America/New_York", "2026-03-08 00:00",
		"03-08 03:00 -0400, 03-08 03:30 -0400, 03-09 02:30 -0400"},
	{"in the overlap only the first", "30 1 * * *", "America/New_York", "2026-10-31 02:00",
		"11-01 01:30 -0400, 11-02 01:30 -0500"},
	{"by elapsed time both", "30 * * * *", "America/New_York", "2026-11-01 00:00",
		"11-01 00:30 -0400, 11-01 01:30 -0400, 11-01 01:30 -0500, 11-01 02:30 -0500"},
	{"by elapsed time nothing in a gap", "30 * * * *", "America/New_York", "2026-03-08 01:00",
		"03-08 01:30 -0500, 03-08 03:30 -0400"},
	{"by elapsed time also with a step", "0 */2 * * *", "America/New_York", "2026-03-08 00:30",
		"03-08 04:00 -0400, 03-08 06:00 -0400"},
	{"an interval ignores the clock", "every 6h starting 2026-03-07T00:00", "America/New_York", "2026-03-07 17:00",
		"03-07 18:00 -0500, 03-08 00:00 -0500, 03-08 07:00 -0400"},
	{"days are counted on the wall", "every 2 days at 2:30 starting 2026-03-06", "America/New_York", "2026-03-06 03:00",
		"03-08 03:00 -0400, 03-10 02:30 -0400"},

	{"Lord Howe moves by half an hour: 2:00 becomes 2:30", "10 2 * * *", "Australia/Lord_Howe", "2026-10-03 03:00",
		"10-04 02:30 +1100, 10-05 02:10 +1100"},
	{"Lord Howe back: 1:30 to 2:00 comes twice", "*/15 1 * * *", "Australia/Lord_Howe", "2026-04-05 01:20",
		"04-05 01:30 +1100, 04-05 01:45 +1100, 04-06 01:00 +1030"},
	{"Lord Howe by elapsed time", "*/15 * * * *", "Australia/Lord_Howe", "2026-04-05 01:20",
		"04-05 01:30 +1100, 04-05 01:45 +1100, 04-05 01:30 +1030, 04-05 01:45 +1030, 04-05 02:00 +1030"},

	{"Dublin's winter is its summer time, negative: spring", "30 1 * * *", "Europe/Dublin", "2026-03-28 02:00",
		"03-29 02:00 +0100, 03-30 01:30 +0100"},
	{"Dublin's autumn", "30 1 * * *", "Europe/Dublin", "2026-10-24 02:00",
		"10-25 01:30 +0100, 10-26 01:30 +0000"},

	{"São Paulo skipped midnight until 2018", "0 0 * * *", "America/Sao_Paulo", "2018-11-03 01:00",
		"11-04 01:00 -0200, 11-05 00:00 -0200"},
	{"São Paulo had 23:00 twice", "30 23 * * *", "America/Sao_Paulo", "2018-02-16 23:40",
		"02-17 23:30 -0200, 02-18 23:30 -0300"},

	{"Apia skipped 30 December 2011: the next midnight", "0 9 * * *", "Pacific/Apia", "2011-12-29 08:00",
		"12-29 09:00 -1000, 12-31 00:00 +1400, 12-31 09:00 +1400"},
	{"Apia: by elapsed time there was no such day", "0 */6 30 12 *", "Pacific/Apia", "2011-12-29 08:00",
		"12-30 00:00 +1400, 12-30 06:00 +1400"},
	{"Apia: also with midnight's own", "0 0,12 * * *", "Pacific/Apia", "2011-12-29 13:00",
		"12-31 00:00 +1400, 12-31 12:00 +1400, 01-01 00:00 +1400"},
	{"Apia: the skipped day's name", "every friday at 9:00", "Pacific/Apia", "2011-12-24 00:00",
		"12-31 00:00 +1400, 01-06 09:00 +1400"},

	{"leap years by the last day", "0 12 L 2 *", "UTC", "2027-03-01 00:00", "02-29 12:00 +0000, 02-28 12:00 +0000"},
	{"a leap year's last day, after the zone's last known change", "0 12 31 12 *", "Europe/Berlin", "2040-12-31 00:00",
		"12-31 12:00 +0100, 12-31 12:00 +0100"},
}

// TestClockChanges looks at what the rule means there.
func TestClockChanges(t *testing.T) {
	for _, c := range clockChanges {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		e, err := schedule.Parse(c.text, schedule.In(zone))
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.ParseInLocation("2006-01-02 15:04", c.from, zone)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for tick := range e.Ticks(from) {
			got = append(got, tick.Format("01-02 15:04 -0700"))
			if len(got) == strings.Count(c.ticks, ",")+1 {
				break
			}
		}
		if text := strings.Join(got, ", "); text != c.ticks {
			t.Errorf("%s: %s in %s\n got %s\nwant %s", c.why, c.text, c.zone, text, c.ticks)
		}
	}
}

// Ticks before the years of time zones, and at both ends of time.
func TestEndsOfTime(t *testing.T) {
	e, err := schedule.Parse("0 0 1 1 * Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, next, prev string }{
		{"0001-01-01 00:00:00", "0002-01-01 00:00:00", ""},
		{"0000-06-01 00:00:00", "0002-01-01 00:00:00", ""},
		{"9999-12-30 00:00:00", "", "9999-01-01 00:00:00"},
	} {
		from, err := time.ParseInLocation(layout, c.from, e.Zone())
		if err != nil {
			t.Fatal(err)
		}
		next, ok := e.Next(from)
		if got := next.Format(layout); ok != (c.next != "") || ok && got != c.next {
			t.Errorf("after %s: %s, %t, want %q", c.from, got, ok, c.next)
		}
		prev, ok := e.Prev(from)
		if got := prev.Format(layout); ok != (c.prev != "") || ok && got != c.prev {
			t.Errorf("before %s: %s, %t, want %q", c.from, got, ok, c.prev)
		}
	}
	for _, far := range []time.Time{time.Unix(-1<<60, 0), time.Unix(1<<60, 0), {}} {
		next, hasNext := e.Next(far)
		prev, hasPrev := e.Prev(far)
		if hasNext && hasPrev || hasNext && !next.After(far) || hasPrev && !prev.Before(far) {
			t.Errorf("at second %d: next %s, prev %s", far.Unix(), next, prev)
		}
	}
}
