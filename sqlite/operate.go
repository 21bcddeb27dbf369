package sqlite

import (
	"context"
	"fmt"

	"github.com/offstagehq/offstage"
)

// place of a job that is looked up: its state and what an operator's change
// needs to know.
type standing struct {
	waiting // run is that of the next attempt, or of the latest when it is running or has ended
	kind    int64
	state   offstage.State
	runAt   int64
	key     []byte
}

// One job with the one row that says where it stands, by the same keys as sqlInfo.
const sqlStanding = `SELECT j.queue, j.priority, j.kind, j.run_at, j.uniq_key,
r.run, r.errors, r.lost,
s.run, s.errors, s.lost, s.retry,
p.run, p.errors, p.lost,
g.batch, g.run_at, b.published,
a.run, a.errors, a.lost, a.next
FROM offstage_job j` + sqlJoinReady + `
LEFT JOIN offstage_scheduled s ON s.job = j.id
LEFT JOIN offstage_parked p ON p.job = j.id
LEFT JOIN offstage_staged g ON g.job = j.id
LEFT JOIN offstage_batch b ON b.id = g.batch
LEFT JOIN offstage_attempt a ON a.job = j.id AND a.run = (SELECT max(run) FROM offstage_attempt WHERE job = j.id)
WHERE j.id = ?`

// find returns where a job stands, or ErrNotFound.
func (t *tx) find(id offstage.ID) (standing, error) {
	r, err := first(t.rows(sqlStanding, id))
	if err != nil {
		return standing{}, err
	}
	if r == nil || !r.null(15) && !r.yes(17) {
		return standing{}, offstage.ErrNotFound
	}
	at := standing{kind: r.num(2), runAt: r.num(3), key: r.blob(4)}
	at.job, at.queue, at.priority, at.run = id, r.num(0), r.num(1), 1
	count := func(i int) { at.run, at.errors, at.lost = r.int(i), r.int(i+1), r.int(i+2) }
	switch {
	case !r.null(5):
		at.state = offstage.Ready
		count(5)
	case !r.null(8):
		at.state = offstage.Scheduled
		if r.yes(11) {
			at.state = offstage.Retrying
		}
		count(8)
	case !r.null(12):
		at.state = offstage.Blocked
		count(12)
	case !r.null(15):
		at.state = offstage.Ready
		if r.num(16) > t.now {
			at.state = offstage.Scheduled
		}
	case offstage.State(r.num(21)).Terminal():
		at.state = offstage.State(r.num(21))
		count(18)
	default:
		at.state = offstage.Running
	}
	return at, nil
}

// Apply changes one job in the writer's next transaction.
func (s *Store) Apply(ctx context.Context, change offstage.Change) (offstage.State, error) {
	var state offstage.State
	err := s.write(ctx, string(change.Verb)+" a job", func(t *tx) error {
		at, err := t.find(change.Job)
		if err != nil {
			return err
		}
		state, err = t.apply(change, at)
		return err
	})
	return state, err
}

func (t *tx) apply(change offstage.Change, at standing) (offstage.State, error) {
	refuse := func(hint string) (offstage.State, error) {
		return at.state, &offstage.StateError{ID: at.job, State: at.state, Verb: change.Verb, Hint: hint}
	}
	timed := at.state == offstage.Scheduled || at.state == offstage.Retrying || at.state == offstage.Ready
	switch change.Verb {
	case offstage.VerbCancel:
		if at.state == offstage.Completed || at.state == offstage.Failed {
			return refuse("it has ended")
		}
		return t.cancel(at)
	case offstage.VerbRetry:
		return t.retry(at, refuse)
	case offstage.VerbDelete:
		if at.state == offstage.Running {
			return refuse("cancel it first")
		}
		return at.state, t.erase(at)
	case offstage.VerbRunNow:
		if !timed {
			return refuse("")
		}
		return offstage.Ready, t.move(at, t.now, func() error { return t.makeReady(at.waiting, bandFront) })
	case offstage.VerbReschedule:
		if !timed {
			return refuse("")
		}
		return t.reschedule(at, change)
	case offstage.VerbPrioritize:
		if !at.state.Waiting() {
			return refuse("")
		}
		return at.state, t.prioritize(at, change.Priority)
	}
	return 0, &offstage.InvalidError{Field: "verb", Problem: fmt.Sprintf("%q is not one that this store knows", change.Verb)}
}

const sqlCancel = `INSERT INTO offstage_cancel (job, at) VALUES (?, ?) ON CONFLICT DO NOTHING`

// cancel ends a waiting job, and asks for the end of a running one.
func (t *tx) cancel(at standing) (offstage.State, error) {
	if at.state == offstage.Cancelled {
		return at.state, nil
	}
	if at.state == offstage.Running {
		t.cancels = nil
		t.tell(offstage.NewsCancel)
		_, err := t.exec(sqlCancel, at.job, t.now)
		return offstage.Running, err
	}
	return offstage.Cancelled, t.cancelWaiting(at)
}

