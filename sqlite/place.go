package sqlite

import (
	"github.com/offstagehq/offstage"
)

// waiting is a job between its attempts: where it belongs and what its next
// attempt carries.
type waiting struct {
	job      offstage.ID
	queue    int64
	priority int64
	run      int // of the next attempt
	errors   int
	lost     int
}

// The bands of the ready jobs of one priority.
const (
	bandFront   = 0 // rescued, handed back, asked for by hand
	bandArrival = 1 // all others
)

// One row into the ready table; its primary key and the index on job.
const sqlMakeReady = `INSERT INTO offstage_ready (queue, priority, band, seq, job, run, errors, lost, since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

// makeReady puts a job at the end of a band.
func (t *tx) makeReady(w waiting, band int) error {
	seq, err := t.next(&t.count.seq)
	if err != nil {
		return err
	}
	t.tell(offstage.NewsReady)
	_, err = t.exec(sqlMakeReady, w.queue, w.priority, band, seq, w.job, w.run, w.errors, w.lost, t.now)
	return err
}

// One row into the scheduled table; its primary key and the index on job.
const sqlSchedule = `INSERT INTO offstage_scheduled (run_at, job, run, errors, lost, retry) VALUES (?, ?, ?, ?, ?, ?)`

// schedule lets a job wait until runAt.
func (t *tx) schedule(w waiting, runAt int64, retry bool) error {
	if runAt-t.now <= offstage.Soon.Microseconds() {
		t.tell(offstage.NewsAny) // whoever promotes may have to get up earlier
	}
	_, err := t.exec(sqlSchedule, runAt, w.job, w.run, w.errors, w.lost, retry)
	return err
}

// place makes a job ready, or schedules it if its time has not come.
func (t *tx) place(w waiting, runAt int64) error {
	if runAt > t.now {
		return t.schedule(w, runAt, false)
	}
	return t.makeReady(w, bandArrival)
}

// One row into the parked table; its primary key and the index on kind.
const sqlPark = `INSERT INTO offstage_parked (job, kind, reason, run, errors, lost) VALUES (?, ?, ?, ?, ?, ?)`

// park lets a job wait for something other than time.
func (t *tx) park(w waiting, kind int64, reason string) error {
	_, err := t.exec(sqlPark, w.job, kind, reason, w.run, w.errors, w.lost)
	return err
}

// One job by the index on job, or the primary key, of each table.
const (
	sqlUnready    = `DELETE FROM offstage_ready WHERE job = ?`
	sqlUnschedule = `DELETE FROM offstage_scheduled WHERE job = ?`
	sqlUnpark     = `DELETE FROM offstage_parked WHERE job = ?`
	sqlUnstage    = `DELETE FROM offstage_staged WHERE job = ?`
)

// unplace takes a job out of whichever table it waits in.
func (t *tx) unplace(job offstage.ID) error {
	for _, query := range []string{sqlUnready, sqlUnschedule, sqlUnpark, sqlUnstage} {
		if n, err := t.exec(query, job); err != nil || n > 0 {
			return err
		}
	}
	return nil
}
