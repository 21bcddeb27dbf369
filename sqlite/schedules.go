package sqlite

import (
	"context"
	"encoding/json"
	"time"

	"github.com/offstagehq/offstage"
)

// A page by the index on names, and one by that on look_at.
const (
	sqlSchedulePage  = `SELECT id, version, info FROM offstage_schedule WHERE name > ? ORDER BY name LIMIT ?`
	sqlScheduleNamed = `SELECT id, version, info FROM offstage_schedule WHERE name = ?`
	// Those that come first, whether or not they are due.
	sqlSchedulesNext = `SELECT id, version, info, look_at FROM offstage_schedule WHERE look_at IS NOT NULL ORDER BY look_at, id LIMIT ?`
)

// FindSchedules returns a page of schedules.
func (s *Store) FindSchedules(ctx context.Context, query offstage.ScheduleQuery) (offstage.SchedulePage, error) {
	var page offstage.SchedulePage
	err := s.glance(ctx, "find schedules", func(ses session) error {
		now := time.Now()
		page = offstage.SchedulePage{Now: now}
		text, args := sqlSchedulePage, []any{query.After, query.Limit}
		switch {
		case query.Due:
			text, args = sqlSchedulesNext, []any{query.Limit + 1}
		case query.Name != "":
			text, args = sqlScheduleNamed, []any{query.Name}
		}
		for r, err := range ses.rows(text, args...) {
			if err != nil {
				return err
			}
			if query.Due && (r.num(3) > now.UnixMicro() || len(page.Schedules) == query.Limit) {
				page.Next = r.when(3)
				break
			}
			info := offstage.ScheduleInfo{}
			if err := json.Unmarshal(r.json(2), &info); err != nil {
				return err
			}
			info.ID, info.Version = r.num(0), r.num(1)
			page.Schedules = append(page.Schedules, info)
		}
		return nil
	})
	return page, err
}

