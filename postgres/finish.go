package postgres

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// lockClaimsSQL locks claims $3 of worker $2 in key order, and says which are
// older than a minute. The next statement sees what others did before the lock
// was ours. A handler's transaction that completes its job shares the lock. Claims are
// looked up one by one: with "seq = ANY" the server may walk through all claims that
// the worker ever had and that a long transaction keeps from being removed.
const lockClaimsSQL = `SELECT c.seq, c.at < coalesce($1::timestamptz, statement_timestamp()) - interval '60 seconds'
FROM unnest($3::bigint[]) u (seq) CROSS JOIN LATERAL (
	SELECT seq, at FROM offstage.claim WHERE worker = $2::bigint AND seq = u.seq FOR NO KEY UPDATE
) c`

// recordSQL inserts attempts, in key order, whose claim exists and names their job and
// run: $2 worker, $3 claims; for each result $4 job … $14 log. Columns in which
// all results are alike are sent empty: run 1, the one claim, completed, and no
// texts. A pending cancel ends what would go on waiting. It answers how many
// were new and, if that is not all ($15), which, and whether jobs ended and
// somebody waits for such. A run that has its attempt
// already is a unique violation.
const recordSQL = recordHead + recordTail

// recordAgainSQL is recordSQL for results of which some may have been recorded
// before: those are left out. The server then looks into the index twice for
// each row and logs one more record, which costs half as much again.
const recordAgainSQL = recordHead + ` ON CONFLICT (job, run) DO NOTHING` + recordTail

const recordHead = `WITH ended AS (
	INSERT INTO offstage.attempt (job, worker, seq, finished_at, ran, run, outcome, next, errors, lost, error, trace, result, log)
	SELECT u.job, $2::bigint, u.seq, u.now, u.ran, u.run, u.outcome,
		CASE WHEN u.next IN (6, 7, 8) THEN u.next
			WHEN EXISTS (SELECT FROM offstage.cancel c WHERE c.job = u.job) THEN 8 ELSE u.next END,
		nullif(u.errors, 0), nullif(u.lost, 0), u.error, u.trace, u.result, u.log
	FROM (
		SELECT coalesce($1::timestamptz, statement_timestamp()) AS now, a.job, coalesce(a.run, 1) AS run,
			coalesce(a.seq, ($3::bigint[])[1]) AS seq, coalesce(a.outcome, 1::smallint) AS outcome,
			coalesce(a.next, 6::smallint) AS next, a.errors, a.lost, a.ran, a.error, a.trace, a.result, a.log
		FROM unnest($4::bigint[], $5::int[], $6::bigint[], $7::smallint[], $8::smallint[], $9::int[], $10::int[],
			$11::bigint[], $12::text[], $13::text[], $14::text[], $16::text[])
			AS a (job, run, seq, outcome, next, errors, lost, ran, error, trace, result, log)
	) u
	WHERE ((u.seq, u.job, u.run) IN (
		SELECT c.seq, h.job, coalesce(h.run, 1)
		FROM unnest($3::bigint[]) s (seq) CROSS JOIN LATERAL (
			SELECT seq, jobs, runs FROM offstage.claim WHERE worker = $2::bigint AND seq = s.seq OFFSET 0
		) c CROSS JOIN LATERAL unnest(c.jobs, c.runs) h (job, run)
	)) IS TRUE`

const recordTail = ` RETURNING job, run, next
), dropped AS (
	DELETE FROM offstage.cancel c USING ended e
	WHERE c.job = e.job AND e.next IN (6, 7, 8) AND (SELECT true FROM offstage.cancel LIMIT 1)
)
SELECT n, CASE WHEN n <> $15::bigint THEN (SELECT array_agg(job)::text FROM ended) END,
	CASE WHEN n <> $15::bigint THEN (SELECT array_agg(run)::text FROM ended) END,
	CASE WHEN most = 8 THEN (SELECT array_agg(job)::text FROM ended WHERE next = 8) END,
	CASE WHEN most >= 6 THEN EXISTS (SELECT FROM offstage.herald WHERE until > statement_timestamp()) ELSE false END
FROM (SELECT count(*) AS n, max(next) AS most FROM ended) e`

