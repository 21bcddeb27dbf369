package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// waiting is the one row by which a job waits.
type waiting struct {
	state  offstage.State
	run    int // the number of the attempt that the next claim starts
	errors int
	lost   int
	band   int       // of Ready
	runAt  time.Time // Ready: since when; Scheduled and Retrying: the time
	reason string    // of Blocked
}

// placeSQL finds the row by which job j is ready. One that was made with its job lies
// where the job's row says; the others are marked as moved, and indexed.
const placeSQL = `SELECT ctid AS tid, queue, lane, xid, job, run, errors, lost FROM offstage.ready
	WHERE moved AND job = j.id
	UNION ALL SELECT ctid, queue, lane, xid, job, run, errors, lost FROM offstage.ready
	WHERE queue = j.queue AND lane = j.priority * 2 + 1 AND xid = j.xid AND job = j.id AND NOT moved OFFSET 0`

// takeWaitingSQL deletes the row by which job $1 waits, in whichever table it is. A
// fetch that has it locked is waited for.
const takeWaitingSQL = `WITH r AS (
	DELETE FROM offstage.ready WHERE ctid = ANY (ARRAY(
		SELECT w.tid FROM offstage.job j CROSS JOIN LATERAL (` + placeSQL + `) w WHERE j.id = $1::bigint
	)) RETURNING run, errors, lost, lane, since
), s AS (
	DELETE FROM offstage.scheduled WHERE job = $1::bigint RETURNING run, errors, lost, run_at, retry
), p AS (
	DELETE FROM offstage.parked WHERE kind = (SELECT kind FROM offstage.job WHERE id = $1::bigint) AND job = $1::bigint
	RETURNING run, errors, lost, reason
), g AS (
	DELETE FROM offstage.staged WHERE ctid = ANY (ARRAY(
		SELECT t.tid FROM offstage.batch b CROSS JOIN LATERAL (
			SELECT ctid AS tid FROM offstage.staged WHERE batch = b.id AND job = $1::bigint OFFSET 0
		) t WHERE b.published
	)) RETURNING run_at
)
SELECT 2, run, errors, lost, lane::int & 1, since, '' FROM r
UNION ALL SELECT CASE WHEN retry THEN 4 ELSE 1 END, run, errors, lost, 1, run_at, '' FROM s
UNION ALL SELECT 5, run, errors, lost, 1, NULL, reason FROM p
UNION ALL SELECT CASE WHEN run_at > coalesce($2::timestamptz, statement_timestamp()) THEN 1 ELSE 2 END, 1, 0, 0, 1, run_at, '' FROM g`

// takeWaiting deletes the row by which a job waits. The job may have been moved
// from one table to another between the statement's begin and its turn at the
// row, so nothing is only believed at the second look.
func (s *Store) takeWaiting(ctx context.Context, tx session, job int64) (w waiting, found bool, err error) {
	for range 3 {
		var state int
		var at *time.Time
		found, err = tx.one(ctx, s.sql(takeWaitingSQL), []any{job, s.now()}, &state, &w.run, &w.errors, &w.lost, &w.band, &at, &w.reason)
		if err != nil || found {
			w.state = offstage.State(state)
			if at != nil {
				w.runAt = *at
			}
			return w, found, err
		}
	}
	return w, false, nil
}

// The waiting rows, made from the row of job $1: run $2, errors $3, lost $4.
const (
	putReadySQL = `INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
SELECT queue, priority * 2 + $6::int, id, coalesce($5::timestamptz, statement_timestamp()), $2::int, $3::int, $4::int
FROM offstage.job WHERE id = $1::bigint`
	putScheduledSQL = `INSERT INTO offstage.scheduled (run_at, job, queue, priority, retry, run, errors, lost)
SELECT coalesce($5::timestamptz, run_at), id, queue, priority, $6::boolean, $2::int, $3::int, $4::int
FROM offstage.job WHERE id = $1::bigint`
	putParkedSQL = `INSERT INTO offstage.parked (job, kind, queue, priority, run, errors, lost, reason)
SELECT id, kind, queue, priority, $2::int, $3::int, $4::int, $5::text
FROM offstage.job WHERE id = $1::bigint`
)

