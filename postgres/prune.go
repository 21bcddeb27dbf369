package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// pruner remembers where the last page of Prune ended.
type pruner struct {
	mu      sync.Mutex // held through a page
	epoch   int64
	after   int64     // the last id that was looked at
	began   time.Time // of this pass
	rest    time.Time // no new pass before it
	passing bool
}

// Passes that take long are followed by a rest, so that pruning takes a tenth of
// the time at most.
const (
	longPass  = time.Second
	restRatio = 9
)

// keepSQL is when a job's row may go, in statements that have a job's kind k and
// its latest attempt a.
const keepSQL = `a.finished_at + CASE WHEN a.next = 6
		THEN CASE WHEN k.keep_completed = 0 THEN interval '24 hours' ELSE greatest(k.keep_completed, 0) / 1000 * interval '1 microsecond' END
		ELSE CASE WHEN k.keep_failed = 0 THEN interval '30 days' ELSE greatest(k.keep_failed, 0) / 1000 * interval '1 microsecond' END
	END <= coalesce($1::timestamptz, statement_timestamp())`

const latestSQL = `LATERAL (SELECT next, finished_at FROM offstage.attempt WHERE job = j.id ORDER BY run DESC LIMIT 1) a`

// pageSQL looks at $3 jobs after id $2, no younger than the shortest retention.
// It answers the last id, how many it looked at, and those that may go.
const pageSQL = `WITH j AS MATERIALIZED (
	SELECT id, kind FROM (SELECT id, kind, created_at FROM offstage.job WHERE id > $2::bigint ORDER BY id LIMIT $3::int) j
	WHERE created_at <= coalesce($1::timestamptz, statement_timestamp()) - (
		SELECT coalesce(min(least(
			CASE WHEN keep_completed = 0 THEN interval '24 hours' ELSE greatest(keep_completed, 0) / 1000 * interval '1 microsecond' END,
			CASE WHEN keep_failed = 0 THEN interval '30 days' ELSE greatest(keep_failed, 0) / 1000 * interval '1 microsecond' END
		)), '0') FROM offstage.kind)
)
SELECT coalesce(max(j.id), 0), count(*), coalesce(array_agg(j.id) FILTER (WHERE a.next IN (6, 7, 8) AND ` + keepSQL + `), '{}')::text
FROM j JOIN offstage.kind k ON k.id = j.kind LEFT JOIN ` + latestSQL + ` ON true`

const (
	// lockJobsSQL locks jobs $1 in their order: an operator's retry comes before
	// or after, and is seen by the next statement.
	lockJobsSQL = `SELECT true FROM offstage.job WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE`
	// pruneSQL deletes those of jobs $2 that still may go, unless an open claim
	// names them: their attempts are its fence.
	pruneSQL = `WITH old AS MATERIALIZED (
	SELECT j.id FROM unnest($2::bigint[]) u (id)
	CROSS JOIN LATERAL (SELECT id, kind FROM offstage.job WHERE id = u.id OFFSET 0) j
	JOIN offstage.kind k ON k.id = j.kind CROSS JOIN ` + latestSQL + `
	WHERE a.next IN (6, 7, 8) AND ` + keepSQL + `
		AND j.id NOT IN (SELECT unnest(jobs) FROM offstage.claim)
), attempts AS (
	DELETE FROM offstage.attempt WHERE job = ANY (ARRAY(SELECT id FROM old))
), progress AS (
	DELETE FROM offstage.progress WHERE job = ANY (ARRAY(SELECT id FROM old))
), cancels AS (
	DELETE FROM offstage.cancel WHERE job = ANY (ARRAY(SELECT id FROM old))
), steps AS (
	DELETE FROM offstage.step WHERE job = ANY (ARRAY(SELECT id FROM old))
), waits AS (
	DELETE FROM offstage.wait WHERE job = ANY (ARRAY(SELECT id FROM old))
), epochs AS (
	DELETE FROM offstage.epoch WHERE job = ANY (ARRAY(SELECT id FROM old))
), jobs AS (
	DELETE FROM offstage.job WHERE id = ANY (ARRAY(SELECT id FROM old)) RETURNING id
)
SELECT count(*) FROM jobs`
	// pruneOrphansSQL deletes attempts of jobs that were deleted while a claim
	// named them, in the ids above $1 up to $2 and on to the next job. Beyond that
	// is history which is kept, and may be long: it must not be walked.
	pruneOrphansSQL = `WITH gone AS (
	DELETE FROM offstage.attempt a WHERE a.job > $1::bigint
		AND a.job < coalesce((SELECT id FROM offstage.job WHERE id > $2::bigint ORDER BY id LIMIT 1), 9223372036854775807)
		AND NOT EXISTS (SELECT FROM offstage.job j WHERE j.id = a.job OFFSET 0)
		AND a.job NOT IN (SELECT unnest(jobs) FROM offstage.claim) RETURNING a.job
)
SELECT count(*) FROM gone`
	// pruneKeysSQL deletes up to $2 unique keys whose period is over.
	pruneKeysSQL = `WITH old AS MATERIALIZED (
	SELECT q.ctid AS tid FROM offstage.uniq q
	WHERE NOT q.live AND q.until <= coalesce($1::timestamptz, statement_timestamp())
	ORDER BY q.until LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM offstage.uniq WHERE ctid = ANY (ARRAY(SELECT tid FROM old)) RETURNING key
)
SELECT count(*) FROM gone`
)