// cancelWaiting ends a job that no worker has, by an attempt that never began.
func (t *tx) cancelWaiting(at standing) error {
	if err := t.unplace(at.job); err != nil {
		return err
	}
	end := offstage.Result{
		Job: at.job, Run: at.run, Outcome: offstage.OutcomeCancelled, Errors: at.errors, Lost: at.lost,
	}
	if _, err := t.record(0, &end, offstage.Cancelled); err != nil {
		return err
	}
	return t.settle(at.job, at.key, true)
}

// The last attempt of an ended job, by its primary key: a terminal next on the
// last run always means that the job has ended.
const sqlReopen = `UPDATE offstage_attempt SET next = ? WHERE job = ? AND run = ?`

// retry makes an ended or retrying job ready at the front, its counters at zero.
func (t *tx) retry(at standing, refuse func(string) (offstage.State, error)) (offstage.State, error) {
	again := waiting{job: at.job, queue: at.queue, priority: at.priority, run: at.run}
	if at.state == offstage.Retrying {
		return offstage.Ready, t.move(at, t.now, func() error { return t.makeReady(again, bandFront) })
	}
	if !at.state.Terminal() {
		return refuse("")
	}
	if len(at.key) > 0 {
		holder, err := t.retakeKey(at.key, at.job)
		if err != nil {
			return 0, err
		}
		if holder != 0 {
			return refuse(fmt.Sprintf("job %d holds its unique key", holder))
		}
	}
	if _, err := t.exec(sqlReopen, offstage.Ready, at.job, at.run); err != nil {
		return 0, err
	}
	again.run++
	return offstage.Ready, t.makeReady(again, bandFront)
}

const sqlDue = `UPDATE offstage_job SET run_at = ? WHERE id = ?`

// move takes a waiting job from its place, notes when it is due, and puts it
// where it is to be.
func (t *tx) move(at standing, due int64, put func() error) error {
	if err := t.unplace(at.job); err != nil {
		return err
	}
	if _, err := t.exec(sqlDue, due, at.job); err != nil {
		return err
	}
	return put()
}

// reschedule gives a waiting job another time.
func (t *tx) reschedule(at standing, change offstage.Change) (offstage.State, error) {
	due := t.now + change.Delay.Microseconds()
	if !change.RunAt.IsZero() {
		due = change.RunAt.UnixMicro()
	}
	if due <= t.now {
		return offstage.Ready, t.move(at, due, func() error { return t.makeReady(at.waiting, bandArrival) })
	}
	state := offstage.Scheduled
	if at.state == offstage.Retrying {
		state = offstage.Retrying
	}
	return state, t.move(at, due, func() error { return t.schedule(at.waiting, due, state == offstage.Retrying) })
}

// One row of a job in each table, by the primary key or the index on job.
const (
	sqlSetPriority    = `UPDATE offstage_job SET priority = ? WHERE id = ?`
	sqlReadyPriority  = `UPDATE offstage_ready SET priority = ?, seq = ? WHERE ` + sqlReadyOf
	sqlStagedPriority = `UPDATE offstage_staged SET priority = ? WHERE job = ?`
)

// prioritize gives a waiting job another priority; if it is ready, it goes behind
// those that have it already.
func (t *tx) prioritize(at standing, priority int) error {
	t.tell(offstage.NewsReady)
	if at.state == offstage.Ready {
		seq, err := t.next(&t.count.job)
		if err != nil {
			return err
		}
		if _, err := t.exec(sqlReadyPriority, priority, seq, at.job); err != nil {
			return err
		}
	}
	for _, query := range []string{sqlSetPriority, sqlStagedPriority} {
		if _, err := t.exec(query, priority, at.job); err != nil {
			return err
		}
	}
	return nil
}

// One job by the primary key of each table.
const (
	sqlEraseJob      = `DELETE FROM offstage_job WHERE id = ?`
	sqlEraseProgress = `DELETE FROM offstage_progress WHERE job = ?`
	sqlEraseAttempts = `DELETE FROM offstage_attempt WHERE job = ?`
)

// erase removes a job and all about it. Attempts that an open claim names stay,
// as its fence; they go with a later Prune.
func (t *tx) erase(at standing) error {
	if err := t.unplace(at.job); err != nil {
		return err
	}
	if err := t.settle(at.job, nil, true); err != nil {
		return err
	}
	if len(at.key) > 0 {
		if err := t.releaseKey(at.key, at.job, true); err != nil {
			return err
		}
	}
	held, err := holders(t)
	if err != nil {
		return err
	}
	queries := []string{sqlEraseJob, sqlEraseProgress, sqlEraseSteps, sqlEraseEpoch, sqlEraseWait}
	if _, open := held[at.job]; !open {
		queries = append(queries, sqlEraseAttempts)
	}
	for _, query := range queries {
		if _, err := t.exec(query, at.job); err != nil {
			return err
		}
	}
	return nil
}
