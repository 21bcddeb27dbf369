package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// A job's epoch row is locked by whoever writes to its steps, so that a later
// run, which raises it, comes before or after: it reads the steps in the next
// statement, with a new snapshot.

// heldSQL is the job of a hold ($1 worker, $2 claim, $3 job, $4 run) whose
// attempt is under way.
const heldSQL = `SELECT $3::bigint AS job FROM offstage.claim c
WHERE c.worker = $1::bigint AND c.seq = $2::bigint AND EXISTS (
	SELECT FROM unnest(c.jobs, c.runs) h (job, run) WHERE h.job = $3::bigint AND coalesce(h.run, 1) = $4::int
) AND NOT EXISTS (SELECT FROM offstage.attempt a WHERE a.job = $3::bigint AND a.run = $4::int)`

// raiseSQL raises the epoch of a held job to its run; no row: it may not.
const raiseSQL = `INSERT INTO offstage.epoch AS e (job, run) SELECT held.job, $4::int FROM (` + heldSQL + `) held
ON CONFLICT (job) DO UPDATE SET run = excluded.run WHERE e.run <= excluded.run RETURNING job`

// mineSQL locks the epoch of job $3 if it is run $4's. It names $1 and $2, which
// it does not need, so that its parameters are those of raiseSQL.
const mineSQL = `SELECT job FROM offstage.epoch
WHERE job = $3::bigint AND run = $4::int AND $1::bigint IS NOT NULL AND $2::bigint IS NOT NULL FOR SHARE`

// rememberSQL stores a step, $5 name … $10 value, at $11, if the statement mine
// gives a row. It answers whether there was one.
const rememberSQL = `, stored AS (
	INSERT INTO offstage.step AS s (job, name, kind, run, tries, took, finished_at, wake_at, value)
	SELECT mine.job, $5::text, $6::smallint, $4::int, $7::int, $8::bigint, t.now,
		CASE WHEN $6::smallint = 3 THEN t.now + $9::bigint * interval '1 microsecond' END, $10::text
	FROM mine, (SELECT coalesce($11::timestamptz, statement_timestamp()) AS now) t
	ON CONFLICT (job, name) DO UPDATE SET run = excluded.run, tries = excluded.tries, took = excluded.took,
		finished_at = excluded.finished_at, value = excluded.value
	WHERE s.kind = 2 AND excluded.kind = 2
)
SELECT EXISTS (SELECT FROM mine)`

const (
	rememberRaisedSQL = `WITH mine AS (` + raiseSQL + `)` + rememberSQL
	rememberMineSQL   = `WITH mine AS MATERIALIZED (` + mineSQL + `)` + rememberSQL
)

// stepColumnsSQL reads steps of job $1; $2 is the time.
const (
	stepColumnsSQL = `SELECT name, kind, run, tries, took, finished_at, wake_at,
	greatest(0, extract(epoch FROM wake_at - coalesce($2::timestamptz, statement_timestamp())) * 1000000)::bigint, value
FROM offstage.step WHERE job = $1::bigint`
	stepsSQL = stepColumnsSQL + ` ORDER BY finished_at, name`
	stepSQL  = stepColumnsSQL + ` AND name = $3::text`
)

// stepRow is a row of stepColumnsSQL.
type stepRow struct {
	info     offstage.StepInfo
	kind     int
	took     int64
	finished time.Time
	wake     *time.Time
	left     *int64
	value    *string
}

func (r *stepRow) targets() []any {
	return []any{&r.info.Name, &r.kind, &r.info.Run, &r.info.Tries, &r.took, &r.finished, &r.wake, &r.left, &r.value}
}

func (r *stepRow) step() offstage.StepInfo {
	info := r.info
	info.Kind, info.FinishedAt, info.StartedAt = offstage.StepKind(r.kind), r.finished.UTC(), r.finished.Add(-micros(r.took)).UTC()
	info.WakeAt, info.Left, info.Value = utc(r.wake), micros(or(r.left)), rawOf(r.value)
	return info
}

// queueSteps queues the reading of a job's steps.
func (s *Store) queueSteps(b *pgx.Batch, job int64, into *[]offstage.StepInfo) {
	b.Queue(s.sql(stepsSQL), job, s.now()).Query(func(rows pgx.Rows) error {
		*into = nil
		var r stepRow
		_, err := pgx.ForEachRow(rows, r.targets(), func() error {
			*into = append(*into, r.step())
			return nil
		})
		return err
	})
}

// holdOf is the parameters $1 to $4 that name a hold.
func holdOf(hold offstage.Hold) []any {
	return []any{int64(hold.Worker), hold.Claim, int64(hold.Job), hold.Run}
}

// note is one attempt's part of a group that recalls and remembers steps.
type note struct {
	unit
	job  offstage.ID
	done chan error // of capacity 1
}

func (n *note) weight() int          { return 1 }
func (n *note) answer() <-chan error { return n.done }

// fewNotes is how many notes are on their way alone before those that come
// meanwhile share a commit.
const fewNotes = 2

// note carries out statements about one job's steps, which may be sent again: at
// once while few others are at it, else together with theirs.
func (s *Store) note(ctx context.Context, op string, job offstage.ID, build func(*pgx.Batch)) error {
	n := &note{unit{op, build, true}, job, make(chan error, 1)}
	defer s.noting.Add(-1)
	if s.noting.Add(1) <= fewNotes {
		return s.send(ctx, s.work, n.unit)
	}
	if err := s.usable(ctx, op); err != nil {
		return err
	}
	return s.notes.join(ctx, op, n)
}

