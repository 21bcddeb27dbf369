package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Ticks are strictly after --from, in the zone of the expression, else in --tz.
func TestScheduleNext(t *testing.T) {
	for _, c := range []struct {
		args []string
		zone string
		want []string
	}{
		{[]string{"30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-07T12:00:00Z", "-n", "2"}, "America/New_York",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{[]string{"*/30 1 * * *", "--tz", "Australia/Lord_Howe", "--from", "2026-04-04T14:59:00Z", "-n", "2"}, "Australia/Lord_Howe",
			[]string{"2026-04-06T01:00:00+10:30", "2026-04-06T01:30:00+10:30"}},
		{[]string{"0 9 * * * Pacific/Apia", "--tz", "Europe/Berlin", "--from", "2011-12-29T19:00:00Z", "-n", "2"}, "Pacific/Apia",
			[]string{"2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"}},
		{[]string{"0 0 29 2 *", "--from", "2096-02-29", "-n", "2"}, "UTC", []string{"2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"}},
		{[]string{"every 40m", "--from", "2026-01-05T09:30:00+01:00", "-n", "2"}, "UTC", []string{"2026-01-05T09:10:00Z", "2026-01-05T09:50:00Z"}},
		{[]string{"0 0 1 1 *", "--from", "2027-01-01T00:00", "-n", "1"}, "UTC", []string{"2028-01-01T00:00:00Z"}},
		{[]string{"H H * * *", "--name", "clean_up", "--from", "2026-01-05", "-n", "1"}, "UTC", []string{"2026-01-05T20:22:00Z"}},
		{[]string{"@reboot"}, "UTC", []string{}},
		{[]string{"0 0 0 1 1 * 2020"}, "UTC", []string{}},
	} {
		got := run(t, "", "", append([]string{"schedule", "next", "--json"}, c.args...)...)
		var answer struct {
			Expression, Explanation, Zone string
			Ticks                         []string
		}
		if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.code != 0 {
			t.Errorf("%q: %+v", c.args, got)
			continue
		}
		if answer.Expression != c.args[0] || answer.Explanation == "" || answer.Zone != c.zone || !slices.Equal(answer.Ticks, c.want) {
			t.Errorf("%q: got %+v, want %q in %s", c.args, answer, c.want, c.zone)
		}
	}
}

func TestScheduleNextForPeople(t *testing.T) {
	got := run(t, "", "", "schedule", "next", "every weekday at noon", "--from", "2026-11-27T13:00", "-n", "2", "--tz", "Asia/Tokyo")
	const want = "at 12:00 on Monday to Friday, Asia/Tokyo time\n2026-11-30T12:00:00+09:00 Mon\n2026-12-01T12:00:00+09:00 Tue\n"
	if got.code != 0 || got.stdout != want || got.stderr != "" {
		t.Errorf("got %+v, want %q", got, want)
	}
}

func TestScheduleNextRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"every tuesdya"}, "did you mean tuesday?"},
		{[]string{"every", "day"}, "put it in quotes"},
		{nil, "EXPRESSION"},
		{[]string{"@daily", "--tz", "europe/berlin"}, "did you mean Europe/Berlin?"},
		{[]string{"@daily", "--tz", "Local"}, "no such time zone"},
		{[]string{"@daily", "--tz", ""}, "no such time zone"},
		{[]string{"TZ=UTC @daily Asia/Tokyo"}, "already names the time zone UTC"},
		{[]string{"@daily", "-n", "0"}, "0 is not from 1 to 10000"},
		{[]string{"@daily", "-n", "many"}, "many"},
		{[]string{"@daily", "--from", "yesterday"}, "is not a time"},
		{[]string{"@daily", "--when", "now"}, "--when"},
	} {
		got := run(t, "", "", append([]string{"schedule", "next"}, c.args...)...)
		if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%q: got %+v, want exit 2 and %q", c.args, got, c.says)
		}
	}
}