// ChangeSchedules carries out changes in the writer's next transaction.
func (s *Store) ChangeSchedules(ctx context.Context, changes []offstage.ScheduleChange) ([]offstage.ScheduleChanged, error) {
	weight := len(changes)
	for i := range changes {
		weight += len(changes[i].Ticks)
	}
	var changed []offstage.ScheduleChanged
	err := s.writeMany(ctx, "change schedules", weight, func(t *tx) error {
		changed = make([]offstage.ScheduleChanged, len(changes))
		for i := range changes {
			var err error
			if changed[i], err = t.changeSchedule(&changes[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// One schedule by its name, and one tick by its time.
const (
	sqlScheduleVersion = `SELECT id, version, ticks FROM offstage_schedule WHERE name = ?`
	sqlHasTick         = `SELECT 1 FROM offstage_tick WHERE schedule = ? AND at = ?`
	sqlAddSchedule     = `INSERT INTO offstage_schedule (name, version, look_at, ticks, info) VALUES (?, 1, ?, ?, ?)`
	sqlSetSchedule     = `UPDATE offstage_schedule SET version = version + 1, look_at = ?, ticks = ?, info = ? WHERE id = ?`
	sqlDropSchedule    = `DELETE FROM offstage_schedule WHERE id = ?`
	sqlDropTicks       = `DELETE FROM offstage_tick WHERE schedule = ?`
)

// changeSchedule carries out one change, if it counts.
func (t *tx) changeSchedule(change *offstage.ScheduleChange) (offstage.ScheduleChanged, error) {
	info := &change.Schedule
	known, err := first(t.rows(sqlScheduleVersion, info.Name))
	if err != nil {
		return offstage.ScheduleChanged{}, err
	}
	var recorded int64
	if known != nil {
		if info.ID != known.num(0) || info.Version != known.num(1) {
			return offstage.ScheduleChanged{}, nil
		}
		recorded = known.num(2)
	} else if info.ID != 0 {
		return offstage.ScheduleChanged{}, nil
	}
	if change.Remove {
		if _, err := t.exec(sqlDropTicks, info.ID); err != nil {
			return offstage.ScheduleChanged{}, err
		}
		_, err := t.exec(sqlDropSchedule, info.ID)
		t.tell(offstage.NewsAny)
		return offstage.ScheduleChanged{Counted: true, ID: info.ID}, err
	}
	for _, tick := range change.Ticks {
		has, err := first(t.rows(sqlHasTick, info.ID, tick.At.UnixMicro()))
		if err != nil || has != nil {
			return offstage.ScheduleChanged{}, err
		}
	}
	id, err := t.putSchedule(info, recorded+int64(len(change.Ticks)))
	if err != nil {
		return offstage.ScheduleChanged{}, err
	}
	if len(change.Ticks) == 0 {
		t.tell(offstage.NewsAny) // the leader is to look at it sooner than it knows
	}
	jobs, err := t.recordTicks(id, recorded, change.Ticks)
	return offstage.ScheduleChanged{Counted: true, ID: id, Jobs: jobs}, err
}

// putSchedule stores a schedule and returns its id.
func (t *tx) putSchedule(info *offstage.ScheduleInfo, ticks int64) (int64, error) {
	text, err := json.Marshal(info)
	if err != nil {
		return 0, err
	}
	var lookAt any
	if !info.LookAt.IsZero() {
		lookAt = info.LookAt
	}
	if info.ID != 0 {
		_, err := t.exec(sqlSetSchedule, lookAt, ticks, string(text), info.ID)
		return info.ID, err
	}
	if _, err := t.exec(sqlAddSchedule, info.Name, lookAt, ticks, string(text)); err != nil {
		return 0, err
	}
	added, err := first(t.rows(sqlScheduleVersion, info.Name))
	if err != nil {
		return 0, err
	}
	return added.num(0), nil
}

// One row into the tick table, and a range of its index on numbers.
const (
	sqlAddTick  = `INSERT INTO offstage_tick (schedule, at, number, seen_at, outcome, job, late, manual) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	sqlOldTicks = `DELETE FROM offstage_tick WHERE schedule = ? AND number <= ?`
)

// recordTicks inserts the jobs of ticks and records them after so many others.
func (t *tx) recordTicks(schedule, recorded int64, ticks []offstage.NewTick) ([]offstage.Inserted, error) {
	jobs := make([]offstage.Inserted, len(ticks))
	for i, tick := range ticks {
		outcome, job := offstage.TickMissed, any(nil)
		if tick.Job != nil {
			inserted, err := t.insert([]offstage.NewJob{*tick.Job})
			if err != nil {
				return nil, err
			}
			outcome, job, jobs[i] = offstage.TickEnqueued, inserted[0].ID, inserted[0]
			if inserted[0].Existed {
				outcome = offstage.TickOverlap
			}
		}
		recorded++
		_, err := t.exec(sqlAddTick, schedule, tick.At, recorded, t.now, string(outcome), job, tick.Late, tick.Manual)
		if err != nil {
			return nil, err
		}
	}
	if len(ticks) == 0 || recorded <= offstage.KeepTicks {
		return jobs, nil
	}
	_, err := t.exec(sqlOldTicks, schedule, recorded-offstage.KeepTicks)
	return jobs, err
}

// A page by the primary key, backwards.
const sqlTicks = `SELECT at, seen_at, outcome, job, late, manual FROM offstage_tick WHERE schedule = ? AND at < ? ORDER BY at DESC LIMIT ?`

// Ticks returns a schedule's history.
func (s *Store) Ticks(ctx context.Context, schedule int64, before time.Time, limit int) ([]offstage.TickInfo, error) {
	bound := int64(1) << 62
	if !before.IsZero() {
		bound = before.UnixMicro()
	}
	var ticks []offstage.TickInfo
	err := s.glance(ctx, "read ticks", func(ses session) error {
		ticks = nil
		for r, err := range ses.rows(sqlTicks, schedule, bound, limit) {
			if err != nil {
				return err
			}
			ticks = append(ticks, offstage.TickInfo{
				At: r.when(0), SeenAt: r.when(1), Outcome: offstage.TickOutcome(r.text(2)), Job: r.id(3), Late: r.yes(4), Manual: r.yes(5),
			})
		}
		return nil
	})
	return ticks, err
}