// putWaiting makes the row by which a job waits. A zero runAt is the time that
// stands in the job's row.
func (s *Store) putWaiting(ctx context.Context, tx session, job int64, w waiting) error {
	args := []any{job, w.run, w.errors, w.lost}
	var err error
	switch w.state {
	case offstage.Ready:
		_, err = tx.exec(ctx, s.sql(putReadySQL), append(args, s.now(), w.band)...)
	case offstage.Blocked:
		_, err = tx.exec(ctx, s.sql(putParkedSQL), append(args, w.reason)...)
	default:
		var at any
		if !w.runAt.IsZero() {
			at = w.runAt
		}
		_, err = tx.exec(ctx, s.sql(putScheduledSQL), append(args, at, w.state == offstage.Retrying)...)
	}
	return err
}

// stagedSQL finds job j among those that are staged. It looks into each batch, of
// which there are few: OFFSET 0 keeps the planner from a search by job alone, for
// which there is no index.
const stagedSQL = `SELECT b.published, t.run_at FROM offstage.batch b
	CROSS JOIN LATERAL (SELECT run_at FROM offstage.staged WHERE batch = b.id AND job = j.id OFFSET 0) t LIMIT 1`

// stateSQL finds the state of job $1: null if it does not exist, or is staged in
// a batch that is not published.
const stateSQL = `SELECT CASE
	WHEN EXISTS (` + placeSQL + `) THEN 2
	WHEN EXISTS (SELECT FROM offstage.scheduled WHERE job = j.id AND retry OFFSET 0) THEN 4
	WHEN EXISTS (SELECT FROM offstage.scheduled WHERE job = j.id OFFSET 0) THEN 1
	WHEN EXISTS (SELECT FROM offstage.parked WHERE kind = j.kind AND job = j.id OFFSET 0) THEN 5
	WHEN g.published THEN CASE WHEN g.run_at > coalesce($2::timestamptz, statement_timestamp()) THEN 1 ELSE 2 END
	WHEN a.next IN (6, 7, 8) THEN a.next
	ELSE 3 END, coalesce(a.run, 0), coalesce(a.errors, 0), coalesce(a.lost, 0)
FROM offstage.job j
LEFT JOIN LATERAL (SELECT run, next, errors, lost FROM offstage.attempt WHERE job = j.id ORDER BY run DESC LIMIT 1) a ON true
LEFT JOIN LATERAL (` + stagedSQL + `) g ON true
WHERE j.id = $1::bigint AND g.published IS NOT FALSE`

// standing is a job's state with its latest attempt's number and counters.
type standing struct {
	state  offstage.State
	run    int
	errors int
	lost   int
}

// standingOf returns a job's state, or ErrNotFound.
func (s *Store) standingOf(ctx context.Context, tx session, job int64) (st standing, err error) {
	var state int
	found, err := tx.one(ctx, s.sql(stateSQL), []any{job, s.now()}, &state, &st.run, &st.errors, &st.lost)
	if err == nil && !found {
		err = offstage.ErrNotFound
	}
	st.state = offstage.State(state)
	return st, err
}

// endWaitingSQL records the end of run $3 of job $2, which waited and never
// started, as cancelled.
const endWaitingSQL = `INSERT INTO offstage.attempt (job, run, worker, seq, finished_at, outcome, next, errors, lost)
VALUES ($2::bigint, $3::int, 0, 0, coalesce($1::timestamptz, statement_timestamp()), 4, 8, nullif($4::int, 0), nullif($5::int, 0))`

// dropCancelSQL forgets that job $1 is to be cancelled.
const dropCancelSQL = `DELETE FROM offstage.cancel WHERE job = $1::bigint`

// cancelWaiting ends a job whose waiting row was taken.
func (s *Store) cancelWaiting(ctx context.Context, tx pgx.Tx, job int64, key []byte, w waiting) error {
	own := pgxSession{tx}
	if _, err := own.exec(ctx, s.sql(endWaitingSQL), s.now(), job, w.run, w.errors, w.lost); err != nil {
		return err
	}
	if _, err := own.exec(ctx, s.sql(dropCancelSQL), job); err != nil {
		return err
	}
	if woken, err := s.wake(ctx, own, offstage.EndKey(offstage.ID(job))); err != nil {
		return err
	} else if woken > 0 {
		s.knocker.ring()
	}
	return s.freeKey(ctx, tx, job, key)
}
