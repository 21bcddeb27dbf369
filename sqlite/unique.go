package sqlite

import (
	"github.com/offstagehq/offstage"
)

// One key by the primary key.
const sqlHolder = `SELECT job, queued, until, live, first FROM offstage_uniq WHERE key = ?`

// insertUnique stores a job unless its key is held; what it does then is its
// mode's business. The writer is alone, so what it reads here stays true.
func (t *tx) insertUnique(job *offstage.NewJob) (offstage.Inserted, error) {
	key := job.Unique
	held, err := first(t.rows(sqlHolder, key.Key))
	if err != nil {
		return offstage.Inserted{}, err
	}
	if held == nil || !held.yes(3) && held.num(2) <= t.now {
		return t.insertHolder(job, nil)
	}
	holder, existed := held.id(0), offstage.Inserted{ID: held.id(0), Existed: true}
	if !held.yes(3) { // it has ended, yet its period has not
		return existed, nil
	}
	switch key.Mode {
	case offstage.Replace, offstage.Debounce:
		replaced, err := t.replace(holder, job, held.num(4))
		if err != nil || replaced {
			return existed, err
		}
		return t.insertHolder(job, held[1])
	case offstage.KeepLast:
		return t.insertFollower(job, held)
	}
	return existed, nil
}

// One key by the primary key, taken over from whoever had it.
const sqlTakeKey = `INSERT INTO offstage_uniq (key, job, queued, until, live, first) VALUES (?, ?, ?, ?, 1, ?)
ON CONFLICT DO UPDATE SET job = excluded.job, queued = excluded.queued, until = excluded.until, live = 1, first = excluded.first`

// insertHolder stores a new job that takes the key, and leaves it its follower.
func (t *tx) insertHolder(job *offstage.NewJob, follower any) (offstage.Inserted, error) {
	id, err := t.insertPlain(job)
	if err != nil {
		return offstage.Inserted{}, err
	}
	_, err = t.exec(sqlTakeKey, job.Unique.Key, id, follower, t.now+job.Unique.Period.Microseconds(), t.now)
	return offstage.Inserted{ID: id}, err
}

const sqlFollow = `UPDATE offstage_uniq SET queued = ? WHERE key = ?`

// insertFollower gives the follower of a key the new facts, or makes one.
func (t *tx) insertFollower(job *offstage.NewJob, held row) (offstage.Inserted, error) {
	if !held.null(1) {
		follower := held.id(1)
		_, err := t.rewrite(follower, job, t.dueOf(job))
		return offstage.Inserted{ID: follower, Existed: true}, err
	}
	w, err := t.addJob(job)
	if err != nil {
		return offstage.Inserted{}, err
	}
	kind, err := t.kind(job.Kind)
	if err != nil {
		return offstage.Inserted{}, err
	}
	if err := t.park(w, kind.id, offstage.WaitsUnique); err != nil {
		return offstage.Inserted{}, err
	}
	_, err = t.exec(sqlFollow, w.job, job.Unique.Key)
	return offstage.Inserted{ID: w.job}, err
}

// replace gives a waiting holder the new facts and its new place, and reports
// whether it was waiting. A burst that began at first is put off no longer than
// its longest wait.
func (t *tx) replace(holder offstage.ID, job *offstage.NewJob, first int64) (bool, error) {
	at, err := t.find(holder)
	if err != nil || !at.state.Waiting() {
		return false, err
	}
	due := t.dueOf(job)
	if u := job.Unique; u.Mode == offstage.Debounce {
		longest := u.MaxWait
		if longest == 0 {
			longest = 10 * u.Wait
		}
		due = min(due, first+longest.Microseconds())
	}
	if err := t.unplace(holder); err != nil {
		return false, err
	}
	w, err := t.rewrite(holder, job, due)
	if err != nil {
		return false, err
	}
	w.run, w.errors, w.lost = at.run, at.errors, at.lost
	return true, t.place(w, due)
}

// One job by its primary key: all but what it is and when it came.
const sqlRewrite = `UPDATE offstage_job SET queue = ?, priority = ?, args = ?, max_attempts = ?, timeout = ?, run_at = ?, uniq_mode = ?, extra = ? WHERE id = ?`

// rewrite gives a job that is not ready the facts of another, and returns where it
// now belongs.
func (t *tx) rewrite(id offstage.ID, job *offstage.NewJob, due int64) (waiting, error) {
	queue, err := t.queue(job.Queue)
	if err != nil {
		return waiting{}, err
	}
	extra, err := extraOf(job)
	if err != nil {
		return waiting{}, err
	}
	_, err = t.exec(sqlRewrite, queue.id, job.Priority, string(job.Args), job.MaxAttempts, job.Timeout, due, job.Unique.Mode, extra, id)
	return waiting{job: id, queue: queue.id, priority: int64(job.Priority)}, err
}

// One key by the primary key.
const (
	sqlPassKey  = `UPDATE offstage_uniq SET job = queued, queued = NULL WHERE key = ?`
	sqlRestKey  = `UPDATE offstage_uniq SET live = 0 WHERE key = ?`
	sqlDropKey  = `DELETE FROM offstage_uniq WHERE key = ?`
	sqlUnfollow = `UPDATE offstage_uniq SET queued = NULL WHERE key = ? AND queued = ?`
)

// releaseKey is called when a job with a key ends. Its follower, if it has one,
// takes the key and stops waiting; else the key is free when its period is over,
// or now if its job is deleted. A job that does not hold the key changes nothing, but if it is the follower
// there is none any more.
func (t *tx) releaseKey(key []byte, job offstage.ID, deleted bool) error {
	held, err := first(t.rows(sqlHolder, key))
	if err != nil || held == nil {
		return err
	}
	switch {
	case held.id(0) != job:
		_, err = t.exec(sqlUnfollow, key, job)
	case !held.null(1):
		if _, err = t.exec(sqlPassKey, key); err == nil {
			err = t.unpark(held.id(1))
		}
	case held.num(2) > t.now && !deleted:
		_, err = t.exec(sqlRestKey, key)
	default:
		_, err = t.exec(sqlDropKey, key)
	}
	return err
}

// unpark lets a blocked job go on.
func (t *tx) unpark(job offstage.ID) error {
	at, err := t.find(job)
	if err != nil || at.state != offstage.Blocked {
		return err
	}
	if _, err := t.exec(sqlUnpark, job); err != nil {
		return err
	}
	return t.place(at.waiting, at.runAt)
}

// retakeKey gives an ended job its key again. It answers the job that holds it
// meanwhile, 0 for none.
func (t *tx) retakeKey(key []byte, job offstage.ID) (offstage.ID, error) {
	held, err := first(t.rows(sqlHolder, key))
	if err != nil {
		return 0, err
	}
	if held != nil && held.yes(3) && held.id(0) != job {
		return held.id(0), nil
	}
	until, follower := t.now, any(nil)
	if held != nil {
		until, follower = held.num(2), held[1]
	}
	_, err = t.exec(sqlTakeKey, key, job, follower, until, t.now)
	return 0, err
}
