package offstagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/offstagehq/offstage"
)

// signal is one that was given.
type signal struct {
	payload []byte
	at      time.Time
}

// Signal keeps a signal and wakes who waits for it; see [offstage.Waiter].
func (s *Store) Signal(ctx context.Context, name string, payload []byte) (offstage.SignalReport, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.SignalReport{}, err
	}
	defer s.mu.Unlock()
	return s.signal(name, payload, time.Now()), nil
}

func (s *Store) signal(name string, payload []byte, now time.Time) (report offstage.SignalReport) {
	if _, there := s.signals[name]; there {
		return report
	}
	s.signals[name] = signal{bytes.Clone(payload), now}
	s.undoing(func() { delete(s.signals, name) })
	return offstage.SignalReport{First: true, Woken: s.wake(offstage.SignalKey(name), now)}
}

// FindSignal returns a signal's payload; see [offstage.Waiter].
func (s *Store) FindSignal(ctx context.Context, name string) ([]byte, bool, error) {
	if err := s.lock(ctx); err != nil {
		return nil, false, err
	}
	defer s.mu.Unlock()
	given, found := s.signals[name]
	return bytes.Clone(given.payload), found, nil
}

// Signal gives a signal if the transaction commits; see [offstage.TxRememberer].
func (t txStore) Signal(ctx context.Context, name string, payload []byte) (report offstage.SignalReport, err error) {
	payload, now := bytes.Clone(payload), time.Now()
	err = t.tx.try(ctx, func() error {
		report = t.tx.store.signal(name, payload, now)
		return nil
	})
	return report, err
}

// RememberChild keeps a job and the step that names it; see [offstage.Waiter].
func (s *Store) RememberChild(ctx context.Context, hold offstage.Hold, name string, job offstage.NewJob, raise bool) (offstage.ID, error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if raise {
		if _, err := s.raise(hold); err != nil {
			return 0, err
		}
	}
	parent := s.jobs[hold.Job]
	if parent == nil || parent.memory.epoch != hold.Run {
		return 0, offstage.ErrLeaseLost
	}
	if i := parent.memory.find(name); i >= 0 {
		var id offstage.ID
		return id, json.Unmarshal(parent.memory.steps[i].Value, &id)
	}
	now := time.Now()
	id := s.insertAll([]offstage.NewJob{job}, s.reserve(1), now)[0].ID
	return id, s.remember(hold, offstage.NewStep{Name: name, Kind: offstage.StepChild, Tries: 1, Value: []byte(id.String())}, now)
}

// await lets a job wait for what a key names, or makes it ready if that is there.
func (s *Store) await(j *job, result *offstage.Result, now time.Time) {
	if result.WaitKey != "" && s.isThere(result.WaitKey) {
		s.makeReady(j, 1, now)
		return
	}
	if result.Wait > 0 {
		s.makeDue(j, offstage.Scheduled, now.Add(result.Wait), now)
	} else {
		s.makeBlocked(j, result.Waits)
	}
	j.waitKey = result.WaitKey
}

// isThere reports whether what a key names has come.
func (s *Store) isThere(key string) bool {
	if id, ok := offstage.EndOf(key); ok {
		j := s.find(id)
		return j == nil || j.state.Terminal()
	}
	name, _ := offstage.SignalOf(key)
	_, given := s.signals[name]
	return given
}

// wake makes the jobs ready that wait for a key, and returns how many.
func (s *Store) wake(key string, now time.Time) (woken int) {
	for _, id := range s.ids {
		if j := s.find(id); j != nil && j.state.Waiting() && j.waitKey == key {
			j = s.edit(j)
			j.dueAt = now
			s.makeReady(j, 1, now)
			woken++
		}
	}
	return woken
}

// wakeParent wakes the parent of a job that has ended, if it waits for that.
func (s *Store) wakeParent(j *job, now time.Time) {
	if j.Parent != 0 {
		s.wake(offstage.EndKey(j.ID), now)
	}
}

// pruneSignals forgets signals that were kept long enough.
func (s *Store) pruneSignals(now time.Time) {
	maps.DeleteFunc(s.signals, func(_ string, given signal) bool { return !given.at.Add(offstage.KeepSignals).After(now) })
}
