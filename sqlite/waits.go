package sqlite

import (
	"context"
	"encoding/json"

	"github.com/offstagehq/offstage"
)

// Signal stores a signal in the writer's next transaction.
func (s *Store) Signal(ctx context.Context, name string, payload []byte) (report offstage.SignalReport, err error) {
	err = s.write(ctx, "give a signal", func(t *tx) (err error) {
		report, err = t.signal(name, payload)
		return err
	})
	return report, err
}

// Signal stores a signal with the caller's transaction.
func (x *txStore) Signal(ctx context.Context, name string, payload []byte) (report offstage.SignalReport, err error) {
	err = x.run(ctx, "give a signal", func(t *tx) (err error) {
		report, err = t.signal(name, payload)
		return err
	})
	return report, err
}

// One signal by its name.
const (
	sqlSignal     = `INSERT INTO offstage_signal (name, at, payload) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`
	sqlFindSignal = `SELECT payload FROM offstage_signal WHERE name = ?`
)

func (t *tx) signal(name string, payload []byte) (report offstage.SignalReport, err error) {
	n, err := t.exec(sqlSignal, name, t.now, string(payload))
	if err != nil || n == 0 {
		return report, err
	}
	report.First = true
	report.Woken, err = t.wake(offstage.SignalKey(name))
	return report, err
}

// FindSignal reads a signal.
func (s *Store) FindSignal(ctx context.Context, name string) (payload []byte, found bool, err error) {
	err = s.glance(ctx, "look for a signal", func(ses session) error {
		r, err := first(ses.rows(sqlFindSignal, name))
		if found = r != nil; found {
			payload = r.json(0)
		}
		return err
	})
	return payload, found, err
}

// RememberChild stores a job and the step that names it in the writer's next
// transaction.
func (s *Store) RememberChild(ctx context.Context, hold offstage.Hold, name string, job offstage.NewJob, raise bool) (id offstage.ID, err error) {
	err = s.write(ctx, "enqueue a child", func(t *tx) error {
		if raise {
			if err := t.raise(hold); err != nil {
				return err
			}
		}
		if err := t.mustBeMine(hold); err != nil {
			return err
		}
		known, err := first(t.rows(sqlStep, hold.Job, name))
		if err != nil {
			return err
		}
		if known != nil {
			return json.Unmarshal(known.json(7), &id)
		}
		inserted, err := t.insert([]offstage.NewJob{job})
		if err != nil {
			return err
		}
		id = inserted[0].ID
		return t.remember(hold, &offstage.NewStep{Name: name, Kind: offstage.StepChild, Tries: 1, Value: []byte(id.String())})
	})
	return id, err
}

// One job's wait, by the primary key.
const (
	sqlWait      = `INSERT INTO offstage_wait (job, key, run) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET key = excluded.key, run = excluded.run`
	sqlEraseWait = `DELETE FROM offstage_wait WHERE job = ?`
)

// await parks a job until what a key names comes, or makes it ready if that is
// there. All writers take turns, so nothing comes between the look and the parking.
func (t *tx) await(w waiting, kind int64, r *offstage.Result) error {
	there, err := t.isThere(r.WaitKey)
	if err != nil {
		return err
	}
	if there {
		return t.makeReady(w, bandArrival)
	}
	if _, err := t.exec(sqlWait, w.job, r.WaitKey, w.run); err != nil {
		return err
	}
	if r.Wait > 0 {
		return t.schedule(w, t.now+r.Wait.Microseconds(), false)
	}
	return t.park(w, kind, r.Waits)
}

// isThere reports whether what a key names has come: a signal, or the end of a job,
// which one that is gone has had.
func (t *tx) isThere(key string) (bool, error) {
	if id, ok := offstage.EndOf(key); ok {
		at, err := t.find(id)
		if err == offstage.ErrNotFound {
			return true, nil
		}
		return at.state.Terminal(), err
	}
	name, _ := offstage.SignalOf(key)
	r, err := first(t.rows(sqlFindSignal, name))
	return r != nil, err
}

// The waits for a key, by the index on it, with what the rows by which their jobs
// wait know. A wait without one is over.
const sqlWaitsFor = `SELECT w.job, j.queue, j.priority, coalesce(p.run, s.run), coalesce(p.errors, s.errors), coalesce(p.lost, s.lost)
FROM offstage_wait w
LEFT JOIN offstage_parked p ON p.job = w.job AND p.run = w.run AND p.reason = w.key
LEFT JOIN offstage_scheduled s ON s.job = w.job AND s.run = w.run AND s.retry = 0
LEFT JOIN offstage_job j ON j.id = w.job
WHERE w.key = ?`

// wake makes the jobs ready that wait for a key, and returns how many.
func (t *tx) wake(key string) (woken int, err error) {
	var jobs []waiting
	for r, err := range t.rows(sqlWaitsFor, key) {
		if err != nil {
			return 0, err
		}
		jobs = append(jobs, waiting{r.id(0), r.num(1), r.num(2), r.int(3), r.int(4), r.int(5)})
	}
	for _, w := range jobs {
		if _, err := t.exec(sqlEraseWait, w.job); err != nil {
			return 0, err
		}
		if w.run == 0 {
			continue // somebody has taken it out of its wait
		}
		if err := t.unplace(w.job); err != nil {
			return 0, err
		}
		if err := t.makeReady(w, bandArrival); err != nil {
			return 0, err
		}
		woken++
	}
	return woken, nil
}

// Old signals, by the index on at.
const sqlExpireSignals = `DELETE FROM offstage_signal WHERE name IN (SELECT name FROM offstage_signal WHERE at <= ? ORDER BY at LIMIT ?)`
