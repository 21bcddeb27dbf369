package schedule_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage/schedule"
)

// tickCase is an expression, its canonical form, and its ticks after a time, or
// after a Thursday where none is given. Ticks are written as their zone's clock
// shows them.
type tickCase struct {
	text, canonical string
	from            string
	ticks           string // separated by commas; "none": it has no more
	options         []schedule.Option
}

const (
	thursday = "2026-11-26 13:07:00"
	layout   = "2006-01-02 15:04:05"
)

// check parses the case and compares what it means.
func (c tickCase) check(t *testing.T) {
	t.Helper()
	e, err := schedule.Parse(c.text, c.options...)
	if err != nil {
		t.Error(err)
		return
	}
	if c.canonical != "" && e.String() != c.canonical {
		t.Errorf("%s: canonical form %q, want %q", c.text, e, c.canonical)
	}
	if c.from == "" {
		c.from = thursday
	}
	from, err := time.ParseInLocation(layout, c.from, e.Zone())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(c.ticks, ", ")
	var got []string
	for tick := range e.Ticks(from) {
		got = append(got, tick.Format(layout))
		if len(got) == len(want) {
			break
		}
	}
	if len(got) < len(want) {
		got = append(got, "none")
	}
	for i := range got {
		got[i] = strings.TrimSuffix(got[i], ":00")
	}
	if text := strings.Join(got, ", "); text != c.ticks {
		t.Errorf("%s from %s:\n got %s\nwant %s", c.text, c.from, text, c.ticks)
	}
}

