package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// rescueLockSQL keeps a rescue from waiting long for anybody, such as a handler
// whose transaction is about to complete its job.
const rescueLockSQL = `SELECT set_config('lock_timeout', '1s', true)`

// condemnPeerSQL takes worker $1 for dead, if that is known ($2), or if its
// counter still is $3. It answers whether it is dead; no row: nobody knows it.
const condemnPeerSQL = `WITH c AS (
	UPDATE offstage.beat SET dead = true, asleep = false
	WHERE worker = $1::bigint AND (dead OR $2::boolean OR counter = $3::bigint) RETURNING worker
)
SELECT EXISTS (SELECT FROM c) FROM offstage.beat WHERE worker = $1::bigint`

// Rescue takes a peer for dead and ends its attempts as lost; see
// [offstage.Registry].
func (s *Store) Rescue(ctx context.Context, peer offstage.Peer, limit int) (rescued int, more bool, err error) {
	dead, known := false, false
	err = s.send(ctx, s.work, unit{op: "take a worker for dead", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(rescueLockSQL)
		b.Queue(s.sql(condemnPeerSQL), int64(peer.ID), peer.Dead, peer.Counter).Query(func(rows pgx.Rows) error {
			dead, known = false, rows.Next()
			if known {
				if err := rows.Scan(&dead); err != nil {
					return err
				}
			}
			rows.Close()
			return rows.Err()
		})
	}})
	if err != nil || known && !dead {
		return 0, false, err
	}
	return s.rescue(ctx, peer.ID, limit)
}

// rescue ends up to limit attempts of a dead worker: all in one transaction, or,
// where somebody holds a lock on one of them, each in its own.
func (s *Store) rescue(ctx context.Context, worker offstage.WorkerID, limit int) (rescued int, more bool, err error) {
	defer func() {
		if rescued > 0 {
			s.knocker.ring()
			s.knocker.ringEnded()
		}
	}()
	rescued, more, err = s.rescuePage(ctx, worker, limit, 0)
	if codeOf(err) != codeLockTimeout && codeOf(err) != codeDeadlock {
		return rescued, more, err
	}
	blocked := err
	lost, err := s.listLost(ctx, worker, limit)
	if err != nil {
		return 0, true, err
	}
	for _, l := range lost {
		n, _, err := s.rescuePage(ctx, worker, 1, l.job)
		switch {
		case err == nil:
			rescued += n
		case offstage.ClassOf(err) != offstage.FaultBusy:
			return rescued, true, err
		}
	}
	if rescued == 0 {
		return 0, true, blocked
	}
	return rescued, true, nil
}

// lostRun is a run that a dead worker had under way.
type lostRun struct {
	seq, job  int64
	run       int
	errs, was int  // errors, and lost before this
	blamed    bool // false: it is a suspect that had not started
}

// lost is the counter that the next run carries.
func (l *lostRun) lost() int64 {
	if l.blamed {
		return int64(l.was) + 1
	}
	return int64(l.was)
}

func (l *lostRun) outcome() int64 {
	if l.blamed {
		return int64(offstage.OutcomeLost)
	}
	return int64(offstage.OutcomeInterrupted)
}

const (
	// lockAllClaimsSQL locks the claims of worker $1 in their order.
	lockAllClaimsSQL = `SELECT true FROM offstage.claim WHERE worker = $1::bigint ORDER BY seq FOR NO KEY UPDATE`
	// listLostSQL lists up to $2 runs of worker $1 that have not ended, oldest
	// claims first; $3 is the one job to look for, or 0. Those of which $4 have
	// died are blamed only if the worker has named them.
	listLostSQL = `SELECT c.seq, h.job, coalesce(h.run, 1), coalesce(h.errors, 0), coalesce(h.lost, 0),
	coalesce(h.lost, 0) < $4::int OR EXISTS (
		SELECT FROM offstage.worker w WHERE w.id = c.worker AND w.suspect = h.job AND w.suspect_run = coalesce(h.run, 1)
	)
FROM offstage.claim c CROSS JOIN LATERAL unnest(c.jobs, c.runs, c.errors, c.lost) WITH ORDINALITY h (job, run, errors, lost, nr)
WHERE c.worker = $1::bigint AND ($3::bigint = 0 OR h.job = $3::bigint)
	AND NOT EXISTS (SELECT FROM offstage.attempt a WHERE a.job = h.job AND a.run = coalesce(h.run, 1) OFFSET 0)
ORDER BY c.seq, h.nr LIMIT $2::int`
)

