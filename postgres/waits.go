package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// lockWaitsSQL locks keys $1 of schema $2 in their order. Whoever parks a job and
// whoever wakes one look in the statement after it, with a new snapshot: in this
// one, each could miss what the other has not committed.
const lockWaitsSQL = `SELECT pg_advisory_xact_lock(hashtextextended($2::text || ' ' || u.key, 0))
FROM (SELECT key FROM unnest($1::text[]) k (key) ORDER BY key COLLATE "C") u`

// awaitSQL parks jobs $2 until what their keys $3 name comes, or makes those ready
// for which it is there: a signal of the name $4, or the end of job $5. They wait $6
// microseconds, 0: without end; $7 run that ended, $8 errors, $9 lost.
const awaitSQL = `WITH u AS MATERIALIZED (
	SELECT j.id AS job, j.kind, j.queue, j.priority, u.key, u.wait, u.run + 1 AS run, u.errors, u.lost,
		coalesce($1::timestamptz, statement_timestamp()) AS now,
		EXISTS (SELECT FROM offstage.signal s WHERE s.name = u.name OFFSET 0) OR u.child <> 0 AND (
			NOT EXISTS (SELECT FROM offstage.job c WHERE c.id = u.child OFFSET 0)
			OR coalesce((SELECT a.next IN (6, 7, 8) FROM offstage.attempt a WHERE a.job = u.child ORDER BY a.run DESC LIMIT 1), false)
		) AS there
	FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::int[], $8::int[], $9::int[])
		u (job, key, name, child, wait, run, errors, lost)
	CROSS JOIN LATERAL (SELECT id, kind, queue, priority FROM offstage.job WHERE id = u.job OFFSET 0) j
), again AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
	SELECT queue, priority * 2 + 1, job, now, run, errors, lost FROM u WHERE there RETURNING job
), put AS (
	INSERT INTO offstage.wait (job, key, run) SELECT job, key, run FROM u WHERE NOT there
	ON CONFLICT (job) DO UPDATE SET key = excluded.key, run = excluded.run
), later AS (
	INSERT INTO offstage.scheduled (run_at, job, queue, priority, run, errors, lost)
	SELECT now + wait * interval '1 microsecond', job, queue, priority, run, errors, lost FROM u WHERE NOT there AND wait > 0
), parked AS (
	INSERT INTO offstage.parked (job, kind, queue, priority, run, errors, lost, reason)
	SELECT job, kind, queue, priority, run, errors, lost, key FROM u WHERE NOT there AND wait = 0
)
SELECT job FROM again`

const (
	// wakeSQL ends the waits for keys $2 and makes their jobs ready, unless somebody
	// has taken them out of their waits. No row of parked and scheduled is ever updated:
	// its ctid finds it, or it is gone.
	wakeSQL = `WITH due AS (
	DELETE FROM offstage.wait WHERE key = ANY ($2::text[]) RETURNING job, key, run
), parked AS (
	DELETE FROM offstage.parked WHERE ctid = ANY (ARRAY(
		SELECT p.tid FROM due d CROSS JOIN LATERAL (
			SELECT ctid AS tid FROM offstage.parked
			WHERE kind = (SELECT kind FROM offstage.job WHERE id = d.job) AND job = d.job AND run = d.run AND reason = d.key OFFSET 0
		) p
	)) RETURNING queue, priority, job, run, errors, lost
), scheduled AS (
	DELETE FROM offstage.scheduled WHERE ctid = ANY (ARRAY(
		SELECT s.tid FROM due d CROSS JOIN LATERAL (
			SELECT ctid AS tid FROM offstage.scheduled WHERE job = d.job AND run = d.run AND NOT retry OFFSET 0
		) s
	)) RETURNING queue, priority, job, run, errors, lost
), put AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
	SELECT queue, priority * 2 + 1, job, coalesce($1::timestamptz, statement_timestamp()), run, errors, lost
	FROM (SELECT * FROM parked UNION ALL SELECT * FROM scheduled) w RETURNING job
)
SELECT count(*) FROM put`
	dropWaitSQL = `DELETE FROM offstage.wait WHERE job = $1::bigint`
)

func keyTexts(keys []string) string {
	return texts(keys, func(key *string) (string, bool) { return *key, true })
}

func (s *Store) lockWaits(keys []string) statement {
	slices.Sort(keys)
	return statement{s.sql(lockWaitsSQL), []any{keyTexts(slices.Compact(keys)), s.schema}}
}

// wake makes the jobs ready that wait for a key, and returns how many.
func (s *Store) wake(ctx context.Context, tx session, keys ...string) (woken int, err error) {
	if len(keys) == 0 {
		return 0, nil
	}
	lock := s.lockWaits(keys)
	if _, err := tx.exec(ctx, lock.text, lock.args...); err != nil {
		return 0, err
	}
	_, err = tx.one(ctx, s.sql(wakeSQL), []any{s.now(), keyTexts(keys)}, &woken)
	return woken, err
}

// queueWaits queues the parking of jobs that begin to wait, and the waking of the
// parents of those that have ended.
func (s *Store) queueWaits(b *pgx.Batch, f *flush, waits []follower, ended []string) {
	if len(waits)+len(ended) == 0 {
		return
	}
	keys := slices.Clone(ended)
	for _, w := range waits {
		keys = append(keys, w.WaitKey)
	}
	lock := s.lockWaits(keys)
	b.Queue(lock.text, lock.args...)
	if len(waits) > 0 {
		b.Queue(s.sql(awaitSQL), s.awaitParams(waits)...).Query(func(rows pgx.Rows) error {
			var job int64
			_, err := pgx.ForEachRow(rows, []any{&job}, func() error {
				f.readied = append(f.readied, offstage.ID(job))
				return nil
			})
			return err
		})
	}
	if len(ended) > 0 {
		b.Queue(s.sql(wakeSQL), s.now(), keyTexts(ended)).QueryRow(func(row pgx.Row) error {
			var woken int
			err := row.Scan(&woken)
			if woken > 0 {
				f.readied = append(f.readied, 0) // some job
			}
			return err
		})
	}
}

