package postgres

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// follower is a result that counted and whose job goes on waiting.
type follower struct {
	*offstage.Result
	band int
}

// laterSQL makes scheduled rows for jobs $2, which wait $3 microseconds: $4
// retrying, $5 run that ended, $6 errors, $7 lost. The job's row, which an operator
// may have changed meanwhile, says where it belongs.
const laterSQL = `INSERT INTO offstage.scheduled (run_at, job, queue, priority, retry, run, errors, lost)
SELECT coalesce($1::timestamptz, statement_timestamp()) + u.wait * interval '1 microsecond',
	j.id, j.queue, j.priority, u.retry <> 0, u.run + 1, u.errors, u.lost
FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::int[]) u (job, wait, retry, run, errors, lost)
CROSS JOIN LATERAL (SELECT id, queue, priority FROM offstage.job WHERE id = u.job OFFSET 0) j`

// againSQL makes ready rows for jobs $2, in band $3; $4 run that ended, $5
// errors, $6 lost.
const againSQL = `INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
SELECT j.queue, j.priority * 2 + u.band, j.id, coalesce($1::timestamptz, statement_timestamp()), u.run + 1, u.errors, u.lost
FROM unnest($2::bigint[], $3::smallint[], $4::int[], $5::int[], $6::int[]) u (job, band, run, errors, lost)
CROSS JOIN LATERAL (SELECT id, queue, priority FROM offstage.job WHERE id = u.job OFFSET 0) j`

// parkSQL makes parked rows for jobs $1, which wait for $2; $3 run that ended,
// $4 errors, $5 lost.
const parkSQL = `INSERT INTO offstage.parked (job, kind, queue, priority, run, errors, lost, reason)
SELECT j.id, j.kind, j.queue, j.priority, u.run + 1, u.errors, u.lost, u.reason
FROM unnest($1::bigint[], $2::text[], $3::int[], $4::int[], $5::int[]) u (job, reason, run, errors, lost)
CROSS JOIN LATERAL (SELECT id, kind, queue, priority FROM offstage.job WHERE id = u.job OFFSET 0) j`

// queueFollowUps queues what follows from the results that counted.
func (s *Store) queueFollowUps(b *pgx.Batch, f *flush) {
	var later, again, parked []follower
	var waits []follower
	var ended []string // keys of the ends of children
	var freed []heldKey
	f.readied = nil
	for _, r := range f.order {
		next, counted := f.next(r)
		switch {
		case !counted:
		case next.Terminal():
			if r.UniqueKey != nil {
				freed = append(freed, heldKey{r.UniqueKey, int64(r.Job)})
			}
			if r.Parent != 0 {
				ended = append(ended, offstage.EndKey(r.Job))
			}
		case next == offstage.Blocked && r.WaitKey != "":
			waits = append(waits, follower{Result: r})
		case next == offstage.Blocked:
			parked = append(parked, follower{Result: r})
		case next != offstage.Ready && r.Wait > 0:
			later = append(later, follower{Result: r})
		default:
			band := 1
			if next == offstage.Ready {
				band = 0
			}
			again = append(again, follower{r, band})
			f.readied = append(f.readied, r.Job)
		}
	}
	if len(later) > 0 {
		b.Queue(s.sql(laterSQL), append([]any{s.now(), jobsOf(later),
			ints(later, func(w *follower) int64 { return max(w.Wait, time.Microsecond).Microseconds() }),
			ints(later, func(w *follower) int64 {
				if w.Next == offstage.Retrying {
					return 1
				}
				return 0
			})}, counters(later)...)...)
	}
	if len(again) > 0 {
		b.Queue(s.sql(againSQL), append([]any{s.now(), jobsOf(again),
			ints(again, func(w *follower) int64 { return int64(w.band) })}, counters(again)...)...)
	}
	if len(parked) > 0 {
		b.Queue(s.sql(parkSQL), append([]any{jobsOf(parked),
			texts(parked, func(w *follower) (string, bool) { return w.Waits, true })}, counters(parked)...)...)
	}
	s.queueWaits(b, f, waits, ended)
	s.queueFree(b, freed, func(job offstage.ID) { f.readied = append(f.readied, job) })
}

func jobsOf(list []follower) string {
	return ints(list, func(w *follower) int64 { return int64(w.Job) })
}

// counters are the run that ended, errors and lost.
func counters(list []follower) []any {
	return []any{
		ints(list, func(w *follower) int64 { return int64(w.Run) }),
		ints(list, func(w *follower) int64 { return int64(w.Errors) }),
		ints(list, func(w *follower) int64 { return int64(w.Lost) }),
	}
}

// shrinkSQL reduces claims $2 of worker $1 to the jobs without an attempt, so
// that those that have one may be pruned.
const shrinkSQL = `UPDATE offstage.claim c SET jobs = k.jobs, runs = k.runs, errors = k.errors, lost = k.lost
FROM (
	SELECT o.seq, coalesce(array_agg(h.job) FILTER (WHERE h.job IS NOT NULL), '{}') AS jobs,
		coalesce(array_agg(h.run) FILTER (WHERE h.job IS NOT NULL), '{}') AS runs,
		coalesce(array_agg(h.errors) FILTER (WHERE h.job IS NOT NULL), '{}') AS errors,
		coalesce(array_agg(h.lost) FILTER (WHERE h.job IS NOT NULL), '{}') AS lost
	FROM offstage.claim o LEFT JOIN LATERAL (
		SELECT u.job, coalesce(u.run, 1) AS run, coalesce(u.errors, 0) AS errors, coalesce(u.lost, 0) AS lost
		FROM unnest(o.jobs, o.runs, o.errors, o.lost) u (job, run, errors, lost)
		WHERE NOT EXISTS (SELECT FROM offstage.attempt a WHERE a.job = u.job AND a.run = coalesce(u.run, 1) OFFSET 0)
	) h ON true
	WHERE o.worker = $1::bigint AND o.seq = ANY ($2::bigint[])
	GROUP BY o.seq
) k
WHERE c.worker = $1::bigint AND c.seq = k.seq AND cardinality(k.jobs) < cardinality(c.jobs)`

// shrink shrinks the old claims that a flush has touched. It is upkeep: what it
// leaves undone the next flush does, so its failure is nobody's.
func (s *Store) shrink(ctx context.Context, f *flush) {
	if len(f.old) == 0 {
		return
	}
	_ = s.send(ctx, s.work, unit{op: "shrink claims", build: func(b *pgx.Batch) {
		b.Queue(s.sql(lockClaimsSQL), s.now(), int64(f.Worker), numbers(f.old))
		b.Queue(s.sql(shrinkSQL), int64(f.Worker), numbers(f.old))
	}})
}

// heldKey is a unique key and the job that holds it.
type heldKey struct {
	key []byte
	job int64
}

// hexKeys writes keys for decode(…, 'hex').
func hexKeys(keys []heldKey) string {
	return texts(keys, func(k *heldKey) (string, bool) { return hex.EncodeToString(k.key), true })
}
