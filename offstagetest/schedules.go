package offstagetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// plan is a schedule with its ticks, in the order of their recording.
type plan struct {
	info  offstage.ScheduleInfo
	ticks []offstage.TickInfo
}

// FindSchedules returns a page of schedules; see [offstage.Scheduler].
func (s *Store) FindSchedules(ctx context.Context, query offstage.ScheduleQuery) (offstage.SchedulePage, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.SchedulePage{}, err
	}
	defer s.mu.Unlock()
	page := offstage.SchedulePage{Now: time.Now()}
	for _, p := range s.plans {
		at := p.info.LookAt
		switch {
		case query.Name != "" && p.info.Name != query.Name, query.Name == "" && p.info.Name <= query.After, query.Due && at.IsZero():
			continue
		case query.Due && at.After(page.Now):
			if page.Next.IsZero() || at.Before(page.Next) {
				page.Next = at
			}
			continue
		}
		page.Schedules = append(page.Schedules, clonePlan(p.info))
	}
	slices.SortFunc(page.Schedules, func(a, b offstage.ScheduleInfo) int {
		if query.Due {
			return cmp.Or(a.LookAt.Compare(b.LookAt), cmp.Compare(a.ID, b.ID))
		}
		return cmp.Compare(a.Name, b.Name)
	})
	page.Schedules = page.Schedules[:min(query.Limit, len(page.Schedules))]
	return page, nil
}

// ChangeSchedules carries out changes; see [offstage.Scheduler].
func (s *Store) ChangeSchedules(ctx context.Context, changes []offstage.ScheduleChange) ([]offstage.ScheduleChanged, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	changed := make([]offstage.ScheduleChanged, len(changes))
	for i := range changes {
		changed[i] = s.changePlan(&changes[i], time.Now())
	}
	return changed, nil
}

func (s *Store) changePlan(change *offstage.ScheduleChange, now time.Time) offstage.ScheduleChanged {
	info := clonePlan(change.Schedule)
	p := s.plans[info.Name]
	switch {
	case info.ID == 0 && p != nil, info.ID != 0 && (p == nil || p.info.ID != info.ID || p.info.Version != info.Version):
		return offstage.ScheduleChanged{}
	case change.Remove:
		delete(s.plans, info.Name)
		s.tell(offstage.NewsAny)
		return offstage.ScheduleChanged{Counted: true, ID: info.ID}
	}
	for _, tick := range change.Ticks {
		if p != nil && slices.ContainsFunc(p.ticks, func(t offstage.TickInfo) bool { return t.At.Equal(tick.At) }) {
			return offstage.ScheduleChanged{}
		}
	}
	if p == nil {
		s.lastPlan++
		info.ID = s.lastPlan
		p = &plan{}
		s.plans[info.Name] = p
	}
	info.Version++
	p.info = info
	answer := offstage.ScheduleChanged{Counted: true, ID: info.ID, Jobs: make([]offstage.Inserted, len(change.Ticks))}
	for i, tick := range change.Ticks {
		t := offstage.TickInfo{At: tick.At, SeenAt: now, Outcome: offstage.TickMissed, Late: tick.Late, Manual: tick.Manual}
		if tick.Job != nil {
			inserted := s.insertAll(cloneJobs([]offstage.NewJob{*tick.Job}), s.reserve(1), now)[0]
			answer.Jobs[i], t.Job, t.Outcome = inserted, inserted.ID, offstage.TickEnqueued
			if inserted.Existed {
				t.Outcome = offstage.TickOverlap
			}
		}
		p.ticks = append(p.ticks, t)
	}
	if len(change.Ticks) == 0 {
		s.tell(offstage.NewsAny) // the leader is to look at it sooner than it knows
	}
	slices.SortStableFunc(p.ticks, func(a, b offstage.TickInfo) int { return a.At.Compare(b.At) })
	p.ticks = p.ticks[max(0, len(p.ticks)-offstage.KeepTicks):]
	return answer
}

// Ticks returns a schedule's history; see [offstage.Scheduler].
func (s *Store) Ticks(ctx context.Context, schedule int64, before time.Time, limit int) ([]offstage.TickInfo, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var ticks []offstage.TickInfo
	for _, p := range s.plans {
		if p.info.ID != schedule {
			continue
		}
		for _, tick := range slices.Backward(p.ticks) {
			if len(ticks) < limit && (before.IsZero() || tick.At.Before(before)) {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks, nil
}

// clonePlan copies a schedule for somebody who may change it.
func clonePlan(info offstage.ScheduleInfo) offstage.ScheduleInfo {
	info.Tags = slices.Clone(info.Tags)
	info.Job.Args = slices.Clone(info.Job.Args)
	info.Job.Extra = cloneExtra(info.Job.Extra)
	return info
}