// cronCases are all forms of cron.
var cronCases = []tickCase{
	{text: "30 4 * * *", canonical: "30 4 * * *", ticks: "2026-11-27 04:30, 2026-11-28 04:30"},
	{text: "  30   4\t* * *  ", canonical: "30 4 * * *", ticks: "2026-11-27 04:30"},
	{text: "15 30 4 * * *", ticks: "2026-11-27 04:30:15, 2026-11-28 04:30:15"},
	{text: "*/20 7 13 * * *", ticks: "2026-11-26 13:07:20, 2026-11-26 13:07:40, 2026-11-27 13:07"},
	{text: "0 30 4 1 1 * 2027-2031/2", ticks: "2027-01-01 04:30, 2029-01-01 04:30, 2031-01-01 04:30, none"},
	{text: "0 0 0 1 1 * 2030,2028", ticks: "2028-01-01 00:00, 2030-01-01 00:00, none"},
	{text: "0 0 0 29 2 * 2027-9999", ticks: "2028-02-29 00:00, 2032-02-29 00:00"},
	{text: "0 0 0 1 1 * 2020", ticks: "none"},

	// Numbers, names, ranges, steps, lists.
	{text: "*/15 8-17 * * MON-FRI", canonical: "*/15 8-17 * * 1-5", ticks: "2026-11-26 13:15, 2026-11-26 13:30"},
	{text: "0 22-4 * * *", ticks: "2026-11-26 22:00, 2026-11-26 23:00, 2026-11-27 00:00, 2026-11-27 01:00"},
	{text: "55-5/5 12 * * *", ticks: "2026-11-27 12:00, 2026-11-27 12:05, 2026-11-27 12:55, 2026-11-28 12:00"},
	{text: "0 0 1 nov-feb/2 *", canonical: "0 0 1 11-2/2 *", ticks: "2027-01-01 00:00, 2027-11-01 00:00, 2028-01-01 00:00"},
	{text: "0 0 1 January,sept *", canonical: "0 0 1 1,9 *", ticks: "2027-01-01 00:00, 2027-09-01 00:00"},
	{text: "5/15 * * * *", canonical: "5/15 * * * *", ticks: "2026-11-26 13:20, 2026-11-26 13:35, 2026-11-26 13:50, 2026-11-26 14:05"},
	{text: "7 3/7 * * *", ticks: "2026-11-26 17:07, 2026-11-27 03:07, 2026-11-27 10:07"},
	{text: "0 0 ? * 7", canonical: "0 0 * * 7", ticks: "2026-11-29 00:00, 2026-12-06 00:00"},
	{text: "0 0 * * 5-7", ticks: "2026-11-27 00:00, 2026-11-28 00:00, 2026-11-29 00:00, 2026-12-04 00:00"},
	{text: "0 0 * * sat-mon", ticks: "2026-11-28 00:00, 2026-11-29 00:00, 2026-11-30 00:00, 2026-12-05 00:00"},
	{text: "0 0 * * 7/2", ticks: "2026-11-28 00:00, 2026-11-29 00:00, 2026-12-01 00:00, 2026-12-03 00:00"},
	{text: "0 0 * * 7-2", ticks: "2026-11-29 00:00, 2026-11-30 00:00, 2026-12-01 00:00, 2026-12-06 00:00"},
	{text: "*/90 * * * *", ticks: "2026-11-26 14:00, 2026-11-26 15:00"},

	// The day of the month.
	{text: "0 0 L * *", ticks: "2026-11-30 00:00, 2026-12-31 00:00, 2027-01-31 00:00, 2027-02-28 00:00"},
	{text: "0 0 last * *", canonical: "0 0 L * *", ticks: "2026-11-30 00:00"},
	{text: "0 0 L-2 * *", ticks: "2026-11-28 00:00, 2026-12-29 00:00, 2027-01-29 00:00, 2027-02-26 00:00"},
	{text: "0 0 -1,-2 * *", canonical: "0 0 L,L-1 * *", ticks: "2026-11-29 00:00, 2026-11-30 00:00, 2026-12-30 00:00"},
	{text: "0 0 L-30 * *", ticks: "2026-12-01 00:00, 2027-01-01 00:00, 2027-03-01 00:00"},
	{text: "0 0 25-L * *", canonical: "0 0 25-31 * *", from: "2027-02-26 00:00:00", ticks: "2027-02-27 00:00, 2027-02-28 00:00, 2027-03-25 00:00"},
	{text: "0 0 LW * *", from: "2027-01-01 00:00:00", ticks: "2027-01-29 00:00, 2027-02-26 00:00, 2027-03-31 00:00"},
	{text: "0 0 15W * *", from: "2027-05-01 00:00:00", ticks: "2027-05-14 00:00, 2027-06-15 00:00, 2027-07-15 00:00, 2027-08-16 00:00"},
	{text: "0 0 1W * *", from: "2026-07-15 00:00:00", ticks: "2026-08-03 00:00, 2026-09-01 00:00, 2026-10-01 00:00, 2026-11-02 00:00"},
	{text: "0 0 31W * *", from: "2026-04-01 00:00:00", ticks: "2026-05-29 00:00, 2026-07-31 00:00, 2026-08-31 00:00"},
	{text: "0 0 31 * *", ticks: "2026-12-31 00:00, 2027-01-31 00:00, 2027-03-31 00:00, 2027-05-31 00:00"},

	// The weekday.
	{text: "0 9 * * 1#1", ticks: "2026-12-07 09:00, 2027-01-04 09:00"},
	{text: "0 9 * * mon#1,mon#3", canonical: "0 9 * * 1#1,1#3", ticks: "2026-12-07 09:00, 2026-12-21 09:00, 2027-01-04 09:00"},
	{text: "0 9 * * 5#5", ticks: "2027-01-29 09:00, 2027-04-30 09:00"},
	{text: "0 9 * * FRI#L", canonical: "0 9 * * 5#-1", ticks: "2026-11-27 09:00, 2026-12-25 09:00"},
	{text: "0 9 * * 5L", canonical: "0 9 * * 5#-1", ticks: "2026-11-27 09:00, 2026-12-25 09:00"},
	{text: "0 9 * * friL", canonical: "0 9 * * 5#-1", ticks: "2026-11-27 09:00"},
	{text: "0 9 * * sun#-2", ticks: "2026-12-20 09:00, 2027-01-24 09:00"},

	// Both days: either one, or both on request; cron's rule for a star.
	{text: "0 9 13 * 5", ticks: "2026-11-27 09:00, 2026-12-04 09:00, 2026-12-11 09:00, 2026-12-13 09:00"},
	{text: "0 9 13 * 5&", canonical: "0 9 13 * 5&", ticks: "2027-08-13 09:00, 2028-10-13 09:00"},
	{text: "0 9 13 * 5 &", canonical: "0 9 13 * 5&", ticks: "2027-08-13 09:00"},
	{text: "0 9 13& * 5", canonical: "0 9 13 * 5&", ticks: "2027-08-13 09:00"},
	{text: "0 0 9 13 * 5 & 2028", canonical: "0 0 9 13 * 5& 2028", ticks: "2028-10-13 09:00, none"},
	{text: "0 9 */2 * 1", ticks: "2026-12-07 09:00, 2026-12-21 09:00, 2027-01-11 09:00"},
	{text: "0 9 1-7 * */7", ticks: "2026-12-06 09:00, 2027-01-03 09:00"},

	// Zones.
	{text: "CRON_TZ=Europe/Berlin 0 9 * * *", canonical: "CRON_TZ=Europe/Berlin 0 9 * * *", ticks: "2026-11-27 09:00"},
	{text: "TZ=UTC 0 9 * * * UTC", canonical: "CRON_TZ=UTC 0 9 * * *", ticks: "2026-11-27 09:00"},
	{text: "0 9 * * 1 America/Argentina/Buenos_Aires", ticks: "2026-11-30 09:00"},
	{text: "0 9 * * mon EST5EDT", canonical: "CRON_TZ=EST5EDT 0 9 * * 1", ticks: "2026-11-30 09:00"},
	{text: "@daily Asia/Tokyo", canonical: "CRON_TZ=Asia/Tokyo 0 0 * * *", ticks: "2026-11-27 00:00"},

	// Keywords.
	{text: "@yearly", canonical: "0 0 1 1 *", ticks: "2027-01-01 00:00, 2028-01-01 00:00"},
	{text: "@annually", ticks: "2027-01-01 00:00"},
	{text: "@monthly", ticks: "2026-12-01 00:00"},
	{text: "@weekly", ticks: "2026-11-29 00:00"},
	{text: "@Daily", ticks: "2026-11-27 00:00"},
	{text: "@midnight", ticks: "2026-11-27 00:00"},
	{text: "@noon", ticks: "2026-11-27 12:00"},
	{text: "@hourly", ticks: "2026-11-26 14:00"},
	{text: "@reboot", canonical: "@reboot", ticks: "none"},
	{text: "@every 1h30m", canonical: "every 1h30m", ticks: "2026-11-26 13:30, 2026-11-26 15:00"},

	// Rare days.
	{text: "0 0 29 2 *", from: "2096-02-29 00:00:00", ticks: "2104-02-29 00:00, 2108-02-29 00:00"},
	{text: "0 0 29 2 1&", from: "2096-01-01 00:00:00", ticks: "2112-02-29 00:00, 2140-02-29 00:00"},
	{text: "0 0 29 2 *", from: "9996-02-29 00:00:00", ticks: "none"},
	{text: "59 59 23 31 12 * 9999", ticks: "9999-12-31 23:59:59, none"},
}

