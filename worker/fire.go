package worker

import (
	"context"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
)

// The times and sizes of firing.
const (
	fireEvery = 5 * time.Second       // between looks at schedules, if nothing is due before
	fireLeast = time.Second           // between looks for news: others commit all the time
	firePause = 50 * time.Millisecond // after others came before
	fireLimit = 500                   // schedules per look
)

// keepFiring enqueues the jobs of schedules at their ticks, until ctx ends. That
// each tick enqueues once is the store's doing, not the leadership's.
func (e *engine) keepFiring(ctx context.Context) {
	trouble := trouble{log: e.log, what: "fire schedules"}
	for {
		wait, err := e.fire(ctx)
		if ctx.Err() != nil {
			return
		}
		trouble.note(err)
		if err != nil {
			wait = fireLeast
		}
		if !pauseLeast(ctx, fireLeast, wait, e.fireNow) {
			return
		}
	}
}

// fire decides about the schedules that are due, and returns how long to wait
// before the next look.
func (e *engine) fire(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, choreTime)
	defer cancel()
	page, err := e.store.FindSchedules(ctx, offstage.ScheduleQuery{Due: true, Limit: fireLimit})
	if err != nil {
		return 0, err
	}
	if len(page.Schedules) == 0 {
		if page.Next.IsZero() {
			return e.together(fireEvery), nil
		}
		return min(max(page.Next.Sub(page.Now), 0), fireEvery), nil
	}
	changes := make([]offstage.ScheduleChange, len(page.Schedules))
	for i, s := range page.Schedules {
		changes[i] = decide(s, page.Now)
		if s.AtStart() {
			e.startNow.set()
		}
		if p := changes[i].Schedule.Problem; p != "" && p != s.Problem {
			e.log.Error("offstage: a schedule is not understood; it fires again when it is", "schedule", s.Name, "problem", p)
		}
		if err := e.cancelEarlier(ctx, &changes[i]); err != nil {
			return 0, err
		}
	}
	changed, err := e.store.ChangeSchedules(ctx, changes)
	if err != nil {
		return 0, err
	}
	wait := firePause
	for i, c := range changed {
		if c.Counted {
			wait = 0
			if len(changes[i].Ticks) > 0 {
				defer e.look()
			}
		}
	}
	return wait, nil
}

// cancelEarlier calls the earlier job of a schedule off whose tick wants that. If
// the tick turns out to be another's, that one wants it as well.
func (e *engine) cancelEarlier(ctx context.Context, change *offstage.ScheduleChange) error {
	s := &change.Schedule
	if s.Overlap != offstage.OverlapCancel || len(change.Ticks) == 0 || s.ID == 0 {
		return nil
	}
	const few = 10 // the latest may have enqueued nothing
	ticks, err := e.store.Ticks(ctx, s.ID, time.Time{}, few)
	if err != nil {
		return err
	}
	for _, tick := range ticks {
		if tick.Job == 0 {
			continue
		}
		var ended *offstage.StateError
		_, err := e.store.Apply(ctx, offstage.Change{Verb: offstage.VerbCancel, Job: tick.Job})
		if err != nil && !errors.Is(err, offstage.ErrNotFound) && !errors.As(err, &ended) {
			return err
		}
	}
	return nil
}

// keepDeclaring declares the configuration's schedules, once.
func (e *engine) keepDeclaring(ctx context.Context) {
	if e.config.Schedules == nil {
		return
	}
	client := offstage.NewClient(e.store)
	trouble := trouble{log: e.log, what: "declare schedules"}
	wait := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	for {
		err := client.DeclareSchedules(ctx, e.config.ScheduleOwner, e.config.Schedules...)
		var fault *offstage.StoreError
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !errors.As(err, &fault):
			e.log.Error("offstage: the schedules were not declared", "error", err)
			return
		}
		trouble.note(err)
		if err == nil || !pause(ctx, wait.next(), nil) {
			return
		}
	}
}
