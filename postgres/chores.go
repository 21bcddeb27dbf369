package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// Chore does up to limit rows of one chore; see [offstage.Keeper]. Chores check
// their term in their own transaction, yet are safe with two leaders: rows that
// another has locked are skipped.
func (s *Store) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (report offstage.ChoreReport, err error) {
	if limit <= 0 {
		return report, &offstage.InvalidError{Field: "limit", Problem: "it must be positive"}
	}
	if query := findsSQL[chore]; query != "" {
		// Mostly there is nothing to do: one statement says so.
		if found, err := s.anything(ctx, "look for chores", term, query); err != nil || !found {
			return report, err
		}
	}
	switch chore {
	case offstage.Promote:
		report, err = s.promote(ctx, term, limit)
	case offstage.Publish:
		report, err = s.publish(ctx, term, limit)
	case offstage.Unblock:
		report, err = s.unblock(ctx, term, limit)
	case offstage.Sweep:
		report, err = s.sweepCancels(ctx, term, limit)
	case offstage.Rescan:
		return s.rescan(ctx, term, limit)
	case offstage.Prune:
		return s.prune(ctx, term, limit)
	case offstage.Count:
		return s.count(ctx, term)
	default:
		return report, &offstage.InvalidError{Field: "chore", Problem: fmt.Sprintf("%s is not known", chore)}
	}
	if report.Done > 0 {
		s.knocker.ring()
	}
	if report.Done > 0 && chore == offstage.Sweep {
		s.knocker.ringEnded()
	}
	return report, err
}

// findsSQL finds a row if there may be something to do for a chore.
var findsSQL = map[offstage.Chore]string{
	offstage.Publish: `SELECT FROM offstage.batch`,
	offstage.Unblock: `SELECT FROM offstage.parked WHERE reason IN ('kind unknown', 'kind paused')`,
	offstage.Sweep:   `SELECT FROM offstage.cancel`,
}

// unblockSQL makes up to $2 blocked jobs ready whose kind is not paused and has a
// handler in a living worker; of kinds $3 only, unless that is null.
const unblockSQL = `WITH able AS (
	SELECT DISTINCT k.id FROM offstage.worker w
	JOIN offstage.beat b ON b.worker = w.id AND NOT b.dead
	CROSS JOIN LATERAL unnest(w.kinds) h (kind)
	JOIN offstage.kind k ON k.id = h.kind AND NOT k.paused
	WHERE $3::int[] IS NULL OR k.id = ANY ($3::int[])
), page AS MATERIALIZED (
	SELECT p.tid FROM able a CROSS JOIN LATERAL (
		SELECT q.ctid AS tid FROM offstage.parked q WHERE q.kind = a.id AND q.reason IN ('kind unknown', 'kind paused')
		ORDER BY q.job LIMIT $2::int FOR UPDATE SKIP LOCKED
	) p LIMIT $2::int
), gone AS (
	DELETE FROM offstage.parked WHERE ctid = ANY (ARRAY(SELECT tid FROM page)) RETURNING queue, priority, job, run, errors, lost
), put AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
	SELECT queue, priority * 2 + 1, job, coalesce($1::timestamptz, statement_timestamp()), run, errors, lost FROM gone RETURNING job
)
SELECT count(*) FROM put`

// unblock makes blocked jobs ready whose kind can be run.
func (s *Store) unblock(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, err error) {
	err = s.asLeader(ctx, term, unit{op: "unblock jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(unblockSQL), s.now(), limit, nil).QueryRow(func(row pgx.Row) error { return row.Scan(&report.Done) })
	}})
	report.More = report.Done >= limit
	return report, err
}

// unblockPage and unblockPages bound what a call unblocks by the way; the chore
// does the rest.
const (
	unblockPage  = 1000
	unblockPages = 20
)

// unblockKinds makes blocked jobs of some kinds ready, at once.
func (s *Store) unblockKinds(ctx context.Context, kinds []int32) error {
	if len(kinds) == 0 {
		return nil
	}
	for range unblockPages {
		var n int
		err := s.send(ctx, s.work, unit{op: "unblock jobs", repeatable: true, build: func(b *pgx.Batch) {
			b.Queue(s.sql(unblockSQL), s.now(), unblockPage, numbers(kinds)).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		}})
		if err != nil {
			return err
		}
		if n > 0 {
			s.knocker.ring()
		}
		if n < unblockPage {
			return nil
		}
	}
	return nil
}

const (
	// dropCancelsSQL forgets up to $1 cancels of jobs that have ended or are gone.
	dropCancelsSQL = `WITH done AS (
	SELECT c.job FROM offstage.cancel c
	LEFT JOIN LATERAL (SELECT next FROM offstage.attempt a WHERE a.job = c.job ORDER BY run DESC LIMIT 1) a ON true
	WHERE a.next IN (6, 7, 8) OR NOT EXISTS (SELECT FROM offstage.job j WHERE j.id = c.job OFFSET 0)
	ORDER BY c.job LIMIT $1::int
), dropped AS (
	DELETE FROM offstage.cancel c USING done d WHERE c.job = d.job RETURNING c.job
)
SELECT count(*) FROM dropped`
	// cancelsWaitingSQL finds up to $1 jobs with a cancel that wait all the same.
	cancelsWaitingSQL = `SELECT c.job FROM offstage.cancel c
WHERE EXISTS (SELECT FROM offstage.job j CROSS JOIN LATERAL (` + placeSQL + `) r WHERE j.id = c.job OFFSET 0)
	OR EXISTS (SELECT FROM offstage.scheduled s WHERE s.job = c.job OFFSET 0)
	OR EXISTS (SELECT FROM offstage.parked p WHERE p.kind = (SELECT kind FROM offstage.job WHERE id = c.job) AND p.job = c.job OFFSET 0)
ORDER BY c.job LIMIT $1::int`
)

// sweepCancels carries out what slipped through between a cancel and an attempt's
// end: cancels of jobs that wait, and of jobs that have ended.
func (s *Store) sweepCancels(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, err error) {
	var waits []int64
	err = s.asLeader(ctx, term, unit{op: "sweep cancels", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(dropCancelsSQL), limit).QueryRow(func(row pgx.Row) error { return row.Scan(&report.Done) })
		b.Queue(s.sql(cancelsWaitingSQL), limit).Query(func(rows pgx.Rows) (err error) {
			waits, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
	}})
	if err != nil {
		return offstage.ChoreReport{}, err
	}
	report.More = report.Done >= limit || len(waits) >= limit
	for _, job := range waits {
		_, err := s.Apply(ctx, offstage.Change{Verb: offstage.VerbCancel, Job: offstage.ID(job)})
		var state *offstage.StateError
		switch {
		case err == nil:
			report.Done++
		case errors.Is(err, offstage.ErrNotFound), errors.As(err, &state): // it ended meanwhile
		default:
			return report, err
		}
	}
	return report, nil
}
