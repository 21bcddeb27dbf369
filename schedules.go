package offstage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// KeepLeft is how long a schedule that its owner no longer has is kept, switched
// off: until its owner is heard of after that.
const KeepLeft = 30 * 24 * time.Hour

// SaveSchedule makes a schedule, or gives the one of its name a new definition,
// as a person does. One that a program or a file declares is an [InvalidError]:
// it is changed there. Ticks that were due before the change are neither lost
// nor repeated; those of the new expression count from now.
func (c *Client) SaveSchedule(ctx context.Context, s Schedule) error {
	return c.saveSchedule(ctx, s, SourceHand, "")
}

// DeclareSchedules makes the schedules of a program, its owner, what they are to
// be, and switches off those that the owner declared before and does not have
// any more. They keep their history, are forgotten after [KeepLeft], and go on
// if they are declared again before. What is as it should be is left alone, so
// that a deploy changes nothing. Workers call it with those of their
// configuration.
func (c *Client) DeclareSchedules(ctx context.Context, owner string, schedules ...Schedule) error {
	return c.declare(ctx, SourceCode, owner, schedules)
}

// DeclareFileSchedules is [Client.DeclareSchedules] for those of a file, which is
// their owner.
func (c *Client) DeclareFileSchedules(ctx context.Context, owner string, schedules ...Schedule) error {
	return c.declare(ctx, SourceFile, owner, schedules)
}

func (c *Client) declare(ctx context.Context, source, owner string, schedules []Schedule) error {
	if err := CheckName("owner", owner); err != nil {
		return err
	}
	declared := map[string]bool{}
	for _, s := range schedules {
		if declared[s.Name] {
			return invalid("schedule", "%q is declared twice", s.Name)
		}
		declared[s.Name] = true
	}
	for i := range schedules {
		if err := schedules[i].Check(); err != nil {
			return err
		}
	}
	known, now, err := c.allSchedules(ctx)
	if err != nil {
		return err
	}
	var changes []ScheduleChange
	for _, s := range schedules {
		change := ScheduleChange{Schedule: known[s.Name]}
		if err := change.Schedule.mayBecome(s.Name, source, owner); err != nil {
			return err
		}
		if needed, err := change.Schedule.redefine(s, source, owner, now); err != nil {
			return err
		} else if needed {
			changes = append(changes, change)
		}
	}
	for name, s := range known {
		if s.Source != source || s.Owner != owner || declared[name] {
			continue
		}
		change := ScheduleChange{Schedule: s}
		if needed, err := leave(&change, now); err != nil {
			return err
		} else if needed {
			changes = append(changes, change)
		}
	}
	return c.sendDeclared(ctx, changes, source, owner)
}

// pageSchedules is how many schedules are read or changed in one call.
const pageSchedules = 500

// allSchedules returns the schedules of a store by name, and its time.
func (c *Client) allSchedules(ctx context.Context) (map[string]ScheduleInfo, time.Time, error) {
	all := map[string]ScheduleInfo{}
	for after := ""; ; {
		page, err := c.store.FindSchedules(ctx, ScheduleQuery{After: after, Limit: pageSchedules})
		if err != nil {
			return nil, time.Time{}, err
		}
		for _, s := range page.Schedules {
			all[s.Name], after = s, s.Name
		}
		if len(page.Schedules) < pageSchedules {
			return all, page.Now, nil
		}
	}
}

// sendDeclared makes changes many at a time. What somebody else changed meanwhile,
// as another process that declares the same, is looked at again by itself.
func (c *Client) sendDeclared(ctx context.Context, changes []ScheduleChange, source, owner string) error {
	for page := range slices.Chunk(changes, pageSchedules) {
		changed, err := c.store.ChangeSchedules(ctx, page)
		if err != nil {
			return err
		}
		for i := range changed {
			s := &page[i].Schedule
			switch {
			case changed[i].Counted:
			case s.LeftAt.IsZero():
				err = c.saveSchedule(ctx, s.Schedule, source, owner)
			default:
				err = c.changeSchedule(ctx, s.Name, func(change *ScheduleChange, now time.Time) (bool, error) {
					if now := &change.Schedule; now.Source != source || now.Owner != owner {
						return false, nil // it has moved
					}
					return leave(change, now)
				})
			}
			if err != nil && !errors.Is(err, ErrNoSchedule) {
				return err
			}
		}
	}
	return nil
}

// scheduleEdit changes a schedule that was read at a time by the store's clock.
// It reports whether there is anything to change.
type scheduleEdit func(change *ScheduleChange, now time.Time) (bool, error)

// maxEdits is how often an edit is tried that others come before.
const maxEdits = 100

// changeSchedule edits a schedule, again if another changed it meanwhile.
func (c *Client) changeSchedule(ctx context.Context, name string, edit scheduleEdit) error {
	_, err := c.editSchedule(ctx, name, func(s *ScheduleInfo) error {
		if s.ID == 0 {
			return ErrNoSchedule
		}
		return nil
	}, edit)
	return err
}