// releaseSQL deletes claims $2 of worker $1.
const releaseSQL = `DELETE FROM offstage.claim WHERE ctid = ANY (ARRAY(
	SELECT c.tid FROM unnest($2::bigint[]) u (seq) CROSS JOIN LATERAL (
		SELECT ctid AS tid FROM offstage.claim WHERE worker = $1::bigint AND seq = u.seq FOR UPDATE
	) c
))`

// Finish records how attempts ended; see [offstage.Queue]. Where every result
// ends its job, and none had a unique key, it is one round trip.
func (s *Store) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	if err := s.usable(ctx, "record results"); err != nil {
		return nil, err
	}
	if len(req.Results)+len(req.Release) == 0 {
		return nil, nil
	}
	f := newFlush(req)
	err := s.finish(ctx, f)
	if codeOf(err) == codeUniqueViolation {
		f.again = true
		err = s.finish(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	s.open.remove(req.Worker, req.Release...)
	if len(f.readied) > 0 {
		s.knocker.ring()
	}
	if f.awaited {
		s.knocker.ringEnded()
	}
	s.shrink(ctx, f)
	return s.verdicts(ctx, f)
}

func (s *Store) finish(ctx context.Context, f *flush) error {
	if f.simple() {
		return s.finishAtOnce(ctx, f)
	}
	return s.finishInSteps(ctx, f)
}

// flush is a FinishRequest on its way.
type flush struct {
	offstage.FinishRequest
	again   bool                      // some of it was recorded before
	order   []*offstage.Result        // by job and run: opposite orders would deadlock
	claims  []int64                   // all that are named, in order
	old     []int64                   // those of them that are older than a minute
	all     bool                      // of the results count, as they are
	counted map[runKey]offstage.State // if not: those that do
	readied []offstage.ID             // jobs that became ready by it
	awaited bool                      // jobs ended, and somebody is to be told
}

// runKey names one run of a job.
type runKey struct {
	job offstage.ID
	run int
}

func newFlush(req offstage.FinishRequest) *flush {
	f := &flush{FinishRequest: req, order: make([]*offstage.Result, len(req.Results))}
	f.claims = slices.Clone(req.Release)
	for i := range req.Results {
		f.order[i] = &req.Results[i]
		if n := len(f.claims); n == 0 || f.claims[n-1] != req.Results[i].Claim {
			f.claims = append(f.claims, req.Results[i].Claim)
		}
	}
	slices.Sort(f.claims)
	f.claims = slices.Compact(f.claims)
	slices.SortStableFunc(f.order, func(a, b *offstage.Result) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Run, b.Run))
	})
	return f
}

// simple reports whether nothing follows from the results but that jobs end.
func (f *flush) simple() bool {
	return !slices.ContainsFunc(f.order, func(r *offstage.Result) bool {
		return !r.Next.Terminal() || r.UniqueKey != nil || r.Parent != 0
	})
}

// finishAtOnce sends everything in one round trip.
func (s *Store) finishAtOnce(ctx context.Context, f *flush) error {
	return s.send(ctx, s.work, unit{op: "record results", repeatable: true, build: func(b *pgx.Batch) {
		s.queueRecord(b, f)
		s.queueRelease(b, f)
	}})
}

// finishInSteps records, and then does what follows from the results that counted.
func (s *Store) finishInSteps(ctx context.Context, f *flush) error {
	return s.transact(ctx, "record results", func(ctx context.Context, tx pgx.Tx) error {
		b := &pgx.Batch{}
		s.queueRecord(b, f)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		b = &pgx.Batch{}
		s.queueFollowUps(b, f)
		s.queueRelease(b, f)
		return tx.SendBatch(ctx, b).Close()
	})
}

