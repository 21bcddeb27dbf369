package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// counter remembers how far a count has come: one call counts for countTime at
// most, and the next goes on.
type counter struct {
	mu        sync.Mutex // held through a call
	epoch     int64
	queue     int32         // the last queue whose ready jobs were counted
	scheduled map[int32]int // of the pass under way, by queue
	at        time.Time     // the last scheduled row that was counted
	job       int64
	totals    map[int32]int // of the last complete pass
	agedAt    time.Time     // when the age of unchanged figures was last noted
}

const (
	countTime = 200 * time.Millisecond
	countPage = 20_000
)

const (
	// countScheduledSQL counts $3 scheduled jobs after ($1, $2) by queue, and
	// answers the last of them.
	countScheduledSQL = `SELECT queue, count(*), max(run_at), (array_agg(job ORDER BY run_at DESC, job DESC))[1]
FROM (
	SELECT queue, run_at, job FROM offstage.scheduled WHERE (run_at, job) > (coalesce($1::timestamptz, '-infinity'), $2::bigint)
	ORDER BY run_at, job LIMIT $3::int
) s GROUP BY queue`
	// countReadySQL counts the ready jobs of queue $2, up to $4, and stores that
	// with the number of scheduled ones, $3. It looks where a fetch would: from lanes $6
	// to $7, after the keys $8 and $9 in the first of them.
	countReadySQL = `INSERT INTO offstage.queue_stat AS s (queue, ready, scheduled, capped, oldest, at)
SELECT $2::int, least(count(*), $4::int), least($3::int, $4::int), count(*) > $4::int OR $3::int > $4::int OR $5::boolean,
	min(since), coalesce($1::timestamptz, statement_timestamp())
FROM (
	SELECT r.since FROM unnest($6::smallint[], $7::smallint[], $8::xid8[], $9::bigint[]) s (first, last, xid, job) CROSS JOIN LATERAL (
		SELECT since FROM offstage.ready
		WHERE queue = $2::int AND (lane, xid, job) > (s.first, s.xid, s.job) AND lane <= s.last
		ORDER BY lane, xid, job LIMIT $4::int + 1
	) r LIMIT $4::int + 1
) r
ON CONFLICT (queue) DO UPDATE SET ready = excluded.ready, scheduled = excluded.scheduled, capped = excluded.capped,
	oldest = excluded.oldest, at = excluded.at`
)

// readySQL is whether queue q has ready jobs. It looks where a fetch of this process
// would: in queues $3, from lanes $4 to $5, after the keys $6 and $7; all of a queue
// that this process has no hints for. What was fetched before may be millions of dead
// entries, as long as somebody's snapshot is open.
const readySQL = `(EXISTS (
	SELECT FROM unnest($3::int[], $4::smallint[], $5::smallint[], $6::xid8[], $7::bigint[]) h (queue, first, last, xid, job) CROSS JOIN LATERAL (
		SELECT FROM offstage.ready r
		WHERE r.queue = h.queue AND (r.lane, r.xid, r.job) > (h.first, h.xid, h.job) AND r.lane <= h.last LIMIT 1
	) r WHERE h.queue = q.id
) OR q.id <> ALL ($3::int[]) AND EXISTS (SELECT FROM offstage.ready r WHERE r.queue = q.id OFFSET 0))`

// quietSQL finds a row if there is a scheduled job or a queue to be counted.
const quietSQL = `SELECT FROM offstage.scheduled UNION ALL (SELECT FROM offstage.queue q LEFT JOIN offstage.queue_stat s ON s.queue = q.id
WHERE s.queue IS NULL OR s.ready > 0 OR s.scheduled > 0 OR ` + readySQL + `)`

var (
	// changedSQL finds the queues whose figures are, or may be by now, other than
	// none at all, under term $2; $8 are those with scheduled jobs.
	changedSQL = `SELECT q.id FROM offstage.queue q LEFT JOIN offstage.queue_stat s ON s.queue = q.id
WHERE ` + led(2) + ` = 1 AND (s.queue IS NULL OR s.ready > 0 OR s.scheduled > 0 OR q.id = ANY ($8::int[]) OR ` + readySQL + `)
ORDER BY q.id`
	// ageSQL notes, under term $2, that queues which had nothing still have nothing.
	ageSQL = `UPDATE offstage.queue_stat s SET at = coalesce($1::timestamptz, statement_timestamp())
FROM offstage.queue q WHERE ` + led(2) + ` = 1 AND q.id = s.queue AND s.ready = 0 AND s.scheduled = 0 AND NOT ` + readySQL
)

// ageEvery is how often the age of figures is noted that have not changed.
const ageEvery = time.Minute