func (c *Client) editSchedule(ctx context.Context, name string, check func(*ScheduleInfo) error, edit scheduleEdit) (ScheduleChanged, error) {
	for range maxEdits {
		found, now, err := c.findSchedule(ctx, name)
		if err != nil {
			return ScheduleChanged{}, err
		}
		if err := check(&found); err != nil {
			return ScheduleChanged{}, err
		}
		change := ScheduleChange{Schedule: found}
		if needed, err := edit(&change, now); err != nil || !needed {
			return ScheduleChanged{}, err
		}
		changed, err := c.store.ChangeSchedules(ctx, []ScheduleChange{change})
		if err != nil {
			return ScheduleChanged{}, err
		}
		if changed[0].Counted {
			return changed[0], nil
		}
	}
	return ScheduleChanged{}, &StoreError{Class: FaultBusy, Op: "change a schedule", Err: fmt.Errorf("others change %q all the time", name)}
}

// findSchedule returns the schedule of a name, or one without an ID, and the
// store's time.
func (c *Client) findSchedule(ctx context.Context, name string) (ScheduleInfo, time.Time, error) {
	if err := CheckName("schedule", name); err != nil {
		return ScheduleInfo{}, time.Time{}, err
	}
	page, err := c.store.FindSchedules(ctx, ScheduleQuery{Name: name, Limit: 1})
	if err != nil || len(page.Schedules) == 0 {
		return ScheduleInfo{}, page.Now, err
	}
	return page.Schedules[0], page.Now, nil
}

func (c *Client) saveSchedule(ctx context.Context, s Schedule, source, owner string) error {
	if err := s.Check(); err != nil {
		return err
	}
	check := func(found *ScheduleInfo) error { return found.mayBecome(s.Name, source, owner) }
	_, err := c.editSchedule(ctx, s.Name, check, func(change *ScheduleChange, now time.Time) (bool, error) {
		return change.Schedule.redefine(s, source, owner, now)
	})
	return err
}

// mayBecome says why a schedule that was found under a name, if one was, is not
// this owner's to change.
func (s *ScheduleInfo) mayBecome(name, source, owner string) error {
	if s.ID != 0 && (s.Source != source || s.Owner != owner) && !s.abandoned() {
		return invalid("schedule", "%q belongs to %s: change it there, or choose another name", name, strings.TrimSpace(s.Source+" "+s.Owner))
	}
	return nil
}

// abandoned reports whether anybody may take the schedule's name over.
func (s *ScheduleInfo) abandoned() bool { return !s.LeftAt.IsZero() }

// redefine gives a schedule a definition, and reports whether that changes it. The
// ticks that are due and were not seen yet stay owed.
func (s *ScheduleInfo) redefine(by Schedule, source, owner string, now time.Time) (bool, error) {
	same, err := sameSchedule(s.Schedule, by)
	if err != nil || same && s.ID != 0 && s.LeftAt.IsZero() && s.Source == source && s.Owner == owner {
		return false, err
	}
	if s.ID == 0 {
		s.CreatedAt = now
	}
	s.owe(now)
	s.Schedule, s.Source, s.Owner, s.UpdatedAt, s.LeftAt = by, source, owner, now, time.Time{}
	if source == SourceHand {
		s.notBefore(now)
	}
	s.begin(now)
	return true, nil
}

func sameSchedule(a, b Schedule) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	return bytes.Equal(x, y), err
}

// owe notes that ticks up to now were not seen yet, if there may be any.
func (s *ScheduleInfo) owe(now time.Time) {
	if s.ID == 0 || !s.active() || s.LookAt.IsZero() || s.LookAt.After(now) {
		return
	}
	owed := Owed{Expression: s.Expression, Zone: s.Zone, Anchor: s.Anchor, After: s.Since, Until: now}
	if owed.Anchor.IsZero() {
		owed.Anchor = s.CreatedAt
	}
	if before := s.Start.Add(-1); !s.Start.IsZero() && before.After(owed.After) {
		owed.After = before
	}
	if !s.End.IsZero() && s.End.Before(now) {
		owed.Until = s.End
	}
	s.Owed = append(slices.Clone(s.Owed[max(0, len(s.Owed)-MaxOwed+1):]), owed)
}

// notBefore makes a schedule for @reboot wait for workers that start from now on.
func (s *ScheduleInfo) notBefore(now time.Time) {
	if s.AtStart() {
		s.LastTick = now
	}
}

// active reports whether it is switched on.
func (s *ScheduleInfo) active() bool { return !s.Paused && s.LeftAt.IsZero() }

// begin makes ticks count from now, if it is switched on.
func (s *ScheduleInfo) begin(now time.Time) {
	s.Since, s.NextTick, s.LookAt, s.Problem = now, time.Time{}, time.Time{}, ""
	if s.active() {
		s.LookAt = now
	}
}