func (s *Store) queueLost(b *pgx.Batch, worker offstage.WorkerID, limit int, job int64, into *[]lostRun) {
	b.Queue(s.sql(listLostSQL), int64(worker), limit, job, offstage.SuspectLost).Query(func(rows pgx.Rows) error {
		*into = nil
		var l lostRun
		_, err := pgx.ForEachRow(rows, []any{&l.seq, &l.job, &l.run, &l.errs, &l.was, &l.blamed}, func() error {
			*into = append(*into, l)
			return nil
		})
		return err
	})
}

func (s *Store) listLost(ctx context.Context, worker offstage.WorkerID, limit int) (lost []lostRun, err error) {
	err = s.send(ctx, s.work, unit{op: "list lost attempts", repeatable: true, build: func(b *pgx.Batch) {
		s.queueLost(b, worker, limit, 0, &lost)
	}})
	return lost, err
}

// rescuePage ends up to limit runs of a worker, or that of one job.
func (s *Store) rescuePage(ctx context.Context, worker offstage.WorkerID, limit int, job int64) (rescued int, more bool, err error) {
	err = s.transact(ctx, "rescue jobs", func(ctx context.Context, tx pgx.Tx) error {
		var lost []lostRun
		b := &pgx.Batch{}
		b.Queue(rescueLockSQL)
		b.Queue(s.sql(lockAllClaimsSQL), int64(worker))
		s.queueLost(b, worker, limit, job, &lost)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		keys, ended, n, err := s.endLost(ctx, tx, worker, lost)
		if err != nil {
			return err
		}
		rescued = n
		if _, err := s.wake(ctx, pgxSession{tx}, ended...); err != nil {
			return err
		}
		b = &pgx.Batch{}
		s.queueFree(b, keys, func(offstage.ID) {})
		b.Queue(s.sql(dropEndedClaimsSQL), int64(worker))
		b.Queue(s.sql(forgetWorkerSQL), int64(worker))
		b.Queue(s.sql(claimsLeftSQL), int64(worker)).QueryRow(func(row pgx.Row) error { return row.Scan(&more) })
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, true, err
	}
	return rescued, more, nil
}

// endLostSQL ends runs as lost, or those that had not started as interrupted: $2
// worker, $3 seq, $4 job, $5 run, $6 errors, $7 lost, this time included, $10
// outcome; one that has remembered a step had started, and lost is 1. The limit
// $8, whose message is $9, comes first, then a wanted cancel; else the job is
// ready at the front. It answers which jobs have ended, and their unique keys.
const endLostSQL = `WITH ended AS (
	INSERT INTO offstage.attempt (job, worker, seq, finished_at, ran, run, outcome, next, errors, lost, error)
	SELECT u.job, $2::bigint, CASE WHEN u.outcome = 7 THEN u.seq ELSE 0 END, t.now,
		CASE WHEN u.outcome = 7 THEN greatest(0, extract(epoch FROM t.now - c.at) * 1000000)::bigint END, u.run, u.outcome,
		CASE WHEN u.lost >= $8::int THEN 7 WHEN EXISTS (SELECT FROM offstage.cancel x WHERE x.job = u.job) THEN 8 ELSE 2 END,
		nullif(u.errors, 0), u.lost, CASE WHEN u.lost >= $8::int THEN $9::text WHEN u.outcome = 7 THEN 'the worker died'
			ELSE 'the worker died before this run was started' END
	FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
	CROSS JOIN LATERAL (
		SELECT n.seq, n.job, n.run, n.errors,
			CASE WHEN p.stepped THEN 1 ELSE n.lost END AS lost, CASE WHEN p.stepped THEN 7 ELSE n.outcome END AS outcome
		FROM unnest($3::bigint[], $4::bigint[], $5::int[], $6::int[], $7::int[], $10::smallint[]) n (seq, job, run, errors, lost, outcome)
		CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM offstage.step p WHERE p.job = n.job AND p.run = n.run OFFSET 0) AS stepped) p
	) u
	JOIN offstage.claim c ON c.worker = $2::bigint AND c.seq = u.seq
	ORDER BY u.job, u.run
	ON CONFLICT (job, run) DO NOTHING RETURNING job, run, next, coalesce(errors, 0) AS errors, lost, finished_at
), again AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
	SELECT j.queue, j.priority * 2, j.id, e.finished_at, e.run + 1, e.errors, e.lost
	FROM ended e CROSS JOIN LATERAL (SELECT id, queue, priority FROM offstage.job WHERE id = e.job OFFSET 0) j WHERE e.next = 2
), dropped AS (
	DELETE FROM offstage.cancel x USING ended e WHERE x.job = e.job AND e.next <> 2
)
SELECT e.job, e.next <> 2, CASE WHEN e.next <> 2 THEN j.uniq_key END
FROM ended e LEFT JOIN LATERAL (SELECT uniq_key FROM offstage.job WHERE id = e.job OFFSET 0) j ON true`

// endLost records the ends, and returns the unique keys to free, the keys of the
// ends of jobs, and how many runs it ended.
func (s *Store) endLost(ctx context.Context, tx pgx.Tx, worker offstage.WorkerID, lost []lostRun) (keys []heldKey, ended []string, n int, err error) {
	if len(lost) == 0 {
		return nil, nil, 0, nil
	}
	slices.SortFunc(lost, func(a, b lostRun) int { return int(a.job - b.job) })
	of := func(number func(*lostRun) int64) string { return ints(lost, number) }
	rows, err := tx.Query(ctx, s.sql(endLostSQL), s.now(), int64(worker),
		of(func(l *lostRun) int64 { return l.seq }), of(func(l *lostRun) int64 { return l.job }),
		of(func(l *lostRun) int64 { return int64(l.run) }), of(func(l *lostRun) int64 { return int64(l.errs) }),
		of((*lostRun).lost), offstage.MaxLost, fmt.Sprintf("%d workers in a row died while running this job", offstage.MaxLost),
		of((*lostRun).outcome))
	if err != nil {
		return nil, nil, 0, err
	}
	for rows.Next() {
		var k heldKey
		var over bool
		if err := rows.Scan(&k.job, &over, &k.key); err != nil {
			return nil, nil, 0, err
		}
		n++
		if over {
			ended = append(ended, offstage.EndKey(offstage.ID(k.job)))
		}
		if k.key != nil {
			keys = append(keys, k)
		}
	}
	return keys, ended, n, rows.Err()
}

// suspectSQL notes that worker $1 is about to start job $2, run $3.
const suspectSQL = `UPDATE offstage.worker w SET suspect = $2::bigint, suspect_run = $3::int
FROM offstage.beat b WHERE w.id = $1::bigint AND b.worker = w.id AND NOT b.dead RETURNING true`

// Suspect notes which suspect a worker is about to start; see [offstage.Registry].
func (s *Store) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	if err := s.usable(ctx, "name a suspect"); err != nil {
		return err
	}
	var lives bool
	err := s.send(ctx, s.work, unit{op: "name a suspect", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(suspectSQL), int64(worker), int64(job), run).Query(func(rows pgx.Rows) error {
			lives = false
			return one(rows, &lives)
		})
	}})
	if err == nil && !lives {
		err = offstage.ErrGone
	}
	return err
}

