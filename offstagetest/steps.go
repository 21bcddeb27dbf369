package offstagetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// memory is what a job has done so far.
type memory struct {
	epoch int // the run that may write; 0: none has yet
	steps []offstage.StepInfo
}

// Recall makes this run the one that may write and returns the job's steps; see
// [offstage.Rememberer].
func (s *Store) Recall(ctx context.Context, hold offstage.Hold) ([]offstage.StepInfo, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	j, err := s.raise(hold)
	if err != nil {
		return nil, err
	}
	return j.memory.list(time.Now()), nil
}

// Remember keeps a step; see [offstage.Rememberer].
func (s *Store) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if raise {
		if _, err := s.raise(hold); err != nil {
			return err
		}
	}
	return s.remember(hold, step, time.Now())
}

// raise raises the epoch of a job whose attempt is under way.
func (s *Store) raise(hold offstage.Hold) (*job, error) {
	j := s.jobs[hold.Job]
	if j == nil || j.state != offstage.Running || j.claim != (claimKey{hold.Worker, hold.Claim}) || j.run != hold.Run || j.memory.epoch > hold.Run {
		return nil, offstage.ErrLeaseLost
	}
	j = s.edit(j)
	j.memory.epoch = hold.Run
	return j, nil
}

// remember keeps a step of the run whose epoch it is.
func (s *Store) remember(hold offstage.Hold, step offstage.NewStep, now time.Time) error {
	j := s.jobs[hold.Job]
	if j == nil || j.memory.epoch != hold.Run {
		return offstage.ErrLeaseLost
	}
	j = s.edit(j)
	info := offstage.StepInfo{
		Name: step.Name, Kind: step.Kind, Run: hold.Run, Tries: step.Tries,
		StartedAt: now.Add(-step.Took), FinishedAt: now, Value: bytes.Clone(step.Value),
	}
	if step.Kind == offstage.StepSleep {
		info.WakeAt = now.Add(step.Wait)
	}
	if i := j.memory.find(step.Name); i < 0 {
		j.memory.steps = append(slices.Clip(j.memory.steps), info)
	} else if step.Kind == offstage.StepCursor && j.memory.steps[i].Kind == offstage.StepCursor {
		j.memory.steps = slices.Clone(j.memory.steps)
		j.memory.steps[i] = info
	}
	return nil
}

func (m *memory) find(name string) int {
	return slices.IndexFunc(m.steps, func(step offstage.StepInfo) bool { return step.Name == name })
}

// list returns the steps, the oldest first, for somebody else to keep.
func (m *memory) list(now time.Time) []offstage.StepInfo {
	steps := slices.Clone(m.steps)
	for i := range steps {
		steps[i].Value = bytes.Clone(steps[i].Value)
		if !steps[i].WakeAt.IsZero() {
			steps[i].Left = max(steps[i].WakeAt.Sub(now), 0)
		}
	}
	slices.SortStableFunc(steps, func(a, b offstage.StepInfo) int {
		return cmp.Or(a.FinishedAt.Compare(b.FinishedAt), strings.Compare(a.Name, b.Name))
	})
	return steps
}

// progressed reports whether the run under way has remembered anything.
func (j *job) progressed() bool {
	return slices.ContainsFunc(j.memory.steps, func(step offstage.StepInfo) bool { return step.Run == j.run })
}

// Recall returns a step in the transaction; see [offstage.TxRememberer].
func (t txStore) Recall(ctx context.Context, hold offstage.Hold, name string) (*offstage.StepInfo, error) {
	var found *offstage.StepInfo
	err := t.tx.try(ctx, func() error {
		j, err := t.tx.store.raiseOrMine(hold)
		if err != nil {
			return err
		}
		found = nil
		for _, info := range j.memory.list(time.Now()) {
			if info.Name == name {
				found = &info
			}
		}
		return nil
	})
	return found, err
}

// raiseOrMine is raise, unless the epoch is this run's already.
func (s *Store) raiseOrMine(hold offstage.Hold) (*job, error) {
	if j := s.jobs[hold.Job]; j != nil && j.memory.epoch == hold.Run {
		return j, nil
	}
	return s.raise(hold)
}

// Remember keeps a step if the transaction commits; see [offstage.TxRememberer].
func (t txStore) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep) error {
	step.Value = bytes.Clone(step.Value)
	now := time.Now()
	return t.tx.try(ctx, func() error { return t.tx.store.remember(hold, step, now) })
}

// Once takes a key if the transaction commits; see [offstage.TxRememberer].
func (t txStore) Once(ctx context.Context, key string) (bool, error) {
	s, now := t.tx.store, time.Now()
	first, answered := false, false
	err := t.tx.try(ctx, func() error {
		_, taken := s.once[key]
		if !answered {
			first, answered = !taken, true
		} else if first == taken {
			return busy("a key of Once that the transaction met has changed hands")
		}
		if !taken {
			s.once[key] = now
			s.undoing(func() { delete(s.once, key) })
		}
		return nil
	})
	return first && err == nil, err
}

// pruneOnce forgets keys that were kept long enough.
func (s *Store) pruneOnce(now time.Time) {
	maps.DeleteFunc(s.once, func(_ string, at time.Time) bool { return !at.Add(offstage.KeepOnce).After(now) })
}