// impatientSQL has a group that a caller's transaction holds up give up soon.
const impatientSQL = `SELECT set_config('lock_timeout', '50ms', true)`

// noteGroup carries a group out. All lock epochs in the
// order of jobs. If one cannot be stored, or waits for a caller's transaction (see
// [offstage.StepTx]), each is tried alone, beside the groups that follow.
func (s *Store) noteGroup(ctx context.Context, group []*note) (answer func()) {
	slices.SortStableFunc(group, func(a, b *note) int { return cmp.Compare(a.job, b.job) })
	err := s.send(ctx, s.work, unit{op: group[0].op, repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(impatientSQL)
		for _, n := range group {
			n.build(b)
		}
	}})
	alone := codeOf(err) == codeLockTimeout || len(group) > 1 && offstage.ClassOf(err) == offstage.FaultData
	return func() {
		for _, n := range group {
			if alone {
				s.notes.running.Go(func() { n.done <- s.send(ctx, s.work, n.unit) })
			} else {
				n.done <- err
			}
		}
	}
}

// Recall raises a job's epoch and reads its steps, in one round trip; see
// [offstage.Rememberer].
func (s *Store) Recall(ctx context.Context, hold offstage.Hold) ([]offstage.StepInfo, error) {
	var steps []offstage.StepInfo
	raised := false
	err := s.note(ctx, "recall steps", hold.Job, func(b *pgx.Batch) {
		b.Queue(s.sql(raiseSQL), holdOf(hold)...).Query(func(rows pgx.Rows) error {
			raised = rows.Next()
			rows.Close()
			return rows.Err()
		})
		s.queueSteps(b, int64(hold.Job), &steps)
	})
	if err != nil {
		return nil, err
	}
	if !raised {
		return nil, offstage.ErrLeaseLost
	}
	return steps, nil
}

// Remember stores a step in one statement; see [offstage.Rememberer].
func (s *Store) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	text := rememberMineSQL
	if raise {
		text = rememberRaisedSQL
	}
	mine := false
	err := s.note(ctx, "remember a step", hold.Job, func(b *pgx.Batch) {
		b.Queue(s.sql(text), s.stepOf(hold, step)...).QueryRow(func(row pgx.Row) error {
			return row.Scan(&mine)
		})
	})
	if err == nil && !mine {
		err = offstage.ErrLeaseLost
	}
	return err
}

// stepOf is the parameters of rememberSQL.
func (s *Store) stepOf(hold offstage.Hold, step offstage.NewStep) []any {
	return append(holdOf(hold), step.Name, int(step.Kind), step.Tries, step.Took.Microseconds(),
		step.Wait.Microseconds(), orNull(string(step.Value)), s.now())
}

// Recall looks for a step in the caller's transaction; see
// [offstage.TxRememberer].
func (t *txStore) Recall(ctx context.Context, hold offstage.Hold, name string) (*offstage.StepInfo, error) {
	const op = "recall a step in a transaction"
	if err := t.store.usable(ctx, op); err != nil {
		return nil, err
	}
	var job int64
	mine, err := t.tx.one(ctx, t.store.sql(mineSQL), holdOf(hold), &job)
	if err == nil && !mine {
		mine, err = t.tx.one(ctx, t.store.sql(raiseSQL), holdOf(hold), &job)
	}
	if err != nil {
		return nil, foreign(ctx, op, err)
	}
	if !mine {
		return nil, offstage.ErrLeaseLost
	}
	var r stepRow
	found, err := t.tx.one(ctx, t.store.sql(stepSQL), []any{int64(hold.Job), t.store.now(), name}, r.targets()...)
	if err != nil || !found {
		return nil, foreign(ctx, op, err)
	}
	info := r.step()
	return &info, nil
}

// Remember stores a step with the caller's transaction; see
// [offstage.TxRememberer].
func (t *txStore) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep) error {
	const op = "remember a step in a transaction"
	if err := t.store.usable(ctx, op); err != nil {
		return err
	}
	var mine bool
	if _, err := t.tx.one(ctx, t.store.sql(rememberMineSQL), t.store.stepOf(hold, step), &mine); err != nil {
		return foreign(ctx, op, err)
	}
	if !mine {
		return offstage.ErrLeaseLost
	}
	return nil
}

const (
	onceSQL = `INSERT INTO offstage.once (key, at) VALUES ($2::text, coalesce($1::timestamptz, statement_timestamp()))
ON CONFLICT (key) DO NOTHING`
	// pruneOnceSQL deletes up to $2 keys that are older than $3 microseconds.
	pruneOnceSQL = `WITH old AS MATERIALIZED (
	SELECT ctid AS tid FROM offstage.once
	WHERE at <= coalesce($1::timestamptz, statement_timestamp()) - $3::bigint * interval '1 microsecond'
	ORDER BY at LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM offstage.once WHERE ctid = ANY (ARRAY(SELECT tid FROM old)) RETURNING key
)
SELECT count(*) FROM gone`
)

// Once takes a key with the caller's transaction; see [offstage.TxRememberer].
func (t *txStore) Once(ctx context.Context, key string) (bool, error) {
	const op = "take a key in a transaction"
	if err := t.store.usable(ctx, op); err != nil {
		return false, err
	}
	n, err := t.tx.exec(ctx, t.store.sql(onceSQL), t.store.now(), key)
	if err != nil {
		return false, foreign(ctx, op, err)
	}
	return n == 1, nil
}

// What a job leaves behind in these tables.
const (
	dropStepsSQL = `DELETE FROM offstage.step WHERE job = $1::bigint`
	dropEpochSQL = `DELETE FROM offstage.epoch WHERE job = $1::bigint`
)