func TestCron(t *testing.T) {
	for _, c := range cronCases {
		c.check(t)
	}
}

// Drawn values are constants of a name: they decide when schedules tick, so a
// change here moves every schedule of every user.
func TestDrawnValuesNeverChange(t *testing.T) {
	name := func(name string) []schedule.Option { return []schedule.Option{schedule.Name(name)} }
	for _, c := range []tickCase{
		{text: "H H * * *", ticks: "2026-11-26 15:21, 2026-11-27 15:21"},
		{text: "H H * * *", options: name("nightly report"), ticks: "2026-11-27 04:47, 2026-11-28 04:47"},
		{text: "H H * * *", options: name("clean_up"), ticks: "2026-11-26 20:22, 2026-11-27 20:22"},
		{text: "h(0-29)/10 3 * * *", canonical: "H(0-29)/10 3 * * *", options: name("a"), ticks: "2026-11-27 03:09, 2026-11-27 03:19, 2026-11-27 03:29"},
		{text: "H/15 * * * *", options: name("a"), ticks: "2026-11-26 13:19, 2026-11-26 13:34, 2026-11-26 13:49"},
		{text: "H 0 H * *", options: name("b"), ticks: "2026-12-05 00:27"},
		{text: "H H(1-3) * H H", options: name("c"), ticks: "2027-10-07 03:45"},
		{text: "~ 3 * * *", canonical: "0~59 3 * * *", options: name("a"), ticks: "2026-11-27 03:01, 2026-11-28 03:01"},
		{text: "10~20 3 * * *", options: name("a"), ticks: "2026-11-27 03:17, 2026-11-28 03:17"},
		{text: "0 ~6,20~ * * *", canonical: "0 0~6,20~23 * * *", options: name("a"), ticks: "2026-11-26 22:00, 2026-11-27 02:00"},
	} {
		c.check(t)
	}
}

// TestNamesSpread draws the minute of an hour for many names: each minute gets
// its share, so that no minute is crowded.
func TestNamesSpread(t *testing.T) {
	var minutes [60]int
	const each = 100
	for i := range each * len(minutes) {
		e, err := schedule.Parse("H * * * *", schedule.Name(strings.Repeat("x", i%7)+strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		tick, _ := e.Next(time.Unix(0, 0))
		minutes[tick.Minute()]++
	}
	for minute, n := range minutes {
		if n < each/2 || n > each*2 {
			t.Errorf("minute %d got %d of %d names, a fair share is %d", minute, n, each*len(minutes), each)
		}
	}
}
