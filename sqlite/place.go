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

// place is where a ready job is in its queue.
type place struct{ priority, band, seq int64 }

// Where the ready row of a job j is: always at the job's queue and priority, so whoever
// changes these moves the ready row first. One that came with the job is in the band of
// arrival with the job's id for its seq; for all others m, the index
// offstage_ready_moved, knows band and seq. The job is compared, too: a program of an
// earlier version may have given that seq to another's.
const (
	sqlMoved   = ` LEFT JOIN offstage_ready m ON m.job = j.id AND (m.band <> 1 OR m.seq <> m.job)`
	sqlReadyAt = `j.queue, j.priority, coalesce(m.band, 1), coalesce(m.seq, j.id), j.id`

	// For the FROM of a statement about jobs j: their ready rows r, if they have one.
	sqlJoinReady = sqlMoved + ` LEFT JOIN offstage_ready r ON (r.queue, r.priority, r.band, r.seq, r.job) = (` + sqlReadyAt + `)`
	// For the WHERE of a statement about ready rows: the one of a job.
	sqlReadyOf = `(queue, priority, band, seq, job) = (SELECT ` + sqlReadyAt + ` FROM offstage_job j` + sqlMoved + ` WHERE j.id = ?)`
)

// One row into the ready table: its primary key and, unless the row comes with its
// job, the index of the moved.
const sqlMakeReady = `INSERT INTO offstage_ready (queue, priority, band, seq, job, run, errors, lost, since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

// arrive makes a job ready that was just added: its number is its place, too.
func (t *tx) arrive(w waiting) error { return t.addReady(w, bandArrival, int64(w.job)) }

// makeReady puts a job at the end of a band.
func (t *tx) makeReady(w waiting, band int) error {
	seq, err := t.next(&t.count.job)
	if err != nil {
		return err
	}
	return t.addReady(w, band, seq)
}

func (t *tx) addReady(w waiting, band int, seq int64) error {
	t.tell(offstage.NewsReady)
	_, err := t.exec(sqlMakeReady, w.queue, w.priority, band, seq, w.job, w.run, w.errors, w.lost, t.now)
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

// One job by the primary key, or the index on job, of each table.
const (
	sqlUnready    = `DELETE FROM offstage_ready WHERE ` + sqlReadyOf
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
