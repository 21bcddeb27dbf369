package worker

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

// startEvery is how often the leader looks which workers live, if there are
// schedules that want to know.
const startEvery = 5 * time.Second

// keepStarting enqueues the jobs of the schedules for @reboot, until ctx ends: when
// a worker has started and no other lived. A new leader looks through all schedules
// for them, and again when one changes; without any there is nothing more to do.
func (e *engine) keepStarting(ctx context.Context) {
	trouble := trouble{log: e.log, what: "fire the schedules for @reboot"}
	again := time.NewTicker(startEvery)
	defer again.Stop()
	names, err := e.startSchedules(ctx)
	for {
		if err == nil {
			err = e.fireAtStart(ctx, names)
		}
		if ctx.Err() != nil {
			return
		}
		trouble.note(err)
		next := again.C
		if err == nil && len(names) == 0 {
			next = nil
		}
		changed := err != nil
		select {
		case <-ctx.Done():
			return
		case <-next:
		case <-e.startNow:
			changed = true
		}
		err = nil
		if changed {
			names, err = e.startSchedules(ctx)
		}
	}
}

// startSchedules returns the names of all schedules for @reboot.
func (e *engine) startSchedules(ctx context.Context) (names []string, err error) {
	for after := ""; ; {
		page, err := e.findSchedules(ctx, offstage.ScheduleQuery{After: after, Limit: fireLimit})
		if err != nil {
			return nil, err
		}
		for _, s := range page.Schedules {
			if after = s.Name; s.AtStart() {
				names = append(names, s.Name)
			}
		}
		if len(page.Schedules) < fireLimit {
			return names, nil
		}
	}
}

func (e *engine) findSchedules(ctx context.Context, query offstage.ScheduleQuery) (offstage.SchedulePage, error) {
	ctx, cancel := context.WithTimeout(ctx, choreTime)
	defer cancel()
	return e.store.FindSchedules(ctx, query)
}

// fireAtStart enqueues the jobs of the named schedules, if there was a start.
func (e *engine) fireAtStart(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, choreTime)
	defer cancel()
	stats, err := e.store.Stats(ctx)
	session := e.lease.current()
	if err != nil || session == nil {
		return err
	}
	living := alive{stats.Workers, session.id, 3 * e.config.Lease}
	for _, name := range names {
		page, err := e.store.FindSchedules(ctx, offstage.ScheduleQuery{Name: name, Limit: 1})
		if err != nil {
			return err
		}
		if len(page.Schedules) == 0 {
			continue // it was removed
		}
		change, needed := decideStart(page.Schedules[0], page.Now, living)
		if !needed {
			continue
		}
		if err := e.cancelEarlier(ctx, &change); err != nil {
			return err
		}
		// If it does not count, another came before, and it is looked at again.
		if _, err := e.store.ChangeSchedules(ctx, []offstage.ScheduleChange{change}); err != nil {
			return err
		}
		if len(change.Ticks) > 0 {
			e.look()
		}
	}
	return nil
}

// alive is the workers that are said to live, as their leader sees them.
type alive struct {
	workers []offstage.WorkerStats
	self    offstage.WorkerID // the leader, which certainly lives
	sure    time.Duration     // after so long a dead one is no longer said to live
}

// decideStart is [decide] for a schedule for @reboot. It has a tick if every living
// worker has started since its last one: now, so that it is never late. If only
// some have, they joined the others, and LastTick moves on: so it always tells
// whether anybody lives who was there before. That one does is sure if it is the
// leader, or if the new ones have been there long enough to know of its death.
func decideStart(s offstage.ScheduleInfo, now time.Time, a alive) (change offstage.ScheduleChange, needed bool) {
	d := decision{now: now, cut: now.Add(-offstage.OnTime)}
	d.Schedule = s
	at := now.Truncate(time.Microsecond)
	fresh, joined := 0, false
	for _, w := range a.workers {
		if w.StartedAt.After(s.LastTick) {
			fresh++
			joined = joined || now.Sub(w.StartedAt) >= a.sure
		} else if w.ID == a.self {
			joined = true
		}
	}
	switch {
	case !s.AtStart() || fresh == 0 || fresh < len(a.workers) && !joined:
		return d.ScheduleChange, false
	case fresh == len(a.workers) && !s.Paused && s.LeftAt.IsZero() && !at.Before(s.Start) && !d.over(at):
		d.tick(at, true)
	}
	d.Schedule.LastTick = at
	return d.ScheduleChange, true
}