// leave switches a schedule off that its owner no longer has, and removes it
// when that was long ago.
func leave(change *ScheduleChange, now time.Time) (bool, error) {
	s := &change.Schedule
	if s.LeftAt.IsZero() {
		s.LeftAt, s.UpdatedAt, s.Owed = now, now, nil
		s.begin(now)
		return true, nil
	}
	change.Remove = now.Sub(s.LeftAt) > KeepLeft
	return change.Remove, nil
}

// Schedule returns a schedule, or [ErrNoSchedule].
func (c *Client) Schedule(ctx context.Context, name string) (ScheduleInfo, error) {
	s, _, err := c.findSchedule(ctx, name)
	if err == nil && s.ID == 0 {
		err = ErrNoSchedule
	}
	return s, err
}

// Schedules returns up to limit (1 … 1,000) schedules by name, after a name; ""
// is the first page.
func (c *Client) Schedules(ctx context.Context, after string, limit int) ([]ScheduleInfo, error) {
	if limit < 1 || limit > 1000 {
		return nil, invalid("limit", "%d is not from 1 to 1000", limit)
	}
	page, err := c.store.FindSchedules(ctx, ScheduleQuery{After: after, Limit: limit})
	return page.Schedules, err
}

// PauseSchedule switches a schedule off until it is resumed; deploys do not
// change that. Its jobs go on.
func (c *Client) PauseSchedule(ctx context.Context, name string) error {
	return c.changeSchedule(ctx, name, func(change *ScheduleChange, now time.Time) (bool, error) {
		s := &change.Schedule
		if s.Paused {
			return false, nil
		}
		s.Paused, s.UpdatedAt, s.Owed = true, now, nil
		s.begin(now)
		return true, nil
	})
}

// ResumeSchedule undoes PauseSchedule. The ticks of the meantime are not made up
// for.
func (c *Client) ResumeSchedule(ctx context.Context, name string) error {
	return c.changeSchedule(ctx, name, func(change *ScheduleChange, now time.Time) (bool, error) {
		s := &change.Schedule
		if !s.Paused {
			return false, nil
		}
		s.Paused, s.UpdatedAt = false, now
		s.notBefore(now)
		s.begin(now)
		return true, nil
	})
}

// RemoveSchedule removes a schedule with its history; its jobs stay. One that a
// program or a file still declares is an [InvalidError].
func (c *Client) RemoveSchedule(ctx context.Context, name string) error {
	return c.changeSchedule(ctx, name, func(change *ScheduleChange, _ time.Time) (bool, error) {
		s := &change.Schedule
		if s.Source != SourceHand && !s.abandoned() {
			return false, invalid("schedule", "%q belongs to %s: remove it there, or pause it", name, strings.TrimSpace(s.Source+" "+s.Owner))
		}
		change.Remove = true
		return true, nil
	})
}

// RunSchedule enqueues a schedule's job now, beside its ticks, also while it is
// paused. With OverlapSkip and OverlapQueue the receipt may be that of a job which
// is there already.
func (c *Client) RunSchedule(ctx context.Context, name string) (*Receipt, error) {
	check := func(s *ScheduleInfo) error {
		if s.ID == 0 {
			return ErrNoSchedule
		}
		return nil
	}
	changed, err := c.editSchedule(ctx, name, check, func(change *ScheduleChange, now time.Time) (bool, error) {
		s := &change.Schedule
		at := now.Truncate(time.Microsecond)
		if at.Nanosecond() == 0 {
			at = at.Add(time.Microsecond) // at the whole second stand the ticks of expressions
		}
		job := s.TickOf(Tick{At: at, Previous: s.LastRun, Manual: true})
		change.Ticks = []NewTick{{At: at, Job: job, Manual: true}}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return &Receipt{ID: changed.Jobs[0].ID, Existed: changed.Jobs[0].Existed, client: c}, nil
}

// ScheduleHistory returns up to limit (1 … 1,000) ticks of a schedule, the latest
// first, from before a time on; zero: the latest. ErrNoSchedule if there is no
// such schedule.
func (c *Client) ScheduleHistory(ctx context.Context, name string, before time.Time, limit int) ([]TickInfo, error) {
	if limit < 1 || limit > 1000 {
		return nil, invalid("limit", "%d is not from 1 to 1000", limit)
	}
	s, err := c.Schedule(ctx, name)
	if err != nil {
		return nil, err
	}
	ticks, err := c.store.Ticks(ctx, s.ID, before, limit)
	if err != nil {
		return nil, err
	}
	for i := range ticks {
		if ticks[i].Job == 0 {
			continue
		}
		job, err := c.store.Get(ctx, ticks[i].Job)
		if err == nil {
			ticks[i].State = job.State
		} else if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	return ticks, nil
}
