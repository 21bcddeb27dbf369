package load

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// List returns what the store and the application's tables hold.
func (g *Ground) List(ctx context.Context) (*history.Listing, error) {
	listing := &history.Listing{}
	client := offstage.NewClient(g.Store)
	err := eachJob(ctx, client, func(info *offstage.JobInfo) error {
		job, err := listed(ctx, client, info)
		listing.Jobs = append(listing.Jobs, job)
		return err
	})
	if err != nil {
		return nil, err
	}
	if listing.Pairs, err = tally[string](ctx, g.db, allPairsSQL); err != nil {
		return nil, err
	}
	listing.Effects, err = tally[offstage.ID](ctx, g.db, allEffectsSQL)
	return listing, err
}

func eachJob(ctx context.Context, client *offstage.Client, do func(*offstage.JobInfo) error) error {
	for filter := (offstage.Filter{Limit: 1000}); ; {
		page, err := client.List(ctx, filter)
		if err != nil {
			return fmt.Errorf("list the jobs: %w", err)
		}
		for i := range page.Jobs {
			if err := do(&page.Jobs[i]); err != nil {
				return err
			}
		}
		if filter.After = page.Next; page.Next == "" {
			return nil
		}
	}
}

func listed(ctx context.Context, client *offstage.Client, info *offstage.JobInfo) (history.Job, error) {
	var task Task
	if err := json.Unmarshal(info.Facts.Args, &task); err != nil {
		return history.Job{}, fmt.Errorf("job %d: %w", info.ID, err)
	}
	job := history.Job{
		ID: info.ID, Kind: info.Kind, Key: task.Key, Unique: task.Unique,
		State: info.State, Run: info.Run, Errors: info.Errors, Lost: info.Lost,
	}
	if info.Tick != nil {
		job.Schedule, job.Tick = info.Tick.Schedule, info.Tick.At
	}
	if info.Run <= 1 && info.State == offstage.Completed {
		return job, nil
	}
	details, err := client.Get(ctx, info.ID)
	if err != nil {
		return job, fmt.Errorf("look at job %d: %w", info.ID, err)
	}
	for _, a := range details.Attempts {
		job.Attempts = append(job.Attempts, history.Attempt{Run: a.Run, Outcome: a.Outcome, Next: a.Next, Error: a.Error})
	}
	return job, nil
}

// Drain waits until all jobs have ended, or until ctx is done, and returns how
// many were left.
func (g *Ground) Drain(ctx context.Context) (int, error) {
	for {
		var waiting []offstage.ID
		err := eachJob(ctx, offstage.NewClient(g.Store), func(info *offstage.JobInfo) error {
			if !info.State.Terminal() {
				waiting = append(waiting, info.ID)
			}
			return nil
		})
		if err != nil || len(waiting) == 0 {
			return len(waiting), err
		}
		if left, err := g.await(ctx, waiting); err != nil || left > 0 {
			return left, err
		}
	}
}

// await waits until these jobs have ended, or until ctx is done, and returns how
// many were left.
func (g *Ground) await(ctx context.Context, ids []offstage.ID) (int, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for len(ids) > 0 && ctx.Err() == nil {
		page := ids[:min(len(ids), 1000)]
		ended, err := g.Store.EndedOf(ctx, page)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return len(ids), fmt.Errorf("wait for the jobs' end: %w", err)
		}
		if len(ended) == len(page) {
			ids = ids[len(page):]
			continue
		}
		ids = append(ids[len(page):len(ids):len(ids)], without(page, ended)...)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return len(ids), nil
}

// without returns the jobs that have not ended.
func without(ids []offstage.ID, ended []offstage.Ended) []offstage.ID {
	return slices.DeleteFunc(slices.Clone(ids), func(id offstage.ID) bool {
		return slices.ContainsFunc(ended, func(e offstage.Ended) bool { return e.ID == id })
	})
}

// SignalLate gives, for producers that cannot any more, the signals of all jobs
// that have not ended.
func (g *Ground) SignalLate(ctx context.Context, rec *history.Recorder) error {
	return eachJob(ctx, offstage.NewClient(g.Store), func(info *offstage.JobInfo) error {
		var task Task
		if info.Kind != patient || info.State.Terminal() {
			return nil
		}
		if err := json.Unmarshal(info.Facts.Args, &task); err != nil {
			return fmt.Errorf("job %d: %w", info.ID, err)
		}
		return g.signal(ctx, rec, task.Key, history.Late)
	})
}

// EndSchedules waits until each schedule has had a tick after a time, or until
// ctx is done, and then switches them off. If one has none, it is for the
// checker to say so.
func (g *Ground) EndSchedules(ctx context.Context, after time.Time) error {
	client := offstage.NewClient(g.Store)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for _, s := range schedules() {
		for waiting := true; waiting; {
			info, err := client.Schedule(ctx, s.Name)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("look at the schedule %s: %w", s.Name, err)
			}
			select {
			case <-look.C:
			case <-ctx.Done():
			}
			waiting = !info.LastRun.After(after) && ctx.Err() == nil
		}
		if err := client.PauseSchedule(context.WithoutCancel(ctx), s.Name); err != nil {
			return fmt.Errorf("pause the schedule %s: %w", s.Name, err)
		}
	}
	return nil
}