func (s *Store) awaitParams(waits []follower) []any {
	return append([]any{s.now(), jobsOf(waits),
		texts(waits, func(w *follower) (string, bool) { return w.WaitKey, true }),
		texts(waits, func(w *follower) (string, bool) { return offstage.SignalOf(w.WaitKey) }),
		ints(waits, func(w *follower) int64 { id, _ := offstage.EndOf(w.WaitKey); return int64(id) }),
		ints(waits, func(w *follower) int64 {
			if w.Wait <= 0 {
				return 0
			}
			return max(w.Wait, time.Microsecond).Microseconds()
		})}, counters(waits)...)
}

const (
	addSignalSQL = `INSERT INTO offstage.signal (name, at, payload)
VALUES ($2::text, coalesce($1::timestamptz, statement_timestamp()), $3::text) ON CONFLICT (name) DO NOTHING`
	findSignalSQL = `SELECT payload FROM offstage.signal WHERE name = $1::text`
	// pruneSignalsSQL deletes up to $2 signals that are older than $3 microseconds.
	pruneSignalsSQL = `WITH old AS MATERIALIZED (
	SELECT ctid AS tid FROM offstage.signal
	WHERE at <= coalesce($1::timestamptz, statement_timestamp()) - $3::bigint * interval '1 microsecond'
	ORDER BY at LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM offstage.signal WHERE ctid = ANY (ARRAY(SELECT tid FROM old)) RETURNING name
)
SELECT count(*) FROM gone`
)

// Signal stores a signal and wakes who waits for it; see [offstage.Waiter].
func (s *Store) Signal(ctx context.Context, name string, payload []byte) (report offstage.SignalReport, err error) {
	err = s.transact(ctx, "give a signal", func(ctx context.Context, tx pgx.Tx) (err error) {
		report, err = s.signal(ctx, pgxSession{tx}, name, payload)
		return err
	})
	if err == nil && report.Woken > 0 {
		s.knocker.ring()
	}
	return report, err
}

func (s *Store) signal(ctx context.Context, tx session, name string, payload []byte) (report offstage.SignalReport, err error) {
	key := offstage.SignalKey(name)
	lock := s.lockWaits([]string{key})
	if _, err := tx.exec(ctx, lock.text, lock.args...); err != nil {
		return report, err
	}
	n, err := tx.exec(ctx, s.sql(addSignalSQL), s.now(), name, string(payload))
	if err != nil || n == 0 {
		return report, err
	}
	report.First = true
	report.Woken, err = s.wake(ctx, tx, key)
	return report, err
}

// Signal gives a signal with the caller's transaction; see
// [offstage.TxRememberer].
func (t *txStore) Signal(ctx context.Context, name string, payload []byte) (report offstage.SignalReport, err error) {
	const op = "give a signal in a transaction"
	if err := t.store.usable(ctx, op); err != nil {
		return report, err
	}
	report, err = t.store.signal(ctx, t.tx, name, payload)
	if err == nil && report.Woken > 0 {
		err = t.tx.send(ctx, t.announcement(payloadReady)...)
	}
	return report, foreign(ctx, op, err)
}

// FindSignal reads a signal; see [offstage.Waiter].
func (s *Store) FindSignal(ctx context.Context, name string) (payload []byte, found bool, err error) {
	err = s.send(ctx, s.work, unit{op: "look for a signal", repeatable: true, build: func(b *pgx.Batch) {
		payload, found = nil, false
		b.Queue(s.sql(findSignalSQL), name).Query(func(rows pgx.Rows) error {
			var text string
			_, err := pgx.ForEachRow(rows, []any{&text}, func() error {
				payload, found = []byte(text), true
				return nil
			})
			return err
		})
	}})
	return payload, found, err
}

// RememberChild stores a job and the step that names it; see [offstage.Waiter].
func (s *Store) RememberChild(ctx context.Context, hold offstage.Hold, name string, job offstage.NewJob, raise bool) (id offstage.ID, err error) {
	rows, err := s.rows(ctx, []offstage.NewJob{job}, s.newIDs)
	if err != nil {
		return 0, fault(ctx, "enqueue a child", err, false)
	}
	known := false
	err = s.transact(ctx, "enqueue a child", func(ctx context.Context, tx pgx.Tx) error {
		own := pgxSession{tx}
		text := mineSQL
		if raise {
			text = raiseSQL
		}
		var locked int64
		mine, err := own.one(ctx, s.sql(text), holdOf(hold), &locked)
		if err != nil {
			return err
		}
		if !mine {
			return offstage.ErrLeaseLost
		}
		var r stepRow
		if known, err = own.one(ctx, s.sql(stepSQL), []any{int64(hold.Job), s.now(), name}, r.targets()...); err != nil {
			return err
		}
		if known {
			return json.Unmarshal([]byte(or(r.value)), &id)
		}
		inserted, err := s.insertIn(ctx, own, rows)
		if err != nil {
			return err
		}
		id = inserted[0].ID
		step := offstage.NewStep{Name: name, Kind: offstage.StepChild, Tries: 1, Value: []byte(id.String())}
		_, err = own.one(ctx, s.sql(rememberMineSQL), s.stepOf(hold, step), &mine)
		return err
	})
	if err != nil {
		return 0, err
	}
	if !known {
		s.knocker.ring()
	}
	return id, nil
}
