package offstagetest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// maxAttempts is how many attempts Get brings.
const maxAttempts = 100

// Get returns a job with its history; see [offstage.Inspector].
func (s *Store) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.Details{}, err
	}
	defer s.mu.Unlock()
	j := s.find(id)
	if j == nil {
		return offstage.Details{}, offstage.ErrNotFound
	}
	details := offstage.Details{JobInfo: j.info(), Steps: j.memory.list(time.Now())}
	for _, a := range j.attempts[max(0, len(j.attempts)-maxAttempts):] {
		a.Result, a.Log = bytes.Clone(a.Result), bytes.Clone(a.Log)
		details.Attempts = append(details.Attempts, a.Attempt)
	}
	return details, nil
}

// info returns what is known of the job, for somebody else to keep.
func (j *job) info() offstage.JobInfo {
	info := offstage.JobInfo{
		Facts: j.facts(), State: j.state, RunAt: j.dueAt, Run: j.run, Errors: j.errors, Lost: j.lost,
		Waits: j.waits, Worker: j.claim.worker, CancelAsked: j.cancel,
	}
	if j.state.Waiting() {
		info.Run-- // the next start's number is not the latest attempt's
	}
	if len(j.attempts) > 0 {
		last := j.attempts[len(j.attempts)-1]
		info.Outcome, info.Error, info.Result = last.Outcome, last.Error, bytes.Clone(last.Result)
		info.StartedAt, info.FinishedAt = last.StartedAt, last.FinishedAt
	}
	if j.state == offstage.Running {
		info.StartedAt = j.started
	}
	if j.progress != nil {
		progress := *j.progress
		info.Progress = &progress
	}
	return info
}

func cloneExtra(e offstage.Extra) offstage.Extra {
	clone := offstage.Extra{Tags: slices.Clone(e.Tags), Metadata: maps.Clone(e.Metadata), Carry: maps.Clone(e.Carry), Parent: e.Parent}
	if e.Tick != nil {
		tick := *e.Tick
		clone.Tick = &tick
	}
	return clone
}

// EndedOf returns those jobs that have ended or do not exist; see
// [offstage.Inspector].
func (s *Store) EndedOf(ctx context.Context, ids []offstage.ID) ([]offstage.Ended, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var ended []offstage.Ended
	for _, id := range ids {
		j := s.find(id)
		if j == nil {
			ended = append(ended, offstage.Ended{ID: id})
		} else if j.state.Terminal() {
			info := j.info()
			ended = append(ended, offstage.Ended{ID: id, State: j.state, Error: info.Error, Result: info.Result})
		}
	}
	return ended, nil
}

// Stats returns the figures of queues, workers and kinds; see
// [offstage.Inspector].
func (s *Store) Stats(ctx context.Context) (offstage.Stats, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.Stats{}, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	byQueue, byWorker := map[string]int{}, map[offstage.WorkerID]int{}
	for _, j := range s.jobs {
		if j.state == offstage.Running {
			byQueue[j.Queue]++
			byWorker[j.claim.worker]++
		}
	}
	var stats offstage.Stats
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[name]
		figures := offstage.QueueStats{
			Queue: name, Paused: q.paused, Ready: q.counts.ready, Running: byQueue[name],
			Scheduled: q.counts.scheduled, Capped: q.counts.capped, OldestReady: q.counts.oldest,
		}
		if !q.counts.at.IsZero() {
			figures.Age = now.Sub(q.counts.at)
		}
		stats.Queues = append(stats.Queues, figures)
	}
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		w := s.workers[id]
		if w.dead {
			continue
		}
		info := w.info
		info.Queues, info.Kinds = slices.Clone(info.Queues), slices.Clone(info.Kinds)
		stats.Workers = append(stats.Workers, offstage.WorkerStats{
			ID: id, WorkerInfo: info, StartedAt: w.since, Running: byWorker[id],
			Leads: s.leader.worker == id && s.leader.until.After(now),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(s.kinds)) {
		k := s.kinds[name]
		stats.Kinds = append(stats.Kinds, offstage.KindStats{Kind: offstage.Kind{Name: name, Retention: k.retention}, Paused: k.paused})
	}
	return stats, nil
}

// Setting returns the bytes kept under a name, after keeping value if there were
// none; see [offstage.Inspector].
func (s *Store) Setting(ctx context.Context, name string, value []byte) ([]byte, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if _, kept := s.settings[name]; !kept {
		s.settings[name] = append([]byte{}, value...)
	}
	return bytes.Clone(s.settings[name]), nil
}
