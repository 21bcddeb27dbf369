package offstagetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// member is a registered worker.
type member struct {
	info    offstage.WorkerInfo
	since   time.Time
	counter int64
	dead    bool // taken for dead: its claims are being rescued
	// suspect and run are what Suspect has named last.
	suspect offstage.ID
	run     int
}

// Register makes a worker known; see [offstage.Registry].
func (s *Store) Register(ctx context.Context, info offstage.WorkerInfo) (offstage.WorkerID, error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	info.Queues, info.Kinds = slices.Clone(info.Queues), slices.Clone(info.Kinds)
	s.lastWorker++
	s.workers[s.lastWorker] = &member{info: info, since: now}
	for _, queue := range info.Queues {
		s.queueNamed(queue)
	}
	mine := map[string]bool{}
	for _, kind := range info.Kinds {
		s.kindNamed(kind.Name).retention = kind.Retention
		mine[kind.Name] = true
	}
	s.unblock(mine, len(s.jobs), now)
	return s.lastWorker, nil
}

// Beat says that a worker lives; see [offstage.Registry].
func (s *Store) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.Beat{}, err
	}
	defer s.mu.Unlock()
	w := s.workers[worker]
	if w == nil || w.dead {
		return offstage.Beat{}, offstage.ErrGone
	}
	w.counter++
	beat := offstage.Beat{Held: s.seqs(worker)}
	for id, peer := range s.workers {
		if id != worker {
			beat.Peers = append(beat.Peers, offstage.Peer{ID: id, Counter: peer.counter, Dead: peer.dead})
		}
	}
	slices.SortFunc(beat.Peers, func(a, b offstage.Peer) int { return cmp.Compare(a.ID, b.ID) })
	for _, id := range s.ids {
		if j := s.find(id); j != nil && j.cancel {
			beat.Cancels = append(beat.Cancels, id)
		}
	}
	beat.Due = time.Hour
	if j := s.nextDue(); j != nil {
		beat.Due = max(time.Until(j.dueAt), time.Millisecond)
	}
	return beat, nil
}

// Rescue takes a peer for dead and ends its attempts as lost; see
// [offstage.Registry].
func (s *Store) Rescue(ctx context.Context, peer offstage.Peer, limit int) (int, bool, error) {
	if err := s.lock(ctx); err != nil {
		return 0, false, err
	}
	defer s.mu.Unlock()
	w := s.workers[peer.ID]
	if w != nil && !w.dead && !peer.Dead && w.counter != peer.Counter {
		return 0, false, nil
	}
	if w != nil {
		w.dead = true
	}
	rescued, now := 0, time.Now()
	for _, seq := range s.seqs(peer.ID) {
		key := claimKey{peer.ID, seq}
		for _, held := range s.claims[key].jobs {
			j := s.jobs[held.Job]
			if j.attempt(held.Run) != nil {
				continue
			}
			if rescued == limit {
				return rescued, true, nil
			}
			s.end(j, lost(j, w, now), now)
			rescued++
		}
		s.releaseClaim(key)
	}
	delete(s.workers, peer.ID)
	return rescued, false, nil
}

// lost is the result of an attempt whose worker died; its time counts from the
// claim. A suspect that the worker had not named was never started. It bears no
// claim: were the worker alive after all, its own result must not be taken for a
// repeat.
func lost(j *job, w *member, now time.Time) *offstage.Result {
	result := &offstage.Result{
		Job: j.ID, Run: j.run, Outcome: offstage.OutcomeLost, Next: offstage.Ready,
		Errors: j.errors, Lost: j.lost + 1, Error: "the worker died",
		Started: true, Ran: max(now.Sub(j.started), 0),
	}
	named := w != nil && w.suspect == j.ID && w.run == j.run
	switch {
	case j.progressed():
		result.Lost = 1
	case j.lost >= offstage.SuspectLost && !named:
		result.Outcome, result.Lost, result.Error = offstage.OutcomeInterrupted, j.lost, "the worker died before this run was started"
		result.Started, result.Ran = false, 0
	}
	if result.Lost >= offstage.MaxLost {
		result.Next = offstage.Failed
		result.Error = fmt.Sprintf("%d workers in a row died while running this job", result.Lost)
	}
	return result
}

// Suspect notes which suspect a worker is about to start; see [offstage.Registry].
func (s *Store) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	w := s.workers[worker]
	if w == nil || w.dead {
		return offstage.ErrGone
	}
	w.suspect, w.run = job, run
	return nil
}

// Unregister forgets a worker; see [offstage.Registry]. One that holds claims is
// dead from now on.
func (s *Store) Unregister(ctx context.Context, worker offstage.WorkerID) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.leader.worker == worker {
		s.leader.until = time.Time{}
	}
	switch w := s.workers[worker]; {
	case w == nil:
	case len(s.seqs(worker)) > 0:
		w.dead = true
	default:
		delete(s.workers, worker)
	}
	return nil
}

// handled returns the kinds that living workers handle.
func (s *Store) handled() map[string]bool {
	kinds := map[string]bool{}
	for w := range maps.Values(s.workers) {
		if w.dead {
			continue
		}
		for _, kind := range w.info.Kinds {
			kinds[kind.Name] = true
		}
	}
	return kinds
}