// queueRecord locks the claims and inserts the attempts.
func (s *Store) queueRecord(b *pgx.Batch, f *flush) {
	b.Queue(s.sql(lockClaimsSQL), s.now(), int64(f.Worker), numbers(f.claims)).Query(func(rows pgx.Rows) error {
		f.old = nil
		var seq int64
		var old bool
		_, err := pgx.ForEachRow(rows, []any{&seq, &old}, func() error {
			if old && !slices.Contains(f.Release, seq) {
				f.old = append(f.old, seq)
			}
			return nil
		})
		return err
	})
	if len(f.order) == 0 {
		return
	}
	record := recordSQL
	if f.again {
		record = recordAgainSQL
	}
	b.Queue(s.sql(record), f.params(s.now())...).QueryRow(func(row pgx.Row) error {
		var n int
		var jobs, runs, cancelled *string
		if err := row.Scan(&n, &jobs, &runs, &cancelled, &f.awaited); err != nil {
			return err
		}
		return f.count(n, jobs, runs, cancelled)
	})
}

func (s *Store) queueRelease(b *pgx.Batch, f *flush) {
	if len(f.Release) > 0 {
		b.Queue(s.sql(releaseSQL), int64(f.Worker), numbers(f.Release))
	}
}

// params returns the parameters of recordSQL.
func (f *flush) params(now any) []any {
	column := func(value func(*offstage.Result) int64, usual int64) string {
		alike := !slices.ContainsFunc(f.order, func(r *offstage.Result) bool { return value(r) != usual })
		if alike {
			return "{}"
		}
		return ints(f.order, func(r **offstage.Result) int64 { return value(*r) })
	}
	text := func(value func(*offstage.Result) string) string {
		return optional(f.order, func(r **offstage.Result) string { return value(*r) })
	}
	return []any{
		now, int64(f.Worker), numbers(f.claims),
		ints(f.order, func(r **offstage.Result) int64 { return int64((*r).Job) }),
		column(func(r *offstage.Result) int64 { return int64(r.Run) }, 1),
		column(func(r *offstage.Result) int64 { return r.Claim }, f.claims[0]),
		column(func(r *offstage.Result) int64 { return int64(r.Outcome) }, int64(offstage.OutcomeCompleted)),
		column(func(r *offstage.Result) int64 { return int64(r.Next) }, int64(offstage.Completed)),
		column(func(r *offstage.Result) int64 { return int64(r.Errors) }, 0),
		column(func(r *offstage.Result) int64 { return int64(r.Lost) }, 0),
		f.ran(),
		text(func(r *offstage.Result) string { return r.Error }),
		text(func(r *offstage.Result) string { return r.Trace }),
		text(func(r *offstage.Result) string { return string(r.Value) }),
		int64(len(f.order)),
		text(func(r *offstage.Result) string { return string(r.Log) }),
	}
}

// ran is how long each attempt ran, NULL where it was not started.
func (f *flush) ran() string {
	b := make([]byte, 1, 2+8*len(f.order))
	b[0] = '{'
	for i, r := range f.order {
		if i > 0 {
			b = append(b, ',')
		}
		if r.Started {
			b = strconv.AppendInt(b, r.Ran.Microseconds(), 10)
		} else {
			b = append(b, "NULL"...)
		}
	}
	return string(append(b, '}'))
}

