package sqlite

import (
	"context"
	"encoding/json"

	"github.com/offstagehq/offstage"
)

// Insert stores the jobs in the writer's next transaction.
func (s *Store) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	o := &op{weight: len(jobs), done: make(chan struct{}), jobs: jobs}
	o.run = func(t *tx) (err error) {
		o.inserted, err = t.insert(jobs)
		return err
	}
	if err := s.writeOp(ctx, "insert jobs", o); err != nil {
		return nil, err
	}
	return o.inserted, nil
}

// inserts returns how many of the ops, from the first on, are inserts of few jobs.
func inserts(ops []*op) (n int) {
	for n < len(ops) && len(ops[n].jobs) > 0 && len(ops[n].jobs) < groupRows {
		n++
	}
	return n
}

// insertTogether stores what several inserts bring as if one brought it: a statement
// of many rows costs less than as many statements. If it fails, nobody knows for whom.
func (t *tx) insertTogether(ops []*op) error {
	var jobs []offstage.NewJob
	for _, o := range ops {
		jobs = append(jobs, o.jobs...)
	}
	inserted, err := t.insert(jobs)
	if err != nil {
		return err
	}
	for _, o := range ops {
		o.inserted, inserted = inserted[:len(o.jobs):len(o.jobs)], inserted[len(o.jobs):]
	}
	return nil
}

func (t *tx) insert(jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	inserted := make([]offstage.Inserted, len(jobs))
	for i := 0; i < len(jobs); {
		stored, err := t.insertUsual(jobs[i:], inserted[i:])
		if err == nil && stored == 0 {
			inserted[i], err = t.insertOne(&jobs[i])
			stored = 1
		}
		if err != nil {
			return nil, err
		}
		i += stored
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

// usualSQL is what most jobs come to, so many of them: a value that is not sent need
// not be bound. ?1 is the time, the others follow it.
type usualSQL struct{ jobs, ready string }

var oneUsual, groupUsual = storeUsual(1), storeUsual(groupRows)

func storeUsual(n int) usualSQL {
	return usualSQL{
		jobs: `INSERT INTO offstage_job
(created_at, run_at, id, kind, queue, priority, args, max_attempts, timeout) VALUES ` + repeat("(?1, ?1, ?, ?, ?, ?, ?, ?, ?)", n),
		ready: `INSERT INTO offstage_ready (since, queue, priority, band, seq, job, run, errors, lost) VALUES ` +
			repeat("(?1, ?, ?, 1, ?, ?, 1, 0, 0)", n),
	}
}

// insertUsual stores the first groupRows jobs, or the first, if they are of the usual
// kind: not unique, due at once, and nothing beside the arguments. Otherwise it does
// nothing. It answers how many it stored.
func (t *tx) insertUsual(jobs []offstage.NewJob, inserted []offstage.Inserted) (int, error) {
	n := 0
	for n < min(len(jobs), groupRows) && isUsualJob(&jobs[n]) {
		n++
	}
	switch {
	case n == groupRows:
		return n, t.addUsual(groupUsual, jobs[:n], inserted)
	case n > 0:
		return 1, t.addUsual(oneUsual, jobs[:1], inserted)
	}
	return 0, nil
}

func isUsualJob(job *offstage.NewJob) bool {
	return job.Unique == nil && job.Delay == 0 && job.RunAt.IsZero() && job.Extra.Empty()
}

func (t *tx) addUsual(sql usualSQL, jobs []offstage.NewJob, inserted []offstage.Inserted) error {
	facts, places := append(make([]any, 0, 1+7*len(jobs)), t.now), append(make([]any, 0, 1+4*len(jobs)), t.now)
	for i := range jobs {
		job := &jobs[i]
		kind, err := t.kind(job.Kind)
		if err != nil {
			return err
		}
		queue, err := t.queue(job.Queue)
		if err != nil {
			return err
		}
		id, err := t.next(&t.count.job)
		if err != nil {
			return err
		}
		inserted[i].ID = offstage.ID(id)
		facts = append(facts, id, kind.id, queue.id, job.Priority, string(job.Args), job.MaxAttempts, job.Timeout)
		places = append(places, queue.id, job.Priority, id, id)
	}
	t.tell(offstage.NewsReady)
	if _, err := t.exec(sql.jobs, facts...); err != nil {
		return err
	}
	_, err := t.exec(sql.ready, places...)
	return err
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
