package offstagetest

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

// leadership is who leads, until when, and under which term.
type leadership struct {
	worker offstage.WorkerID
	term   int64
	until  time.Time
}

// counts are what Count found in a queue.
type counts struct {
	ready, scheduled int
	capped           bool
	oldest           time.Duration
	at               time.Time
}

// Lead asks for the leadership; see [offstage.Keeper].
func (s *Store) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	mine, held := s.leader.worker == worker, s.leader.until.After(now)
	switch {
	case ttl <= 0:
		if mine {
			s.leader.until = time.Time{}
		}
		return 0, nil
	case held && !mine:
		return 0, nil
	case !held:
		s.leader = leadership{worker: worker, term: s.leader.term + 1}
	}
	s.leader.until = now.Add(ttl)
	return s.leader.term, nil
}

// Chore does up to limit rows of one chore; see [offstage.Keeper]. Publish,
// Sweep and Rescan find nothing to do in memory.
func (s *Store) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.ChoreReport{}, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	if term != s.leader.term || !s.leader.until.After(now) {
		return offstage.ChoreReport{}, offstage.ErrNotLeading
	}
	switch chore {
	case offstage.Promote:
		return s.promote(limit, now), nil
	case offstage.Unblock:
		return s.unblock(s.handled(), limit, now), nil
	case offstage.Prune:
		return s.prune(limit, now), nil
	case offstage.Count:
		return s.count(now), nil
	}
	return offstage.ChoreReport{}, nil
}

// promote makes the jobs ready whose time has come.
func (s *Store) promote(limit int, now time.Time) offstage.ChoreReport {
	var report offstage.ChoreReport
	for {
		j := s.nextDue()
		if j == nil {
			return report
		}
		if wait := j.dueAt.Sub(now); wait > 0 {
			report.Next = wait
			return report
		}
		if report.Done == limit {
			report.More = true
			return report
		}
		s.makeReady(j, 1, now)
		report.Done++
	}
}

// unblock makes jobs of these handled kinds ready that waited for a handler, or
// for their kind to be resumed.
func (s *Store) unblock(handled map[string]bool, limit int, now time.Time) offstage.ChoreReport {
	var report offstage.ChoreReport
	for _, id := range s.ids {
		j := s.find(id)
		if j == nil || j.state != offstage.Blocked || !handled[j.Kind] || s.kindNamed(j.Kind).paused {
			continue
		}
		if j.waits != offstage.WaitsKindUnknown && j.waits != offstage.WaitsKindPaused {
			continue
		}
		if report.Done == limit {
			report.More = true
			return report
		}
		s.makeReady(j, 1, now)
		report.Done++
	}
	return report
}

// prune forgets ended jobs past their retention with all about them, and unique
// keys past their period and keys of Once when it comes to the end of a round.
func (s *Store) prune(limit int, now time.Time) offstage.ChoreReport {
	var report offstage.ChoreReport
	kept := s.ids[:0]
	for _, id := range s.ids {
		j := s.find(id)
		if j != nil && report.Done == limit && s.outlived(j, now) {
			report.More = true
		}
		if j != nil && report.Done < limit && s.outlived(j, now) {
			delete(s.jobs, id)
			report.Done++
			continue
		}
		if s.jobs[id] != nil {
			kept = append(kept, id)
		}
	}
	s.ids = kept
	for key, h := range s.unique {
		if !h.live && !h.until.After(now) {
			delete(s.unique, key)
		}
	}
	s.pruneOnce(now)
	s.pruneSignals(now)
	report.Done += s.pruneRequests(limit, now)
	return report
}

// outlived reports whether an ended job is past its retention and no claim names
// it.
func (s *Store) outlived(j *job, now time.Time) bool {
	if !j.state.Terminal() || j.claimed > 0 {
		return false
	}
	retention := s.kindNamed(j.Kind).retention.Resolve()
	keep := retention.Failed
	if j.state == offstage.Completed {
		keep = retention.Completed
	}
	return !j.attempts[len(j.attempts)-1].FinishedAt.Add(keep).After(now)
}

// count counts each queue's ready and scheduled jobs.
func (s *Store) count(now time.Time) offstage.ChoreReport {
	found := map[string]*counts{}
	for name := range s.queues {
		found[name] = &counts{at: now}
	}
	for _, j := range s.jobs {
		c := found[j.Queue]
		switch {
		case j.deleted || c == nil:
		case j.state == offstage.Ready:
			c.ready++
			c.oldest = max(c.oldest, now.Sub(j.readyAt))
		case j.state == offstage.Scheduled || j.state == offstage.Retrying:
			c.scheduled++
		}
	}
	for name, c := range found {
		c.capped = c.ready > offstage.MaxCounted || c.scheduled > offstage.MaxCounted
		c.ready, c.scheduled = min(c.ready, offstage.MaxCounted), min(c.scheduled, offstage.MaxCounted)
		s.queues[name].counts = *c
	}
	return offstage.ChoreReport{Done: len(found)}
}
