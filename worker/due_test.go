package worker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

const clockLayout = "01-02 15:04:05"

func at(t *testing.T, text string) time.Time {
	t.Helper()
	when, err := time.Parse("2006-01-02 15:04:05", "2026-"+text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// said writes a decision in one line: ticks that enqueue, late ones, those passed
// over, and the next look.
func said(change offstage.ScheduleChange) string {
	var b strings.Builder
	for _, tick := range change.Ticks {
		switch {
		case tick.Job == nil:
			b.WriteString("over ")
		case tick.Late:
			b.WriteString("late ")
		}
		b.WriteString(tick.At.UTC().Format(clockLayout) + ", ")
	}
	if change.Schedule.LookAt.IsZero() {
		return b.String() + "never again"
	}
	return b.String() + "then " + change.Schedule.LookAt.UTC().Format(clockLayout)
}

// decided is what is to be decided about a schedule.
type decided struct {
	name, expression, since, now, want string
	set                                func(*offstage.ScheduleInfo)
}

func (c decided) check(t *testing.T) {
	t.Helper()
	s := offstage.ScheduleInfo{Schedule: offstage.Schedule{Name: "s", Expression: c.expression, Zone: "UTC"}, Since: at(t, c.since)}
	s.CreatedAt = s.Since
	if c.set != nil {
		c.set(&s)
	}
	if got := said(decide(s, at(t, c.now))); got != c.want {
		t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
	}
}

func TestDecide(t *testing.T) {
	for _, c := range []decided{
		{"new", "0 * * * *", "01-05 09:00:00", "01-05 09:00:00", "then 01-05 10:00:00", nil},
		{"due", "0 * * * *", "01-05 09:00:00", "01-05 10:00:00", "01-05 10:00:00, then 01-05 11:00:00", nil},
		{"a moment late", "0 * * * *", "01-05 09:30:00", "01-05 10:00:59", "01-05 10:00:00, then 01-05 11:00:00", nil},
		{"several in time", "*/20 * * * * *", "01-05 09:00:00", "01-05 09:00:50", "01-05 09:00:20, 01-05 09:00:40, then 01-05 09:01:00", nil},
		{"not again", "0 * * * *", "01-05 09:00:00", "01-05 10:00:30", "then 01-05 11:00:00",
			func(s *offstage.ScheduleInfo) { s.LastTick = s.Since.Add(time.Hour) }},
		{"a clock that goes back", "0 * * * *", "01-05 09:00:00", "01-05 09:30:00", "then 01-05 11:00:00",
			func(s *offstage.ScheduleInfo) { s.LastTick = s.Since.Add(time.Hour) }},
		{"an interval counts from when it was made", "every 40m", "01-05 09:07:00", "01-05 09:47:00", "01-05 09:47:00, then 01-05 10:27:00", nil},
		{"an interval with an anchor", "every 40m", "01-05 09:07:00", "01-05 09:40:05", "01-05 09:40:00, then 01-05 10:20:00",
			func(s *offstage.ScheduleInfo) { s.Anchor = s.Since.Truncate(time.Hour).Add(-80 * time.Minute) }},

		{"missed once", "0 * * * *", "01-05 09:00:00", "01-05 13:30:00", "late 01-05 13:00:00, then 01-05 14:00:00", nil},
		{"missed and in time", "0 * * * *", "01-05 09:00:00", "01-05 13:00:10", "late 01-05 12:00:00, 01-05 13:00:00, then 01-05 14:00:00", nil},
		{"missed skip", "0 * * * *", "01-05 09:00:00", "01-05 13:00:10", "over 01-05 12:00:00, 01-05 13:00:00, then 01-05 14:00:00",
			func(s *offstage.ScheduleInfo) { s.Missed = offstage.MissedSkip }},
		{"missed all", "0 * * * *", "01-05 09:00:00", "01-05 12:30:00", "late 01-05 10:00:00, late 01-05 11:00:00, late 01-05 12:00:00, then 01-05 13:00:00",
			func(s *offstage.ScheduleInfo) { s.Missed = offstage.MissedAll }},
		{"missed all in a window", "0 * * * *", "01-05 09:00:00", "01-05 12:30:00", "late 01-05 12:00:00, then 01-05 13:00:00",
			func(s *offstage.ScheduleInfo) { s.Missed, s.MissedWindow = offstage.MissedAll, time.Hour }},
		{"missed before the window", "0 9 * * *", "01-05 10:00:00", "01-07 08:00:00", "over 01-06 09:00:00, then 01-07 09:00:00",
			func(s *offstage.ScheduleInfo) { s.MissedWindow = time.Hour }},

		{"not before the start", "0 * * * *", "01-05 09:00:00", "01-05 10:00:00", "then 01-05 12:00:00",
			func(s *offstage.ScheduleInfo) { s.Start = s.Since.Add(3 * time.Hour) }},
		{"at the start", "0 * * * *", "01-05 09:00:00", "01-05 12:00:00", "01-05 12:00:00, then 01-05 13:00:00",
			func(s *offstage.ScheduleInfo) { s.Start = s.Since.Add(3 * time.Hour) }},
		{"at the end", "0 * * * *", "01-05 09:00:00", "01-05 10:00:00", "01-05 10:00:00, never again",
			func(s *offstage.ScheduleInfo) { s.End = s.Since.Add(time.Hour) }},
		{"after the end", "0 * * * *", "01-05 09:00:00", "01-05 13:30:00", "late 01-05 10:00:00, never again",
			func(s *offstage.ScheduleInfo) { s.End = s.Since.Add(time.Hour) }},
		{"the last run", "0 * * * *", "01-05 09:00:00", "01-05 10:00:00", "01-05 10:00:00, never again",
			func(s *offstage.ScheduleInfo) { s.MaxRuns, s.Runs = 5, 4 }},
		{"no run left of the missed", "0 * * * *", "01-05 09:00:00", "01-05 13:30:00", "late 01-05 10:00:00, late 01-05 11:00:00, never again",
			func(s *offstage.ScheduleInfo) { s.Missed, s.MaxRuns = offstage.MissedAll, 2 }},

		{"no more ticks", "0 0 0 1 1 * 2020", "01-05 10:00:00", "01-05 10:20:00", "never again", nil},
	} {
		c.check(t)
	}
}

// What a schedule owes from before a change is decided about with what came after.
func TestDecideWhatIsOwed(t *testing.T) {
	for _, c := range []decided{
		{"owed by the former expression", "30 * * * *", "01-05 10:00:02", "01-05 10:00:03", "01-05 10:00:00, then 01-05 10:30:00", owes("0 * * * *", time.Hour)},
		{"owed and seen", "30 * * * *", "01-05 10:00:02", "01-05 10:00:03", "then 01-05 10:30:00",
			func(s *offstage.ScheduleInfo) {
				owes("0 * * * *", time.Hour)(s)
				s.LastTick = s.Since.Truncate(time.Hour)
			}},
		{"owed too long", "30 * * * *", "01-05 10:00:02", "01-05 10:20:00", "over 01-05 10:00:00, then 01-05 10:30:00",
			func(s *offstage.ScheduleInfo) { owes("0 * * * *", time.Hour)(s); s.Missed = offstage.MissedSkip }},
		{"all owed", "30 * * * *", "01-05 10:00:02", "01-05 10:40:00", "late 01-05 08:00:00, late 01-05 09:00:00, late 01-05 10:00:00, late 01-05 10:30:00, then 01-05 11:30:00",
			func(s *offstage.ScheduleInfo) { owes("0 * * * *", 150*time.Minute)(s); s.Missed = offstage.MissedAll }},
		{"owed in a window", "30 * * * *", "01-05 10:00:02", "01-05 10:40:00", "late 01-05 09:00:00, late 01-05 10:00:00, late 01-05 10:30:00, then 01-05 11:30:00",
			func(s *offstage.ScheduleInfo) {
				owes("0 * * * *", 150*time.Minute)(s)
				s.Missed, s.MissedWindow = offstage.MissedAll, 2*time.Hour
			}},
		{"owed and missed once", "30 * * * *", "01-05 10:00:02", "01-05 10:40:00", "late 01-05 10:30:00, then 01-05 11:30:00", owes("0 * * * *", 150*time.Minute)},
		{"owed once", "30 * * * *", "01-05 10:00:02", "01-05 10:20:00", "late 01-05 10:00:00, then 01-05 10:30:00", owes("0 * * * *", 150*time.Minute)},
		{"owed by what is not understood", "30 * * * *", "01-05 10:00:02", "01-05 10:20:00", "then 01-05 10:30:00", owes("every full moon", time.Hour)},
		{"owed and no more ticks", "0 0 0 1 1 * 2020", "01-05 10:00:02", "01-05 10:00:20", "01-05 10:00:00, never again", owes("0 * * * *", time.Hour)},
	} {
		c.check(t)
	}
}

// owes makes a schedule owe what an expression had in the time before its change.
func owes(expression string, before time.Duration) func(*offstage.ScheduleInfo) {
	return func(s *offstage.ScheduleInfo) {
		s.Owed = append(s.Owed, offstage.Owed{Expression: expression, Zone: "UTC", Anchor: s.Since, After: s.Since.Add(-before), Until: s.Since})
	}
}

// What is owed comes some at a time, too, and each tick once, in order.
func TestDecideWhatIsOwedInPages(t *testing.T) {
	s := offstage.ScheduleInfo{Schedule: offstage.Schedule{Name: "s", Expression: "*/10 * * * * *", Zone: "UTC", Missed: offstage.MissedAll}, Since: at(t, "01-05 09:00:00")}
	owes("* * * * * *", 150*time.Second)(&s)
	now := at(t, "01-05 09:10:00")
	var got []time.Time
	for range 10 {
		change := decide(s, now)
		for _, tick := range change.Ticks {
			got = append(got, tick.At)
		}
		if s = change.Schedule; s.LookAt.After(now) {
			break
		}
	}
	if len(got) != 150+60 || len(s.Owed) != 0 {
		t.Fatalf("%d ticks, and %v is owed", len(got), s.Owed)
	}
	for i, tick := range got[1:] {
		if !tick.After(got[i]) {
			t.Errorf("%s follows %s", tick, got[i])
		}
	}
}

// The latest MaxMissed ticks are made up for, some at a time, and none twice.
func TestDecideInPages(t *testing.T) {
	s := offstage.ScheduleInfo{Schedule: offstage.Schedule{Name: "s", Expression: "* * * * * *", Zone: "UTC", Missed: offstage.MissedAll}, Since: at(t, "01-05 09:00:00")}
	now := at(t, "01-05 10:00:00")
	var got []time.Time
	for range 100 {
		change := decide(s, now)
		for _, tick := range change.Ticks {
			got = append(got, tick.At)
		}
		if s = change.Schedule; s.LookAt.After(now) {
			break
		}
	}
	if want := offstage.MaxMissed + 61; len(got) != want { // and those of the last minute
		t.Fatalf("%d ticks, want %d", len(got), want)
	}
	for i, tick := range got {
		if want := now.Add(time.Duration(i+1-len(got)) * time.Second); !tick.Equal(want) {
			t.Fatalf("tick %d is %s, want %s", i, tick, want)
		}
	}
}

func TestAnExpressionThatIsNotUnderstoodIsLookedAtAgain(t *testing.T) {
	s := offstage.ScheduleInfo{Schedule: offstage.Schedule{Name: "s", Expression: "every full moon", Zone: "UTC"}, Since: at(t, "01-05 09:00:00")}
	now := at(t, "01-05 10:00:00")
	change := decide(s, now)
	if change.Schedule.Problem == "" || len(change.Ticks) > 0 || !change.Schedule.LookAt.Equal(now.Add(problemWait)) {
		t.Errorf("decided %+v", change)
	}
	change.Schedule.Expression = "0 * * * *"
	if got := said(decide(change.Schedule, now)); got != "late 01-05 10:00:00, then 01-05 11:00:00" && got != "01-05 10:00:00, then 01-05 11:00:00" {
		t.Errorf("understood again: %s", got)
	}
}

// yearly are the schedules of a virtual year.
var yearly = map[string]string{
	"quarterly": "*/15 * * * *", "odd": "every 41m",
	"daily": "30 2 * * * America/New_York", "monthly": "first monday of the month at 9:00",
}

// leaders decide about the schedules of a store, each by turns.
type leaders struct {
	*testing.T
	store    *offstagetest.Store
	begin    time.Time
	enqueued map[string]int            // by schedule and tick
	stale    []offstage.ScheduleChange // what a leader decided that then was held up
}

func newLeaders(t *testing.T) *leaders {
	l := &leaders{T: t, store: offstagetest.NewStore(), begin: time.Now(), enqueued: map[string]int{}}
	for name, expression := range yearly {
		s := offstage.ScheduleInfo{Schedule: offstage.Schedule{
			Name: name, Expression: expression, Zone: "UTC", Missed: offstage.MissedAll,
			Job: offstage.TickJob{Kind: "task", Queue: "default", Args: []byte("{}")},
		}, CreatedAt: l.begin, Since: l.begin, LookAt: l.begin}
		l.change([]offstage.ScheduleChange{{Schedule: s}})
	}
	return l
}

// decide reads what is due.
func (l *leaders) decide() (changes []offstage.ScheduleChange) {
	page, err := l.store.FindSchedules(l.Context(), offstage.ScheduleQuery{Due: true, Limit: 10})
	if err != nil {
		l.Fatal(err)
	}
	for _, s := range page.Schedules {
		changes = append(changes, decide(s, page.Now))
	}
	return changes
}

// change asks the store, and notes which ticks were enqueued.
func (l *leaders) change(changes []offstage.ScheduleChange) {
	changed, err := l.store.ChangeSchedules(l.Context(), changes)
	if err != nil {
		l.Fatal(err)
	}
	for i, c := range changed {
		for _, tick := range changes[i].Ticks {
			if c.Counted {
				l.enqueued[changes[i].Schedule.Name+" "+tick.At.UTC().String()]++
			}
		}
	}
}

// check expects each tick of the expressions once.
func (l *leaders) check() {
	want := 0
	for name, expression := range yearly {
		e, err := ExpressionOf(&offstage.ScheduleInfo{Schedule: offstage.Schedule{Name: name, Expression: expression, Zone: "UTC"}, CreatedAt: l.begin})
		if err != nil {
			l.Fatal(err)
		}
		for tick := range e.Ticks(l.begin) {
			if !tick.Before(time.Now().Add(-time.Hour)) {
				break
			}
			want++
			if n := l.enqueued[name+" "+tick.UTC().String()]; n != 1 {
				l.Fatalf("%s was enqueued %d times at %s", name, n, tick)
			}
		}
	}
	if want < 40_000 || len(l.enqueued) > want+10 {
		l.Errorf("%d ticks were enqueued, of %d", len(l.enqueued), want)
	}
}

// TestAYearOfDyingLeaders lets three leaders decide about the same schedules for
// a virtual year. At each hour the one that leads dies between two of its steps,
// before or after the store has done what it asked, and another goes on with
// what it read before. Every tick is enqueued once.
func TestAYearOfDyingLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeaders(t)
		for hour := range 365 * 24 {
			for end := l.begin.Add(time.Duration(hour+1) * time.Hour); time.Now().Before(end); {
				changes := l.decide()
				switch hour % 3 {
				case 0: // it dies before it asks; what it decided comes later all the same
					l.change(l.stale)
					l.stale = changes
				case 1: // the answer is lost, and another does it again
					l.change(changes)
					l.change(changes)
				default: // two decide at once
					l.change(changes)
					l.change(l.stale)
				}
				if hour%3 == 0 || len(changes) == 0 {
					<-time.After(3 * time.Minute)
				}
			}
		}
		l.check()
	})
}
