package worker

import (
	"slices"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
)

const (
	ticksPerChange = 100         // of one schedule; what is left comes at once afterwards
	problemWait    = time.Minute // until an expression that is not understood is read again
)

// decide says what becomes of a schedule's ticks up to now, by the store's clock:
// which enqueue, which are passed over, and when it is to be looked at again. It
// is a pure function: two leaders that have read the same decide the same, and
// the store takes one of them.
func decide(s offstage.ScheduleInfo, now time.Time) offstage.ScheduleChange {
	e, err := ExpressionOf(&s)
	if err != nil {
		s.Problem, s.LookAt = err.Error(), now.Add(problemWait)
		return offstage.ScheduleChange{Schedule: s}
	}
	s.Problem = ""
	after := s.Since
	if !s.Start.IsZero() {
		after = latest(after, s.Start.Add(-1))
	}
	spans := append(owed(&s), span{e, latest(after, s.LastTick), now})
	d := decision{now: now, cut: now.Add(-offstage.OnTime)}
	d.Schedule = s
	for _, at := range d.missed(spans) {
		d.tick(at, true)
	}
	for _, sp := range spans {
		for at := range sp.expression.Ticks(latest(sp.after, d.Schedule.LastTick, d.cut.Add(-1))) {
			if at.After(sp.until) || d.over(at) || d.full() {
				break
			}
			d.tick(at, true)
		}
	}
	d.lookAgain(e, after)
	return d.ScheduleChange
}

// span is a time whose ticks are to be decided about.
type span struct {
	expression   *schedule.Expression
	after, until time.Time // not at after, but at until
}

// owed returns the times before changes of a schedule. One whose expression is no
// longer understood has no ticks.
func owed(s *offstage.ScheduleInfo) (spans []span) {
	for _, o := range s.Owed {
		former := *s
		former.Expression, former.Zone, former.Anchor = o.Expression, o.Zone, o.Anchor
		if e, err := ExpressionOf(&former); err == nil {
			spans = append(spans, span{e, latest(o.After, s.LastTick), o.Until})
		}
	}
	return spans
}

// ExpressionOf parses a schedule's expression as a worker does: in the schedule's zone,
// from its anchor, or else from when it was made, and drawn from its name. So it
// tells the ticks that the schedule has, policies and limits aside. An error is
// always a [*schedule.ParseError].
func ExpressionOf(s *offstage.ScheduleInfo) (*schedule.Expression, error) {
	zone, err := schedule.Zone(s.Zone)
	if err != nil {
		return nil, err
	}
	anchor := s.Anchor
	if anchor.IsZero() {
		anchor = s.CreatedAt
	}
	return schedule.Parse(s.Expression, schedule.In(zone), schedule.Anchor(anchor), schedule.Name(s.Name))
}

// decision is the change of one schedule while it is being made.
type decision struct {
	offstage.ScheduleChange
	now time.Time
	cut time.Time // ticks before it are missed
}

// tick decides about a tick, which enqueues or is passed over.
func (d *decision) tick(at time.Time, enqueue bool) {
	s := &d.Schedule
	late := at.Before(d.cut)
	tick := offstage.NewTick{At: at, Late: late}
	if enqueue {
		tick.Job = s.TickOf(offstage.Tick{At: at, Previous: s.LastRun, Late: late})
		s.LastRun = at
		s.Runs++
	}
	s.LastTick = at
	d.Ticks = append(d.Ticks, tick)
}

// full reports whether the change has as many ticks as it may.
func (d *decision) full() bool { return len(d.Ticks) >= ticksPerChange }

// over reports whether the schedule has ended before a tick.
func (d *decision) over(at time.Time) bool {
	s := &d.Schedule
	return !s.End.IsZero() && at.After(s.End) || s.MaxRuns > 0 && s.Runs >= s.MaxRuns
}

// madeUp reports whether a missed tick is young enough to be made up for.
func (d *decision) madeUp(at time.Time) bool {
	s := &d.Schedule
	return s.Missed != offstage.MissedSkip && (s.MissedWindow == 0 || !at.Before(d.now.Add(-s.MissedWindow)))
}

// missed returns the missed ticks that are made up for, as many as the change has
// room for. If there are missed ones and none is made up for, the latest is passed
// over.
func (d *decision) missed(spans []span) []time.Time {
	s := &d.Schedule
	most, room := 1, ticksPerChange
	if s.Missed == offstage.MissedAll {
		most = offstage.MaxMissed
	}
	if s.MaxRuns > 0 {
		room = int(min(max(s.MaxRuns-s.Runs, 0), ticksPerChange))
	}
	var ticks []time.Time
	var over time.Time // the latest that is not made up for
	for _, sp := range slices.Backward(spans) {
		before := d.cut
		if until := sp.until.Add(1); until.Before(before) {
			before = until
		}
		if end := s.End.Add(1); !s.End.IsZero() && end.Before(before) {
			before = end
		}
		for at, ok := sp.expression.Prev(before); ok && at.After(sp.after) && len(ticks) < most; at, ok = sp.expression.Prev(at) {
			if !d.madeUp(at) {
				over = latest(over, at)
				break
			}
			ticks = append(ticks, at)
		}
	}
	if len(ticks) == 0 && !over.IsZero() && room > 0 {
		d.tick(over, false)
	}
	slices.Reverse(ticks)
	return ticks[:min(len(ticks), room)]
}

// lookAgain says when the schedule is to be looked at next: at once if ticks are
// left, else at its next tick.
func (d *decision) lookAgain(e *schedule.Expression, after time.Time) {
	s := &d.Schedule
	s.NextTick, s.LookAt = time.Time{}, time.Time{}
	from := latest(after, s.LastTick)
	if !d.full() {
		from = latest(from, d.now)
	}
	var left []offstage.Owed
	for _, o := range s.Owed {
		if d.full() && o.Until.After(s.LastTick) {
			left = append(left, o)
		}
	}
	s.Owed = left
	next, ok := e.Next(from)
	if ok && !d.over(next) {
		s.NextTick, s.LookAt = next, next
	}
	if len(left) > 0 || !s.LookAt.IsZero() && !next.After(d.now) {
		s.LookAt = d.now
	}
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
