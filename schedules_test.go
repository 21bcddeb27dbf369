package offstage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/schedule"
)

// report is the kind of the jobs that these schedules enqueue.
type report struct {
	Day string `json:"day"`
}

func (report) Kind() string { return "build_report" }

func TestNewScheduleRefuses(t *testing.T) {
	daily := schedule.MustParse("@daily")
	unique := offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip})
	for field, make := range map[string]func() (offstage.Schedule, error){
		"when":     func() (offstage.Schedule, error) { return offstage.NewSchedule("s", nil, report{}) },
		"args":     func() (offstage.Schedule, error) { return offstage.NewSchedule("s", daily, nil) },
		"schedule": func() (offstage.Schedule, error) { return offstage.NewSchedule("no spaces", daily, report{}) },
		"queue": func() (offstage.Schedule, error) {
			return offstage.NewSchedule("s", daily, report{}, offstage.InQueue(""))
		},
		"unique": func() (offstage.Schedule, error) { return offstage.NewSchedule("s", daily, report{}, unique) },
		"run at": func() (offstage.Schedule, error) {
			return offstage.NewSchedule("s", daily, report{}, offstage.After(1))
		},
		"max attempts": func() (offstage.Schedule, error) {
			return offstage.NewSchedule("s", daily, report{}, offstage.MaxAttempts(0))
		},
		"expression": func() (offstage.Schedule, error) {
			return offstage.NewSchedule("s", never{}, report{})
		},
		"zone": func() (offstage.Schedule, error) {
			return offstage.NewSchedule("s", schedule.MustParse("@daily", schedule.In(time.FixedZone("CET", 3600))), report{})
		},
	} {
		_, err := make()
		var invalid *offstage.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestScheduleCheck(t *testing.T) {
	for says, set := range map[string]func(*offstage.Schedule){
		"not one of once, skip, all":             func(s *offstage.Schedule) { s.Missed = "never" },
		"not one of allow, skip, queue, cancel":  func(s *offstage.Schedule) { s.Overlap = "never" },
		"missed window: -1ns is not":             func(s *offstage.Schedule) { s.MissedWindow = -1 },
		"jitter: 25h0m0s is not from 0 to 24":    func(s *offstage.Schedule) { s.Jitter = 25 * time.Hour },
		"max runs: -1 is negative":               func(s *offstage.Schedule) { s.MaxRuns = -1 },
		"end: it is before the start":            func(s *offstage.Schedule) { s.Start = time.Unix(10, 0); s.End = time.Unix(9, 0) },
		"the year 10000 is not":                  func(s *offstage.Schedule) { s.Anchor = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"tags: 21 tags are more than":            func(s *offstage.Schedule) { s.Tags = strings.Split(strings.Repeat("x,", 20)+"x", ",") },
		"description":                            func(s *offstage.Schedule) { s.Description = strings.Repeat("x", 1001) },
		`zone: "Local" is not`:                   func(s *offstage.Schedule) { s.Zone = "Local" },
		"expression: it has 0 bytes":             func(s *offstage.Schedule) { s.Expression = "" },
		"priority: 10 is not from 0 (first) to ": func(s *offstage.Schedule) { s.Job.Priority = 10 },
	} {
		s := offstage.MustSchedule("s", schedule.MustParse("@daily"), report{})
		set(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

// A name belongs to the one who made the schedule, until it leaves.
func TestScheduleOwners(t *testing.T) {
	client := offstage.NewClient(offstagetest.NewStore())
	s := offstage.MustSchedule("nightly", schedule.MustParse("@daily"), report{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(err error, says string) {
		t.Helper()
		var invalid *offstage.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
	must(client.SaveSchedule(t.Context(), s))
	refused(client.DeclareSchedules(t.Context(), "shop", s), `"nightly" belongs to hand`)
	must(client.RemoveSchedule(t.Context(), "nightly"))
	must(client.DeclareSchedules(t.Context(), "shop", s))
	refused(client.SaveSchedule(t.Context(), s), `"nightly" belongs to code shop`)
	refused(client.RemoveSchedule(t.Context(), "nightly"), "remove it there, or pause it")
	refused(client.DeclareSchedules(t.Context(), "blog", s), `"nightly" belongs to code shop`)
	refused(client.DeclareSchedules(t.Context(), "shop", s, s), "declared twice")
	must(client.PauseSchedule(t.Context(), "nightly"))
	must(client.DeclareSchedules(t.Context(), "shop", s)) // a deploy does not resume it
	if got, err := client.Schedule(t.Context(), "nightly"); err != nil || !got.Paused || !got.LookAt.IsZero() {
		t.Errorf("after a deploy: %+v, %v", got, err)
	}
	must(client.DeclareSchedules(t.Context(), "blog")) // another program's business
	must(client.DeclareSchedules(t.Context(), "shop"))
	must(client.DeclareSchedules(t.Context(), "blog", s)) // it moved there
	if got, err := client.Schedule(t.Context(), "nightly"); err != nil || got.Owner != "blog" || !got.LeftAt.IsZero() {
		t.Errorf("after it moved: %+v, %v", got, err)
	}
	for _, err := range []error{
		client.PauseSchedule(t.Context(), "other"), client.ResumeSchedule(t.Context(), "other"), client.RemoveSchedule(t.Context(), "other"),
	} {
		if !errors.Is(err, offstage.ErrNoSchedule) {
			t.Errorf("of one that is not there: %v", err)
		}
	}
}

// Jitter is drawn from the tick: it stays what it is, and spreads.
func TestJitter(t *testing.T) {
	s := offstage.ScheduleInfo{Schedule: offstage.MustSchedule("nightly", schedule.MustParse("@daily"), report{})}
	s.Jitter = time.Hour
	early, late := 0, 0
	for day := range 100 {
		at := time.Date(2026, 1, 1+day, 0, 0, 0, 0, time.UTC)
		first, again := s.TickOf(offstage.Tick{At: at}), s.TickOf(offstage.Tick{At: at.In(time.FixedZone("", 3600))})
		by := first.RunAt.Sub(at)
		if !first.RunAt.Equal(again.RunAt) || by < 0 || by >= time.Hour {
			t.Fatalf("day %d starts %s late, then %s", day, by, again.RunAt.Sub(at))
		}
		if by < 30*time.Minute {
			early++
		} else {
			late++
		}
		if byHand := s.TickOf(offstage.Tick{At: at, Manual: true}); !byHand.RunAt.Equal(at) {
			t.Fatalf("by hand it starts at %s", byHand.RunAt)
		}
	}
	if early < 30 || late < 30 {
		t.Errorf("%d in the first half, %d in the second", early, late)
	}
}

func ExampleClient_SaveSchedule() {
	ctx := context.Background()
	client := offstage.NewClient(offstagetest.NewStore())
	when, err := schedule.Parse("every weekday at 4:30 in Europe/Berlin")
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := offstage.NewSchedule("nightly_report", when, report{}, offstage.InQueue("low_priority"))
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Overlap = offstage.OverlapSkip // not while yesterday's still runs
	if err := client.SaveSchedule(ctx, s); err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := client.RunSchedule(ctx, "nightly_report") // now, beside its ticks
	if err != nil {
		fmt.Println(err)
		return
	}
	history, err := client.ScheduleHistory(ctx, "nightly_report", time.Time{}, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, tick := range history {
		fmt.Println(tick.Outcome, tick.Job == receipt.ID, tick.State, tick.Manual)
	}
	// Output: enqueued true ready true
}

// never is an expression that is never due.
type never struct{}

func (never) String() string                           { return "never" }
func (never) Zone() *time.Location                     { return time.UTC }
func (never) Next(time.Time) (tick time.Time, ok bool) { return time.Time{}, false }
