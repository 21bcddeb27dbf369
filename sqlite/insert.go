package sqlite

import (
	"context"
	"encoding/json"

	"github.com/offstagehq/offstage"
)

// Insert stores the jobs in the writer's next transaction.
func (s *Store) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	var inserted []offstage.Inserted
	err := s.writeMany(ctx, "insert jobs", len(jobs), func(t *tx) (err error) {
		inserted, err = t.insert(jobs)
		return err
	})
	if err != nil {
		return nil, err
	}
	return inserted, nil
}

func (t *tx) insert(jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	inserted := make([]offstage.Inserted, len(jobs))
	for i := 0; i < len(jobs); {
		together, err := t.insertTogether(jobs[i:], inserted[i:])
		if err == nil && together == 0 {
			inserted[i], err = t.insertOne(&jobs[i])
			together = 1
		}
		if err != nil {
			return nil, err
		}
		i += together
	}
	return inserted, nil
}

func (t *tx) insertOne(job *offstage.NewJob) (inserted offstage.Inserted, err error) {
	if job.Unique != nil {
		return t.insertUnique(job)
	}
	inserted.ID, err = t.insertPlain(job)
	return inserted, err
}

// What most jobs come to, groupRows of them. ?1 is the time, the others follow it.
var (
	sqlAddJobs = `INSERT INTO offstage_job
(created_at, run_at, id, kind, queue, priority, args, max_attempts, timeout) VALUES ` + group("(?1, ?1, ?, ?, ?, ?, ?, ?, ?)")
	sqlMakeAllReady = `INSERT INTO offstage_ready (since, queue, priority, band, seq, job, run, errors, lost) VALUES ` +
		group("(?1, ?, ?, 1, ?, ?, 1, 0, 0)")
)

// insertTogether stores the first groupRows jobs, if all of them are of the usual
// kind. Otherwise it does nothing and answers 0.
func (t *tx) insertTogether(jobs []offstage.NewJob, inserted []offstage.Inserted) (int, error) {
	if len(jobs) < groupRows {
		return 0, nil
	}
	for i := range groupRows {
		if job := &jobs[i]; job.Unique != nil || job.Delay != 0 || !job.RunAt.IsZero() || !job.Extra.Empty() {
			return 0, nil
		}
	}
	facts, places := append(make([]any, 0, 1+7*groupRows), t.now), append(make([]any, 0, 1+4*groupRows), t.now)
	for i := range groupRows {
		job := &jobs[i]
		kind, err := t.kind(job.Kind)
		if err != nil {
			return 0, err
		}
		queue, err := t.queue(job.Queue)
		if err != nil {
			return 0, err
		}
		id, err := t.next(&t.count.job)
		if err != nil {
			return 0, err
		}
		inserted[i].ID = offstage.ID(id)
		facts = append(facts, id, kind.id, queue.id, job.Priority, string(job.Args), job.MaxAttempts, job.Timeout)
		places = append(places, queue.id, job.Priority, id, id)
	}
	t.tell(offstage.NewsReady)
	if _, err := t.exec(sqlAddJobs, facts...); err != nil {
		return 0, err
	}
	_, err := t.exec(sqlMakeAllReady, places...)
	return groupRows, err
}

// insertPlain stores a job that is not unique, or the first of its key.
func (t *tx) insertPlain(job *offstage.NewJob) (offstage.ID, error) {
	w, err := t.addJob(job)
	if err != nil {
		return 0, err
	}
	if due := t.dueOf(job); due > t.now {
		return w.job, t.schedule(w, due, false)
	}
	return w.job, t.arrive(w)
}

// dueOf returns when a new job becomes due.
func (t *tx) dueOf(job *offstage.NewJob) int64 {
	if job.Unique != nil && job.Unique.Mode == offstage.Debounce {
		return t.now + job.Unique.Wait.Microseconds()
	}
	if !job.RunAt.IsZero() {
		return job.RunAt.UnixMicro()
	}
	return t.now + job.Delay.Microseconds()
}

// One row into the job table, at its end.
const sqlAddJob = `INSERT INTO offstage_job
(id, kind, queue, priority, args, max_attempts, timeout, created_at, run_at, uniq_key, uniq_mode, extra)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// addJob stores the facts of a job that waits for its first attempt.
func (t *tx) addJob(job *offstage.NewJob) (waiting, error) {
	kind, err := t.kind(job.Kind)
	if err != nil {
		return waiting{}, err
	}
	queue, err := t.queue(job.Queue)
	if err != nil {
		return waiting{}, err
	}
	extra, err := extraOf(job)
	if err != nil {
		return waiting{}, err
	}
	id, err := t.next(&t.count.job)
	if err != nil {
		return waiting{}, err
	}
	var key, mode any
	if job.Unique != nil {
		key, mode = job.Unique.Key, job.Unique.Mode
	}
	_, err = t.exec(sqlAddJob, id, kind.id, queue.id, job.Priority, string(job.Args), job.MaxAttempts, job.Timeout,
		t.now, t.dueOf(job), key, mode, extra)
	return waiting{job: offstage.ID(id), queue: queue.id, priority: int64(job.Priority), run: 1}, err
}

// extraOf returns the JSON of what a job carries beside its arguments; nil for
// nothing.
func extraOf(job *offstage.NewJob) (any, error) {
	if job.Extra.Empty() {
		return nil, nil
	}
	text, err := json.Marshal(job.Extra)
	return string(text), err
}
