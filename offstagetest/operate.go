package offstagetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// allowed says in which states an operator's verb may be applied.
var allowed = map[offstage.Verb][]offstage.State{
	offstage.VerbCancel:     {offstage.Scheduled, offstage.Ready, offstage.Running, offstage.Retrying, offstage.Blocked, offstage.Cancelled},
	offstage.VerbRetry:      {offstage.Failed, offstage.Cancelled, offstage.Completed, offstage.Retrying},
	offstage.VerbDelete:     {offstage.Scheduled, offstage.Ready, offstage.Retrying, offstage.Blocked, offstage.Completed, offstage.Failed, offstage.Cancelled},
	offstage.VerbRunNow:     {offstage.Scheduled, offstage.Retrying, offstage.Ready},
	offstage.VerbReschedule: {offstage.Scheduled, offstage.Retrying, offstage.Ready},
	offstage.VerbPrioritize: {offstage.Scheduled, offstage.Retrying, offstage.Ready, offstage.Blocked},
}

// Apply changes one job by a person's hand; see [offstage.Operator].
func (s *Store) Apply(ctx context.Context, change offstage.Change) (offstage.State, error) {
	if err := s.lock(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	states, known := allowed[change.Verb]
	if !known {
		return 0, &offstage.InvalidError{Field: "verb", Problem: fmt.Sprintf("%.100q is not one of cancel, retry, delete, run now, reschedule, reprioritize", change.Verb)}
	}
	j := s.find(change.Job)
	if j == nil {
		return 0, offstage.ErrNotFound
	}
	if !slices.Contains(states, j.state) {
		return 0, &offstage.StateError{ID: j.ID, State: j.state, Verb: change.Verb, Hint: hint(j.state, change.Verb)}
	}
	now := time.Now()
	switch change.Verb {
	case offstage.VerbCancel:
		s.cancel(j, now)
	case offstage.VerbRetry:
		return j.state, s.retry(j, now)
	case offstage.VerbDelete:
		s.remove(j, now)
	case offstage.VerbRunNow:
		j.dueAt = now
		s.makeReady(j, 0, now)
	case offstage.VerbReschedule:
		s.reschedule(j, change, now)
	case offstage.VerbPrioritize:
		s.prioritize(j, change.Priority)
	}
	return j.state, nil
}

func hint(state offstage.State, verb offstage.Verb) string {
	switch {
	case state == offstage.Running && verb == offstage.VerbDelete:
		return "cancel it first"
	case state.Terminal() && verb != offstage.VerbCancel:
		return "retry it first"
	}
	return ""
}

// cancel ends a waiting job and asks for the end of a running one.
func (s *Store) cancel(j *job, now time.Time) {
	switch j.state {
	case offstage.Cancelled:
	case offstage.Running:
		j.cancel = true
		s.tell(offstage.NewsCancel)
	default:
		j.record(&offstage.Result{Outcome: offstage.OutcomeCancelled}, offstage.Cancelled, now)
		j.state, j.arrival, j.waits = offstage.Cancelled, 0, ""
		s.release(j, now)
		s.wakeParent(j, now)
		s.tell(offstage.NewsAny)
	}
}

// retry makes an ended or retrying job ready in front, as if it had never
// failed.
func (s *Store) retry(j *job, now time.Time) error {
	if j.state.Terminal() {
		if err := s.retake(j, now); err != nil {
			return err
		}
		j.run++
	}
	j.errors, j.lost, j.dueAt = 0, 0, now
	s.makeReady(j, 0, now)
	return nil
}

// remove takes a job away. While a claim names it, its attempts are remembered.
func (s *Store) remove(j *job, now time.Time) {
	waited := j.state.Waiting()
	h := s.unique[string(j.UniqueKey)]
	if !waited && j.UniqueKey != nil && h != nil && h.job == j.ID {
		s.setHolder(string(j.UniqueKey), nil) // its period goes with it
	} else {
		s.release(j, now)
	}
	j.deleted, j.arrival = true, 0
	s.wakeParent(j, now)
	s.tell(offstage.NewsAny)
	if j.claimed == 0 {
		delete(s.jobs, j.ID)
	}
}

// reschedule lets a waiting job wait for another time. One that is retrying
// stays so.
func (s *Store) reschedule(j *job, change offstage.Change, now time.Time) {
	at := change.RunAt
	if at.IsZero() {
		at = now.Add(max(change.Delay, 0))
	}
	state := offstage.Scheduled
	if j.state == offstage.Retrying {
		state = offstage.Retrying
	}
	s.makeDue(j, state, at, now)
}

// prioritize moves a waiting job to another priority, where it arrives anew.
func (s *Store) prioritize(j *job, priority int) {
	j.Priority = priority
	if j.state == offstage.Ready {
		s.makeReady(j, j.band, j.readyAt)
	}
}

// Pause stops or resumes a queue or a kind; see [offstage.Operator].
func (s *Store) Pause(ctx context.Context, target offstage.PauseTarget, paused bool) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	switch {
	case (target.Queue == "") == (target.Kind == ""):
		return &offstage.InvalidError{Field: "pause", Problem: "name either a queue or a kind"}
	case target.Queue != "":
		s.queueNamed(target.Queue).paused = paused
	default:
		s.kindNamed(target.Kind).paused = paused
		s.unblock(s.handled(), len(s.jobs), time.Now())
	}
	s.tell(offstage.NewsReady)
	return nil
}