// count counts ready and scheduled jobs by queue, for Stats. Queues that have
// nothing, and had nothing, cost nothing: an idle process asks one question.
func (s *Store) count(ctx context.Context, term int64) (report offstage.ChoreReport, err error) {
	c := &s.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch := s.epoch.Load(); c.epoch != epoch {
		c.epoch, c.scheduled, c.totals, c.queue, c.agedAt = epoch, nil, nil, 0, time.Time{}
	}
	if at := s.localTime(); at.Sub(c.agedAt) >= ageEvery {
		if err := s.age(ctx, term); err != nil {
			return report, err
		}
		c.agedAt = at
	}
	if busy, err := s.anything(ctx, "count jobs", term, quietSQL, s.hinted()...); err != nil || !busy {
		return report, err
	}
	until := time.Now().Add(countTime)
	if err := s.countScheduled(ctx, term, c, until); err != nil {
		return report, err
	}
	queues, err := s.changedQueues(ctx, term, c)
	if err != nil {
		return report, err
	}
	for _, queue := range queues {
		if err := s.countReady(ctx, term, c, queue); err != nil {
			return report, err
		}
		c.queue = queue
		report.Done++
		if time.Now().After(until.Add(countTime)) {
			return report, nil
		}
	}
	return report, nil
}

// localTime is the set clock's time, else this machine's: good enough to say how
// long ago something was done here.
func (s *Store) localTime() time.Time {
	if s.clock != nil {
		return s.clock()
	}
	return time.Now()
}

func (s *Store) age(ctx context.Context, term int64) error {
	return notLeading(s.send(ctx, s.work, unit{op: "count jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(ageSQL), append([]any{s.now(), term}, s.hinted()...)...)
	}}))
}

// hinted are the parameters of readySQL.
func (s *Store) hinted() []any {
	stretches := s.hints.all(s.epoch.Load())
	return append([]any{queuesOf(stretches)}, bounds(stretches)...)
}

// changedQueues returns the queues that are to be counted, those first that are
// next since the last call.
func (s *Store) changedQueues(ctx context.Context, term int64, c *counter) (queues []int32, err error) {
	var scheduled []int32
	for queue := range c.totals {
		scheduled = append(scheduled, queue)
	}
	err = s.send(ctx, s.work, unit{op: "count ready jobs", repeatable: true, build: func(b *pgx.Batch) {
		params := append(append([]any{s.now(), term}, s.hinted()...), numbers(scheduled))
		b.Queue(s.sql(changedSQL), params...).Query(func(rows pgx.Rows) (err error) {
			queues, err = pgx.CollectRows(rows, pgx.RowTo[int32])
			return err
		})
	}})
	next, _ := slices.BinarySearch(queues, c.queue+1)
	return slices.Concat(queues[next:], queues[:next]), notLeading(err)
}

// countScheduled goes on with the pass over scheduled jobs.
func (s *Store) countScheduled(ctx context.Context, term int64, c *counter, until time.Time) error {
	if c.scheduled == nil {
		c.scheduled, c.at, c.job = map[int32]int{}, time.Time{}, 0
	}
	for time.Now().Before(until) {
		page, err := s.countScheduledPage(ctx, term, c)
		if err != nil {
			return err
		}
		if page < countPage {
			c.totals, c.scheduled = c.scheduled, nil
			return nil
		}
	}
	return nil
}

func (s *Store) countScheduledPage(ctx context.Context, term int64, c *counter) (page int, err error) {
	var after any
	if !c.at.IsZero() {
		after = c.at
	}
	at, job, counts := c.at, c.job, map[int32]int{}
	err = s.asLeader(ctx, term, unit{op: "count scheduled jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(countScheduledSQL), after, c.job, countPage).Query(func(rows pgx.Rows) error {
			page = 0
			clear(counts)
			var queue int32
			var n int
			var lastAt time.Time
			var lastJob int64
			_, err := pgx.ForEachRow(rows, []any{&queue, &n, &lastAt, &lastJob}, func() error {
				page += n
				counts[queue] = n
				if lastAt.After(at) || lastAt.Equal(at) && lastJob > job {
					at, job = lastAt, lastJob
				}
				return nil
			})
			return err
		})
	}})
	if err != nil {
		return 0, err
	}
	for queue, n := range counts {
		c.scheduled[queue] += n
	}
	c.at, c.job = at, job
	return page, nil
}

// countReady counts one queue and stores its figures. Until the first pass over
// scheduled jobs is complete, their number so far is a lower bound.
func (s *Store) countReady(ctx context.Context, term int64, c *counter, queue int32) error {
	scheduled, partial := c.totals[queue], c.totals == nil
	if partial {
		scheduled = c.scheduled[queue]
	}
	stretches, _ := s.hints.plan(queue, s.epoch.Load())
	return s.asLeader(ctx, term, unit{op: "count ready jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(countReadySQL), append([]any{s.now(), queue, scheduled, offstage.MaxCounted, partial}, bounds(stretches)...)...)
	}})
}