// count notes which results were recorded now. jobs and runs are null if all were.
func (f *flush) count(n int, jobs, runs, cancelled *string) error {
	f.all, f.counted = n == len(f.order) && cancelled == nil, nil
	if f.all {
		return nil
	}
	f.counted = make(map[runKey]offstage.State, n)
	if jobs == nil && n > 0 {
		for _, r := range f.order {
			f.counted[runKey{r.Job, r.Run}] = r.Next
		}
	} else if n > 0 {
		ids, err := parseInts(*jobs)
		if err != nil {
			return err
		}
		numbers, err := parseInts(*runs)
		if err != nil {
			return err
		}
		for i, id := range ids {
			f.counted[runKey{offstage.ID(id), int(numbers[i])}] = 0
		}
		for _, r := range f.order {
			if _, counted := f.counted[runKey{r.Job, r.Run}]; counted {
				f.counted[runKey{r.Job, r.Run}] = r.Next
			}
		}
	}
	if cancelled == nil {
		return nil
	}
	ids, err := parseInts(*cancelled)
	for key := range f.counted {
		if slices.Contains(ids, int64(key.job)) {
			f.counted[key] = offstage.Cancelled
		}
	}
	return err
}

// parseInts reads an array of numbers in PostgreSQL's text form.
func parseInts(text string) ([]int64, error) {
	text = strings.Trim(text, "{}")
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, ",")
	numbers := make([]int64, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	return numbers, nil
}

// next returns the state that a job took by a result, if that counted.
func (f *flush) next(r *offstage.Result) (next offstage.State, counted bool) {
	if f.all {
		return r.Next, true
	}
	next, counted = f.counted[runKey{r.Job, r.Run}]
	return next, counted
}

// verdicts answers for each result in the caller's order. Those that were not
// recorded now were either recorded before under this very claim, or are refused.
func (s *Store) verdicts(ctx context.Context, f *flush) ([]offstage.Verdict, error) {
	verdicts := make([]offstage.Verdict, len(f.Results))
	var open []int
	for i := range f.Results {
		r := &f.Results[i]
		if next, counted := f.next(r); counted {
			verdicts[i] = offstage.Verdict{Kind: offstage.Counted, Next: next}
			delete(f.counted, runKey{r.Job, r.Run}) // the same result a second time is a repeat
		} else {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return verdicts, nil
	}
	earlier, err := s.earlier(ctx, f, open)
	for _, i := range open {
		r := &f.Results[i]
		if next, found := earlier[earlierKey{runKey{r.Job, r.Run}, r.Claim}]; found {
			verdicts[i] = offstage.Verdict{Kind: offstage.Already, Next: next}
		}
	}
	return verdicts, err
}

// earlierSQL finds attempts of worker $1 by job $2, run $3 and claim $4, except
// those that a rescue ended for it.
const earlierSQL = `SELECT a.job, a.run, a.seq, a.next FROM unnest($2::bigint[], $3::int[], $4::bigint[]) u (job, run, seq)
CROSS JOIN LATERAL (
	SELECT job, run, seq, next FROM offstage.attempt
	WHERE job = u.job AND run = u.run AND seq = u.seq AND worker = $1::bigint AND outcome <> 7 OFFSET 0
) a`

type earlierKey struct {
	runKey
	claim int64
}

func (s *Store) earlier(ctx context.Context, f *flush, which []int) (map[earlierKey]offstage.State, error) {
	found := map[earlierKey]offstage.State{}
	of := func(number func(*offstage.Result) int64) string {
		return ints(which, func(i *int) int64 { return number(&f.Results[*i]) })
	}
	err := s.send(ctx, s.work, unit{op: "look for recorded results", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(earlierSQL), int64(f.Worker),
			of(func(r *offstage.Result) int64 { return int64(r.Job) }),
			of(func(r *offstage.Result) int64 { return int64(r.Run) }),
			of(func(r *offstage.Result) int64 { return r.Claim }),
		).Query(func(rows pgx.Rows) error {
			var job, seq int64
			var run int
			var next int16
			_, err := pgx.ForEachRow(rows, []any{&job, &run, &seq, &next}, func() error {
				found[earlierKey{runKey{offstage.ID(job), run}, seq}] = offstage.State(next)
				return nil
			})
			return err
		})
	}})
	return found, err
}
