package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
)

// mustRun runs the program, which must succeed, and decodes its JSON.
func mustRun(t *testing.T, store string, into any, args ...string) {
	t.Helper()
	got := run(t, store, "", append(args, "--json")...)
	if got.code != 0 {
		t.Fatalf("%q: %+v", args, got)
	}
	if err := json.Unmarshal([]byte(got.stdout), into); err != nil {
		t.Fatalf("%q: %v: %s", args, err, got.stdout)
	}
}

func TestScheduleByHand(t *testing.T) {
	store := newStore(t)
	var s offstage.ScheduleInfo
	mustRun(t, store, &s, "schedule", "add", "nightly", "every day at 4:30", "build_report", `{"days": 1}`, "--tz", "Europe/Berlin",
		"--queue", "low", "--overlap", "skip", "--missed", "all", "--jitter", "5m", "--start", "2030-01-01", "--max-runs", "9", "--tag", "reports")
	if s.Expression != "every day at 04:30" || s.Zone != "Europe/Berlin" || s.Job.Kind != "build_report" || s.Job.Queue != "low" ||
		s.Overlap != offstage.OverlapSkip || s.MaxRuns != 9 || s.Start.UTC().Format("2006-01-02T15:04") != "2029-12-31T23:00" || s.Source != "hand" {
		t.Errorf("added %+v", s)
	}
	var shown shownSchedule
	mustRun(t, store, &shown, "schedule", "show", "nightly")
	if shown.Explanation != "at 04:30 every day, Europe/Berlin time" || len(shown.Ticks) != 5 {
		t.Errorf("shown %+v", shown)
	}
	var edited offstage.ScheduleInfo
	mustRun(t, store, &edited, "schedule", "edit", "nightly", "--expression", "0 5 * * *", "--args", `{"days":2}`, "--max-runs", "0")
	if edited.Expression != "0 5 * * *" || edited.Zone != "Europe/Berlin" || !strings.Contains(string(edited.Job.Args), `"days": 2`) ||
		edited.Overlap != offstage.OverlapSkip || edited.MaxRuns != 0 || len(edited.Tags) != 1 || edited.ID != s.ID {
		t.Errorf("edited %+v", edited)
	}
	var ran struct{ ID offstage.ID }
	mustRun(t, store, &ran, "schedule", "run", "nightly")
	var ticks []shownTick
	mustRun(t, store, &ticks, "schedule", "history", "nightly")
	if len(ticks) != 1 || ticks[0].Job != ran.ID || !ticks[0].Manual || ticks[0].State == nil || *ticks[0].State != offstage.Ready {
		t.Errorf("history %+v of job %d", ticks, ran.ID)
	}
	for verb, want := range map[string]string{"pause": "paused", "resume": "resumed"} {
		if got := run(t, store, "", "schedule", verb, "nightly"); got.code != 0 || got.stdout != "schedule nightly: "+want+"\n" {
			t.Errorf("%s: %+v", verb, got)
		}
	}
	for _, args := range [][]string{{"list"}, {"show", "nightly"}, {"history", "nightly"}} {
		if got := run(t, store, "", append([]string{"schedule"}, args...)...); got.code != 0 || !strings.Contains(got.stdout, "0 5 * * *") && args[0] != "history" {
			t.Errorf("%q: %+v", args, got)
		}
	}
	var all []offstage.ScheduleInfo
	if mustRun(t, store, &all, "schedule", "list"); len(all) != 1 {
		t.Errorf("list %+v", all)
	}
	if got := run(t, store, "", "schedule", "remove", "nightly", "other"); got.code != exitFailed || !strings.Contains(got.stderr, "schedule other: no such schedule") {
		t.Errorf("remove: %+v", got)
	}
	if mustRun(t, store, &all, "schedule", "list"); len(all) != 0 {
		t.Errorf("list after the removal %+v", all)
	}
}

