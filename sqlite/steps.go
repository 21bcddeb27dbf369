package sqlite

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

// Recall raises a job's epoch in the writer's next transaction and reads its
// steps there.
func (s *Store) Recall(ctx context.Context, hold offstage.Hold) ([]offstage.StepInfo, error) {
	var steps []offstage.StepInfo
	err := s.write(ctx, "recall steps", func(t *tx) error {
		if err := t.raise(hold); err != nil {
			return err
		}
		var err error
		steps, err = stepsOf(t, hold.Job, t.now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return steps, nil
}

// Remember stores a step in the writer's next transaction.
func (s *Store) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	return s.write(ctx, "remember a step", func(t *tx) error {
		if raise {
			if err := t.raise(hold); err != nil {
				return err
			}
		}
		return t.remember(hold, &step)
	})
}

// The epoch of a job by its primary key.
const (
	sqlEpoch = `SELECT run FROM offstage_epoch WHERE job = ?`
	sqlRaise = `INSERT INTO offstage_epoch (job, run) VALUES (?, ?) ON CONFLICT DO UPDATE SET run = excluded.run`
)

// raise makes a run the one that may write, if its claim holds, it has not ended,
// and none that came later has written.
func (t *tx) raise(hold offstage.Hold) error {
	epoch, err := first(t.rows(sqlEpoch, hold.Job))
	if err != nil {
		return err
	}
	fence := fence{t: t, worker: hold.Worker, claims: map[int64]*openClaim{}}
	claim, err := fence.claim(hold.Claim)
	if err != nil {
		return err
	}
	ended, err := first(t.rows(sqlHasEnded, hold.Job, hold.Run))
	if err != nil {
		return err
	}
	if claim == nil || claim.runs[hold.Job] != hold.Run || ended != nil || epoch != nil && epoch.int(0) > hold.Run {
		return offstage.ErrLeaseLost
	}
	if epoch != nil && epoch.int(0) == hold.Run {
		return nil
	}
	_, err = t.exec(sqlRaise, hold.Job, hold.Run)
	return err
}

// mustBeMine answers ErrLeaseLost unless the epoch is this run's. All writers
// take turns, so it stays so until the transaction ends.
func (t *tx) mustBeMine(hold offstage.Hold) error {
	epoch, err := first(t.rows(sqlEpoch, hold.Job))
	if err == nil && (epoch == nil || epoch.int(0) != hold.Run) {
		err = offstage.ErrLeaseLost
	}
	return err
}

// One step by its primary key. A cursor takes the place of the one before.
const sqlRemember = `INSERT INTO offstage_step (job, name, kind, run, tries, finished_at, took, wake_at, value)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET run = excluded.run, tries = excluded.tries, finished_at = excluded.finished_at, took = excluded.took, value = excluded.value
WHERE kind = 2 AND excluded.kind = 2`

func (t *tx) remember(hold offstage.Hold, step *offstage.NewStep) error {
	if err := t.mustBeMine(hold); err != nil {
		return err
	}
	var wakeAt any
	if step.Kind == offstage.StepSleep {
		wakeAt = t.now + step.Wait.Microseconds()
	}
	_, err := t.exec(sqlRemember, hold.Job, step.Name, int(step.Kind), hold.Run, step.Tries, t.now, step.Took.Microseconds(), wakeAt, textOf(step.Value))
	return err
}

// The steps of a job, or one of them, by the primary key.
const (
	sqlStepColumns = `SELECT name, kind, run, tries, finished_at, took, wake_at, value FROM offstage_step WHERE job = ? `
	sqlSteps       = sqlStepColumns + `ORDER BY finished_at, name`
	sqlStep        = sqlStepColumns + `AND name = ?`
)

func readStep(r row, now int64) offstage.StepInfo {
	info := offstage.StepInfo{
		Name: r.text(0), Kind: offstage.StepKind(r.num(1)), Run: r.int(2), Tries: r.int(3),
		FinishedAt: r.when(4), StartedAt: r.when(4).Add(-time.Duration(r.num(5)) * time.Microsecond),
		WakeAt: r.when(6), Value: r.json(7),
	}
	if !r.null(6) {
		info.Left = max(time.Duration(r.num(6)-now)*time.Microsecond, 0)
	}
	return info
}

// stepsOf returns a job's steps, the oldest first.
func stepsOf(ses session, job offstage.ID, now int64) (steps []offstage.StepInfo, err error) {
	for r, err := range ses.rows(sqlSteps, job) {
		if err != nil {
			return nil, err
		}
		steps = append(steps, readStep(r, now))
	}
	return steps, nil
}

// What a job leaves behind in these tables, by their primary keys.
const (
	sqlEraseSteps = `DELETE FROM offstage_step WHERE job = ?`
	sqlEraseEpoch = `DELETE FROM offstage_epoch WHERE job = ?`
	sqlProgressed = `SELECT 1 FROM offstage_step WHERE job = ? AND run = ? LIMIT 1`
)

// progressed reports whether a run has remembered anything.
func (t *tx) progressed(job offstage.ID, run int) (bool, error) {
	r, err := first(t.rows(sqlProgressed, job, run))
	return r != nil, err
}

// Recall looks for a step in the caller's transaction.
func (x *txStore) Recall(ctx context.Context, hold offstage.Hold, name string) (found *offstage.StepInfo, err error) {
	err = x.run(ctx, "recall a step", func(t *tx) error {
		if err := t.mustBeMine(hold); err == offstage.ErrLeaseLost {
			err = t.raise(hold)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		r, err := first(t.rows(sqlStep, hold.Job, name))
		if r != nil {
			info := readStep(r, t.now)
			found = &info
		}
		return err
	})
	return found, err
}

// Remember stores a step with the caller's transaction.
func (x *txStore) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep) error {
	return x.run(ctx, "remember a step", func(t *tx) error { return t.remember(hold, &step) })
}

// One key by the primary key, and old ones, or old signals, by the index on at.
const (
	sqlOnce       = `INSERT INTO offstage_once (key, at) VALUES (?, ?) ON CONFLICT DO NOTHING`
	sqlExpireOnce = `DELETE FROM offstage_once WHERE key IN (SELECT key FROM offstage_once WHERE at <= ? ORDER BY at LIMIT ?)`
	sqlOldOnce    = `SELECT 1 FROM offstage_once WHERE at <= ? UNION ALL SELECT 1 FROM offstage_signal WHERE at <= ? LIMIT 1`
)

// Once takes a key with the caller's transaction.
func (x *txStore) Once(ctx context.Context, key string) (taken bool, err error) {
	err = x.run(ctx, "take a key", func(t *tx) error {
		n, err := t.exec(sqlOnce, key, t.now)
		taken = n == 1
		return err
	})
	return taken, err
}
