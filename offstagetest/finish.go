package offstagetest

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// Finish records how attempts ended; see [offstage.Queue].
func (s *Store) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	verdicts := make([]offstage.Verdict, len(req.Results))
	for i := range req.Results {
		verdicts[i] = s.finish(req.Worker, &req.Results[i], now)
	}
	for _, seq := range req.Release {
		s.releaseClaim(claimKey{req.Worker, seq})
	}
	return verdicts, nil
}

// finish is the fence: a result counts if its claim names the job's run and
// that has not ended.
func (s *Store) finish(worker offstage.WorkerID, result *offstage.Result, now time.Time) offstage.Verdict {
	j := s.jobs[result.Job]
	if j == nil {
		return offstage.Verdict{}
	}
	if a := j.attempt(result.Run); a != nil {
		if a.Worker == worker && a.claim == result.Claim {
			return offstage.Verdict{Kind: offstage.Already, Next: a.Next}
		}
		return offstage.Verdict{}
	}
	key := claimKey{worker, result.Claim}
	if j.state != offstage.Running || j.claim != key || j.run != result.Run {
		return offstage.Verdict{}
	}
	return offstage.Verdict{Kind: offstage.Counted, Next: s.end(j, result, now)}
}

// end records the end of a running job's attempt and moves the job on. It
// returns the state that was recorded.
func (s *Store) end(j *job, result *offstage.Result, now time.Time) offstage.State {
	j = s.edit(j)
	next := result.Next
	if j.cancel && !next.Terminal() {
		next = offstage.Cancelled
	}
	j.record(result, next, now)
	j.errors, j.lost, j.cancel, j.claim = result.Errors, result.Lost, false, claimKey{}
	if next.Terminal() {
		j.state = next
		s.release(j, now)
		s.wakeParent(j, now)
		s.tell(offstage.NewsAny)
		return next
	}
	j.run++
	switch next {
	case offstage.Ready:
		j.dueAt = now
		s.makeReady(j, 0, now)
	case offstage.Blocked:
		s.await(j, result, now)
	default:
		s.makeDue(j, next, now.Add(max(result.Wait, 0)), now)
	}
	return next
}

// record appends the attempt that ends now.
func (j *job) record(result *offstage.Result, next offstage.State, now time.Time) {
	a := attempt{claim: result.Claim, Attempt: offstage.Attempt{
		Run: j.run, Outcome: result.Outcome, Next: next, Worker: j.claim.worker, FinishedAt: now,
		Error: result.Error, Trace: result.Trace, Result: bytes.Clone(result.Value), Log: bytes.Clone(result.Log),
	}}
	if result.Started {
		a.StartedAt = now.Add(-result.Ran)
	}
	j.attempts = append(j.attempts, a)
}

// attempt returns the ended attempt of a run, or nil.
func (j *job) attempt(run int) *attempt {
	i := slices.IndexFunc(j.attempts, func(a attempt) bool { return a.Run == run })
	if i < 0 {
		return nil
	}
	return &j.attempts[i]
}

// Ended reports whether a run has a recorded end; see [offstage.Queue].
func (s *Store) Ended(ctx context.Context, id offstage.ID, run int) (bool, error) {
	if err := s.lock(ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	j := s.jobs[id]
	return j != nil && j.attempt(run) != nil, nil
}

// SaveProgress keeps the latest progress of jobs; see [offstage.Queue].
func (s *Store) SaveProgress(ctx context.Context, reports []offstage.JobProgress) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	now := time.Now()
	for _, report := range reports {
		j := s.find(report.Job)
		if j == nil || j.progress != nil && j.progress.Run > report.Run {
			continue
		}
		j.progress = &offstage.ProgressInfo{Run: report.Run, Done: report.Done, Total: report.Total, Message: report.Message, At: now}
		s.tell(offstage.NewsAny)
	}
	return nil
}
