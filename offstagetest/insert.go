package offstagetest

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// Insert stores the jobs, all or none; see [offstage.Inserter].
func (s *Store) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.insertAll(jobs, s.reserve(len(jobs)), time.Now()), nil
}

// InsertSeq stores all jobs of the sequence or none; see [offstage.Inserter].
// It keeps them in memory, where they are to end up anyway.
func (s *Store) InsertSeq(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	var all []offstage.NewJob
	for job, err := range jobs {
		switch {
		case err != nil:
			return 0, err
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case job.Unique != nil:
			return 0, &offstage.InvalidError{Field: "unique", Problem: "a sequence cannot have unique jobs; enqueue them one by one"}
		}
		all = append(all, cloneJobs([]offstage.NewJob{job})...)
	}
	inserted, err := s.Insert(ctx, all)
	return int64(len(inserted)), err
}

// reserve takes n ids. It returns the one before the first.
func (s *Store) reserve(n int) offstage.ID {
	before := s.lastID
	s.lastID += offstage.ID(n)
	return before
}

// insertAll inserts jobs under the ids that follow before; those of jobs that
// existed stay unused.
func (s *Store) insertAll(jobs []offstage.NewJob, before offstage.ID, now time.Time) []offstage.Inserted {
	inserted := make([]offstage.Inserted, len(jobs))
	for i := range jobs {
		id := before + offstage.ID(i) + 1
		if jobs[i].Unique != nil {
			inserted[i] = s.insertUnique(&jobs[i], id, now)
			continue
		}
		s.schedule(s.add(&jobs[i], id, now), &jobs[i], now)
		inserted[i].ID = id
	}
	return inserted
}

// add makes a job's record; the job does not wait anywhere yet.
func (s *Store) add(given *offstage.NewJob, id offstage.ID, now time.Time) *job {
	s.kindNamed(given.Kind)
	j := &job{run: 1}
	j.ID, j.Kind, j.CreatedAt = id, given.Kind, now
	s.set(j, given)
	if u := given.Unique; u != nil {
		j.UniqueKey, j.mode = bytes.Clone(u.Key), u.Mode
	}
	s.jobs[id] = j
	s.undoing(func() { delete(s.jobs, id) })
	at := len(s.ids)
	for at > 0 && s.ids[at-1] > id { // a transaction's ids may come late
		at--
	}
	if at == 0 || s.ids[at-1] != id {
		s.ids = slices.Insert(s.ids, at, id)
	}
	return j
}

// set gives a job what may be given anew by a unique job's later enqueue.
func (s *Store) set(j *job, given *offstage.NewJob) {
	s.queueNamed(given.Queue)
	j.Queue, j.Priority, j.Args = given.Queue, given.Priority, bytes.Clone(given.Args)
	j.MaxAttempts, j.Timeout = given.MaxAttempts, given.Timeout
	j.Extra = cloneExtra(given.Extra)
}

// schedule makes a job ready or lets it wait for its time.
func (s *Store) schedule(j *job, given *offstage.NewJob, now time.Time) {
	s.makeDue(j, offstage.Scheduled, dueTime(given, now), now)
}

// dueTime is when a new job is due.
func dueTime(given *offstage.NewJob, now time.Time) time.Time {
	if !given.RunAt.IsZero() {
		return given.RunAt
	}
	return now.Add(max(given.Delay, 0))
}

// cloneJobs copies jobs for somebody who keeps them longer than a call.
func cloneJobs(jobs []offstage.NewJob) []offstage.NewJob {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		jobs[i].Args, jobs[i].Extra = bytes.Clone(jobs[i].Args), cloneExtra(jobs[i].Extra)
		if u := jobs[i].Unique; u != nil {
			key := *u
			key.Key = bytes.Clone(u.Key)
			jobs[i].Unique = &key
		}
	}
	return jobs
}