const (
	// dropEndedClaimsSQL deletes the claims of worker $1 all of whose runs have ended.
	dropEndedClaimsSQL = `DELETE FROM offstage.claim c WHERE c.worker = $1::bigint AND NOT EXISTS (
	SELECT FROM unnest(c.jobs, c.runs) h (job, run)
	WHERE NOT EXISTS (SELECT FROM offstage.attempt a WHERE a.job = h.job AND a.run = coalesce(h.run, 1) OFFSET 0)
)`
	claimsLeftSQL = `SELECT EXISTS (SELECT FROM offstage.claim WHERE worker = $1::bigint)`
)

// orphansSQL finds up to $2 workers that have claims, older than five seconds,
// and that nobody knows.
const orphansSQL = `SELECT DISTINCT c.worker FROM offstage.claim c
WHERE c.at < coalesce($1::timestamptz, statement_timestamp()) - interval '5 seconds'
	AND NOT EXISTS (SELECT FROM offstage.beat b WHERE b.worker = c.worker) LIMIT $2::int`

// rescan rescues the claims of workers that nobody knows.
func (s *Store) rescan(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, err error) {
	var workers []int64
	err = s.asLeader(ctx, term, unit{op: "look for orphaned claims", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(orphansSQL), s.now(), limit).Query(func(rows pgx.Rows) (err error) {
			workers, err = pgx.CollectRows(rows, pgx.RowTo[int64])
			return err
		})
	}})
	if err != nil {
		return report, err
	}
	var blocked error
	for _, worker := range workers {
		n, more, err := s.rescue(ctx, offstage.WorkerID(worker), limit-report.Done)
		report.Done += n
		switch {
		case err == nil:
			report.More = report.More || more && n > 0
		case offstage.ClassOf(err) == offstage.FaultBusy:
			blocked = errors.Join(blocked, err)
		default:
			return report, err
		}
		if report.Done >= limit {
			report.More = true
			break
		}
	}
	if report.Done == 0 {
		return report, blocked
	}
	return report, nil
}
