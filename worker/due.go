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
	e, err := expressionOf(&s)
	if err != nil {
		s.Problem, s.LookAt = err.Error(), now.Add(problemWait)
		return offstage.ScheduleChange{Schedule: s}
	}
	s.Problem = ""
	d := decision{expression: e, now: now, cut: now.Add(-offstage.OnTime)}
	d.Schedule = s
	d.owed()
	after := latest(s.Since, s.LastTick)
	if !s.Start.IsZero() {
		after = latest(after, s.Start.Add(-1))
	}
	for _, at := range d.missed(after) {
		d.tick(at, true)
	}
	from := latest(after, d.Schedule.LastTick, d.cut.Add(-1))
	for at := range e.Ticks(from) {
		if at.After(now) || d.over(at) || d.full() {
			break
		}
		d.tick(at, true)
	}
	d.lookAgain(after)
	return d.ScheduleChange
}

// expressionOf parses a schedule's expression as it is meant: from its anchor, in
// its zone, drawn from its name.
func expressionOf(s *offstage.ScheduleInfo) (*schedule.Expression, error) {
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
	expression *schedule.Expression
	now        time.Time
	cut        time.Time // ticks before it are missed
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

// owed decides about the tick that was due when the schedule was changed.
func (d *decision) owed() {
	s := &d.Schedule
	at := s.Owed
	s.Owed = time.Time{}
	if at.After(s.LastTick) && !d.over(at) {
		d.tick(at, !at.Before(d.cut) || d.madeUp(at))
	}
}

// madeUp reports whether a missed tick is young enough to be made up for.
func (d *decision) madeUp(at time.Time) bool {
	s := &d.Schedule
	return s.Missed != offstage.MissedSkip && (s.MissedWindow == 0 || !at.Before(d.now.Add(-s.MissedWindow)))
}

// missed returns the missed ticks after a time that are made up for, as many as
// the change has room for. If there are missed ones and none is made up for, the
// latest is passed over.
func (d *decision) missed(after time.Time) []time.Time {
	s := &d.Schedule
	before := d.cut
	if !s.End.IsZero() && s.End.Before(before) {
		before = s.End.Add(1)
	}
	last, ok := d.expression.Prev(before)
	if !ok || !last.After(after) || d.over(last) {
		return nil
	}
	most := 1
	if s.Missed == offstage.MissedAll {
		most = offstage.MaxMissed
	}
	var ticks []time.Time
	for at := last; ok && at.After(after) && d.madeUp(at) && len(ticks) < most; at, ok = d.expression.Prev(at) {
		ticks = append(ticks, at)
	}
	if len(ticks) == 0 {
		d.tick(last, false)
	}
	slices.Reverse(ticks)
	room := ticksPerChange - len(d.Ticks)
	if s.MaxRuns > 0 {
		room = min(room, int(min(s.MaxRuns-s.Runs, ticksPerChange)))
	}
	return ticks[:min(len(ticks), room)]
}

// lookAgain says when the schedule is to be looked at next: at once if ticks are
// left, else at its next tick.
func (d *decision) lookAgain(after time.Time) {
	s := &d.Schedule
	s.NextTick, s.LookAt = time.Time{}, time.Time{}
	from := latest(after, s.LastTick)
	if !d.full() {
		from = latest(from, d.now)
	}
	next, ok := d.expression.Next(from)
	if !ok || d.over(next) {
		return
	}
	s.NextTick, s.LookAt = next, next
	if !next.After(d.now) {
		s.LookAt = d.now
	}
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