// prune deletes ended jobs past their retention, page by page in the order of
// their ids, unique keys whose period is over, and old keys of Once.
func (s *Store) prune(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, err error) {
	p := &s.pruner
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begin(s.epoch.Load()) {
		return report, nil
	}
	var last int64
	var looked, jobs, orphans, keys, once, signals, requests int
	err = s.transactAsLeader(ctx, "prune", term, func(ctx context.Context, tx pgx.Tx) error {
		var old string
		if err := tx.QueryRow(ctx, s.sql(pageSQL), s.now(), p.after, limit).Scan(&last, &looked, &old); err != nil {
			return err
		}
		b := &pgx.Batch{}
		jobs = 0
		if old != "{}" {
			b.Queue(s.sql(lockJobsSQL), old)
			b.Queue(s.sql(pruneSQL), s.now(), old).QueryRow(func(row pgx.Row) error { return row.Scan(&jobs) })
		}
		b.Queue(s.sql(pruneOrphansSQL), p.after, max(last, p.after)).QueryRow(func(row pgx.Row) error { return row.Scan(&orphans) })
		b.Queue(s.sql(pruneKeysSQL), s.now(), limit).QueryRow(func(row pgx.Row) error { return row.Scan(&keys) })
		b.Queue(s.sql(pruneOnceSQL), s.now(), limit, offstage.KeepOnce.Microseconds()).QueryRow(func(row pgx.Row) error { return row.Scan(&once) })
		b.Queue(s.sql(pruneSignalsSQL), s.now(), limit, offstage.KeepSignals.Microseconds()).QueryRow(func(row pgx.Row) error { return row.Scan(&signals) })
		b.Queue(s.sql(pruneRequestsSQL), s.now(), limit).QueryRow(func(row pgx.Row) error { return row.Scan(&requests) })
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return report, err
	}
	report.Done = jobs + orphans + keys + once + signals + requests
	p.after = last
	if looked < limit {
		p.finish()
	}
	report.More = p.passing || max(keys, once, signals, requests) >= limit
	return report, nil
}

// begin reports whether there is a page to do now.
func (p *pruner) begin(epoch int64) bool {
	if p.epoch != epoch {
		p.epoch, p.passing, p.rest = epoch, false, time.Time{}
	}
	if p.passing {
		return true
	}
	if time.Now().Before(p.rest) {
		return false
	}
	p.passing, p.after, p.began = true, 0, time.Now()
	return true
}

func (p *pruner) finish() {
	p.passing = false
	if took := time.Since(p.began); took > longPass {
		p.rest = time.Now().Add(restRatio * took)
	}
}