func TestScheduleRefuses(t *testing.T) {
	path := newStore(t)
	store := open(t, path)
	client := offstage.NewClient(store)
	declared := offstage.MustSchedule("declared", schedule.MustParse("CRON_TZ=UTC 0 1 * * *"), offstage.Named("task", 1))
	mine := offstage.MustSchedule("mine", schedule.MustParse("CRON_TZ=UTC 0 1 * * *"), offstage.Named("task", 1))
	if err := client.DeclareSchedules(t.Context(), "shop", declared); err != nil {
		t.Fatal(err)
	}
	if err := client.SaveSchedule(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"add", "a", "every tuesdya", "task"}, exitUsage, "did you mean tuesday?"},
		{[]string{"add", "a", "@daily", "task", "{"}, exitUsage, "not JSON"},
		{[]string{"add", "a b", "@daily", "task"}, exitUsage, "the character ' '"},
		{[]string{"add", "a", "@daily", "task", "--overlap", "never"}, exitUsage, "not one of allow, skip, queue, cancel"},
		{[]string{"add", "a", "@daily", "task", "--tz", "Mars"}, exitUsage, "no such time zone"},
		{[]string{"add", "a", "@daily", "task", "--start", "soon"}, exitUsage, "--start"},
		{[]string{"add", "mine", "@daily", "task"}, exitUsage, "schedule edit"},
		{[]string{"add", "a", "@daily"}, exitUsage, "KIND"},
		{[]string{"edit", "mine", "--tz", "Asia/Tokyo"}, exitUsage, "names its own zone, UTC"},
		{[]string{"edit", "declared", "--priority", "1"}, exitUsage, "belongs to code shop"},
		{[]string{"edit", "other"}, exitFailed, "no such schedule"},
		{[]string{"show", "other"}, exitFailed, "no such schedule"},
		{[]string{"history", "other"}, exitFailed, "no such schedule"},
		{[]string{"run", "other"}, exitFailed, "no such schedule"},
		{[]string{"remove", "declared"}, exitUsage, "remove it there, or pause it"},
		{[]string{"list", "--limit", "0"}, exitUsage, "--limit"},
		{[]string{"shw"}, exitUsage, "did you mean show"},
	} {
		got := run(t, path, "", append([]string{"schedule"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%q: got %+v, want exit %d and %q", c.args, got, c.code, c.says)
		}
	}
}

// A schedule for @reboot is made, shown, imported and exported as others are, and says
// that it has no ticks.
func TestScheduleAtStart(t *testing.T) {
	store := newStore(t)
	var s offstage.ScheduleInfo
	mustRun(t, store, &s, "schedule", "add", "warm", "@reboot", "warm_up")
	if s.Expression != "@reboot" || !s.AtStart() {
		t.Errorf("added %+v", s)
	}
	ruby := writeFile(t, "schedule.rb", "every :reboot do\n  rake \"boot\"\nend\n")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"import", ruby}, "boot"},
		{[]string{"show", "warm"}, "when a worker starts and no other runs"},
		{[]string{"next", "@reboot"}, "when a worker starts and no other runs\nit has no ticks\n"},
		{[]string{"add", "daily", "every day at 4:30", "task"}, "at 04:30 every day, UTC"},
		{[]string{"list"}, "at a start"},
		{[]string{"list"}, " 04:30:00Z"},
		{[]string{"export"}, "@reboot offstage schedule run boot\n30 4 * * * offstage schedule run daily\n@reboot offstage schedule run warm\n"},
	} {
		if got := run(t, store, "", append([]string{"schedule"}, c.args...)...); got.code != 0 || !strings.Contains(got.stdout, c.says) {
			t.Errorf("%q: %+v, want %q", c.args, got, c.says)
		}
	}
}

// A schedule for @reboot is on, though the leader need not look at it.
func TestScheduleState(t *testing.T) {
	for expression, want := range map[string]string{"@reboot": "on", "0 0 0 1 1 * 2020": "over"} {
		s := offstage.ScheduleInfo{Schedule: offstage.Schedule{Expression: expression}}
		if got := scheduleState(&s); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}
