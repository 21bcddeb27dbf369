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
	for i := range jobs {
		var err error
		if jobs[i].Unique != nil {
			inserted[i], err = t.insertUnique(&jobs[i])
		} else {
			inserted[i].ID, err = t.insertPlain(&jobs[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

// insertPlain stores a job that is not unique, or the first of its key.
func (t *tx) insertPlain(job *offstage.NewJob) (offstage.ID, error) {
	w, err := t.addJob(job)
	if err != nil {
		return 0, err
	}
	return w.job, t.place(w, t.dueOf(job))
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
