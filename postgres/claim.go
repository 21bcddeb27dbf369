package postgres

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/offstagehq/offstage"
)

// claimSQL takes jobs for all pools of a worker. It walks the pools in order,
// and for each the stretches of its queues in order, until its slots are full:
// the nested loops keep that order, and a stretch is only opened when it is
// needed. Rows that others have locked are skipped; those that an earlier pool
// has locked in this very statement carry our own transaction in xmax. What was
// picked is deleted by its place in the table and named by one claim row.
//
// $1 time, $2 worker, $3 seq, $4 slots of each pool; for each stretch $5 its
// pool, $6 queue, $7 first and $8 last lane, $9 and $10 the key in the first lane
// after which it begins; $11 the most deaths that a job may have behind it.
//
// The first row is a header: the snapshot in extra, paused queues in args, paused
// kinds in uniq_key. Then come the jobs in the order in which they were picked. What is
// as usual is null: to send a value costs more than to find out. Facts are null if
// gone, and only args if they are long.
const claimSQL = `WITH picked AS MATERIALIZED (
	SELECT p.* FROM unnest($4::int[]) WITH ORDINALITY AS pool (slots, nr)
	CROSS JOIN LATERAL (
		SELECT s.nr, q.* FROM unnest($5::int[], $6::int[], $7::smallint[], $8::smallint[], $9::xid8[], $10::bigint[])
			WITH ORDINALITY AS s (pool, queue, first, last, xid, job, nr)
		CROSS JOIN LATERAL (
			SELECT r.ctid AS tid, r.lane, r.xid, r.job, r.run, r.errors, r.lost
			FROM offstage.ready r
			WHERE r.queue = s.queue AND (r.lane, r.xid, r.job) > (s.first, s.xid, s.job) AND r.lane <= s.last AND r.lost <= $11::int
				AND r.xmax IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid
			ORDER BY r.lane, r.xid, r.job
			LIMIT pool.slots FOR UPDATE SKIP LOCKED
		) q
		WHERE s.pool = pool.nr AND s.queue <> ALL (ARRAY(SELECT id FROM offstage.queue WHERE paused))
		LIMIT pool.slots
	) p
), gone AS (
	DELETE FROM offstage.ready WHERE ctid = ANY (ARRAY(SELECT tid FROM picked))
), lease AS (
	INSERT INTO offstage.claim (worker, seq, at, jobs, runs, errors, lost)
	SELECT $2::bigint, $3::bigint, coalesce($1::timestamptz, statement_timestamp()), ARRAY(SELECT job FROM picked),
		CASE WHEN again THEN ARRAY(SELECT run FROM picked) END, CASE WHEN again THEN ARRAY(SELECT errors FROM picked) END,
		CASE WHEN again THEN ARRAY(SELECT lost FROM picked) END
	FROM (SELECT EXISTS (SELECT FROM picked WHERE run <> 1 OR errors <> 0 OR lost <> 0) AS again) p
	WHERE EXISTS (SELECT FROM picked)
)
SELECT 0::bigint, 0::bigint, '0'::xid8, 0::smallint, NULL::int, NULL::int, NULL::int, NULL::int, NULL::int, NULL::bigint,
	coalesce($1::timestamptz, statement_timestamp()), convert_to(ARRAY(SELECT id FROM offstage.kind WHERE paused)::text, 'UTF8'),
	pg_current_snapshot()::text, ARRAY(SELECT id FROM offstage.queue WHERE paused)::text, NULL::boolean
UNION ALL
SELECT p.nr, p.job, p.xid, p.lane, nullif(p.run, 1), nullif(p.errors, 0), nullif(p.lost, 0), j.kind,
	nullif(j.max_attempts, 0), nullif(j.timeout, 0), j.created_at, j.uniq_key, j.extra, j.args,
	CASE WHEN (SELECT true FROM offstage.cancel LIMIT 1) THEN EXISTS (SELECT FROM offstage.cancel c WHERE c.job = p.job) END
FROM picked p LEFT JOIN LATERAL (
	SELECT f.kind, f.max_attempts, f.timeout, f.created_at, f.uniq_key, f.extra,
		CASE WHEN octet_length(f.args) <= 8192 THEN f.args END AS args
	FROM offstage.job f WHERE f.id = p.job OFFSET 0
) j ON true`

// Claim takes ready jobs; see [offstage.Queue].
func (s *Store) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	if err := s.usable(ctx, "claim jobs"); err != nil {
		return offstage.Claim{}, err
	}
	plan, err := s.plan(ctx, req)
	if err != nil {
		return offstage.Claim{}, err
	}
	slept := s.sleepers.mark(req.Worker)
	s.open.add(req.Worker, req.Seq)
	var got fetched
	err = s.send(ctx, s.work, unit{op: "claim jobs", build: func(b *pgx.Batch) {
		if len(plan.moves) > 0 {
			b.Queue(s.sql(moveLateSQL), plan.late()...)
		}
		if plan.sweep {
			b.Queue(s.sql(sweepSQL), append([]any{s.now(), numbers(plan.queues)}, plan.hidden()...)...)
		}
		plan.sent = time.Now()
		b.Queue(s.sql(claimSQL), plan.params(s.now())...).Query(func(rows pgx.Rows) error {
			got = fetched{}
			got.grow(int(s.fetches.Load()))
			return got.scan(rows, plan)
		})
	}})
	if err != nil {
		s.hints.drop()
		return offstage.Claim{}, err
	}
	s.fetches.Store(max(int64(len(got.jobs)), s.fetches.Load()/2))
	if len(got.jobs) == 0 {
		s.open.remove(req.Worker, req.Seq)
	}
	s.hints.moved(plan.epoch, plan.moves)
	late := s.learnFrom(plan, &got)
	claim := offstage.Claim{Seq: req.Seq, Pending: s.sleepers.pending(req.Worker, slept, got.snapshot) || late}
	claim.Jobs, err = s.named(ctx, plan, &got)
	return claim, err
}

// fetchPlan is a claim request as it is sent.
type fetchPlan struct {
	offstage.ClaimRequest
	epoch     int64
	sweep     bool
	sent      time.Time
	queues    []int32   // all that are served, each once
	moves     []late    // what is to be moved first
	stretches []stretch // in the order in which they are walked
}

// plan finds the stretches to look at: those of each queue are the same for all
// pools that serve it.
func (s *Store) plan(ctx context.Context, req offstage.ClaimRequest) (*fetchPlan, error) {
	p := &fetchPlan{ClaimRequest: req, epoch: s.epoch.Load()}
	p.sweep = s.hints.sweepDue() || req.Sweep
	byQueue := map[int32][]stretch{}
	for i, pool := range req.Pools {
		queues, _, err := s.intern(ctx, pool.Queues, nil)
		if err != nil {
			return nil, err
		}
		for _, queue := range queues {
			stretches, planned := byQueue[queue]
			if !planned {
				var moves []late
				stretches, moves = s.hints.plan(queue, p.epoch)
				byQueue[queue] = stretches
				p.queues, p.moves = append(p.queues, queue), append(p.moves, moves...)
			}
			for _, st := range stretches {
				st.pool = i
				p.stretches = append(p.stretches, st)
			}
		}
	}
	return p, nil
}

// params returns the parameters of claimSQL.
func (p *fetchPlan) params(now any) []any {
	params := []any{
		now, int64(p.Worker), p.Seq,
		ints(p.Pools, func(r *offstage.PoolRequest) int64 { return int64(max(r.Slots, 0)) }),
		ints(p.stretches, func(st *stretch) int64 { return int64(st.pool) + 1 }),
		queuesOf(p.stretches),
	}
	return append(append(params, bounds(p.stretches)...), p.mostLost())
}

// queuesOf is the parameter that names the queue of each stretch.
func queuesOf(stretches []stretch) string {
	return ints(stretches, func(st *stretch) int64 { return int64(st.queue) })
}

// bounds are four parameters: the first and the last lanes of stretches, and the keys
// in the first ones after which they begin.
func bounds(stretches []stretch) []any {
	of := func(number func(*stretch) int64) string { return ints(stretches, number) }
	return []any{
		of(func(st *stretch) int64 { return int64(st.first) }),
		of(func(st *stretch) int64 { return int64(st.last) }),
		of(func(st *stretch) int64 { return int64(st.after.xid) }),
		of(func(st *stretch) int64 { return st.after.job }),
	}
}

// hidden are four parameters: the queues and lanes of hints, and the keys below which
// they hide everything.
func (p *fetchPlan) hidden() []any {
	behind := slices.DeleteFunc(slices.Clone(p.stretches), func(st stretch) bool { return st.after == (key{}) })
	lanes := bounds(behind)
	return []any{queuesOf(behind), lanes[0], lanes[2], lanes[3]}
}

// mostLost is how many workers in a row may have died of a job that is taken.
func (p *fetchPlan) mostLost() int {
	if p.NoSuspects {
		return offstage.SuspectLost - 1
	}
	return math.MaxInt32
}

// late returns the parameters of moveLateSQL.
func (p *fetchPlan) late() []any {
	return []any{
		ints(p.moves, func(m *late) int64 { return int64(m.queue) }),
		ints(p.moves, func(m *late) int64 { return int64(m.lane) }),
		ints(p.moves, func(m *late) int64 { return int64(m.xid) }),
	}
}

// pick is where a claim took a job.
type pick struct {
	nr   int // the stretch, from 1
	at   place
	kind int32
}

// fetched is what claimSQL answered. To sort it is to put the jobs, with their
// picks, in the order of the stretches.
type fetched struct {
	snapshot snapshot
	queues   []int64               // paused ones
	kinds    []int64               // paused ones
	jobs     []offstage.ClaimedJob // still without the names of queues and kinds
	picks    []pick                // of each job
}

// grow makes room for so many jobs.
func (f *fetched) grow(n int) {
	f.jobs, f.picks = make([]offstage.ClaimedJob, 0, n), make([]pick, 0, n)
}

func (f *fetched) Len() int           { return len(f.jobs) }
func (f *fetched) Less(i, j int) bool { return f.picks[i].nr < f.picks[j].nr }
func (f *fetched) Swap(i, j int) {
	f.jobs[i], f.jobs[j] = f.jobs[j], f.jobs[i]
	f.picks[i], f.picks[j] = f.picks[j], f.picks[i]
}

// scan reads the header and the jobs.
func (f *fetched) scan(rows pgx.Rows, plan *fetchPlan) error {
	var (
		nr, job         int64
		xid             uint64
		lane            int16
		run, errs, lost pgtype.Int4
		kind, attempts  pgtype.Int4
		timeout         pgtype.Int8
		created         pgtype.Timestamptz
		uniqueKey, args []byte
		extra           *string
		cancelled       pgtype.Bool
		targets         = []any{&nr, &job, &xid, &lane, &run, &errs, &lost, &kind, &attempts, &timeout, &created, &uniqueKey, &extra, &args, &cancelled}
	)
	for header := true; rows.Next(); header = false {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if header {
			if err := f.head(*extra, string(args), string(uniqueKey)); err != nil {
				return err
			}
			continue
		}
		st := &plan.stretches[nr-1]
		f.picks = append(f.picks, pick{int(nr), place{lane, key{xid, job}}, kind.Int32})
		f.jobs = append(f.jobs, offstage.ClaimedJob{
			Facts: offstage.Facts{ID: offstage.ID(job), Priority: int(lane / 2)}, Pool: st.pool,
			Run: max(int(run.Int32), 1), Errors: int(errs.Int32), Lost: int(lost.Int32),
			Missing: !kind.Valid, CancelAsked: cancelled.Bool,
		})
		if taken := &f.jobs[len(f.jobs)-1]; !taken.Missing {
			taken.MaxAttempts, taken.Timeout = int(attempts.Int32), micros(timeout.Int64)
			taken.CreatedAt, taken.UniqueKey = created.Time.UTC(), uniqueKey
			taken.Args, taken.ArgsDeferred = args, args == nil
			taken.KindPaused = slices.Contains(f.kinds, int64(kind.Int32))
			if err := readExtra(&taken.Extra, extra); err != nil {
				return err
			}
		}
		uniqueKey, args = nil, nil // the next row must not write into them
	}
	return rows.Err()
}

func (f *fetched) head(snapshot, queues, kinds string) (err error) {
	if f.snapshot, err = parseSnapshot(snapshot); err != nil {
		return err
	}
	if f.queues, err = parseInts(queues); err != nil {
		return err
	}
	f.kinds, err = parseInts(kinds)
	return err
}

// readExtra reads what a job carries; nil is nothing.
func readExtra(extra *offstage.Extra, text *string) error {
	if text == nil {
		return nil
	}
	return json.Unmarshal([]byte(*text), extra)
}

// micros is a stored duration.
func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// learnFrom moves the hints of each queue, by what each pool saw of it, and
// reports whether jobs have come behind them.
func (s *Store) learnFrom(plan *fetchPlan, got *fetched) (late bool) {
	taken := make([]int, len(plan.Pools))  // jobs by pool
	last := make([]*pick, len(plan.Pools)) // the last job by pool
	used := map[int32][]int16{}            // lanes by queue
	for i := range got.picks {
		p := &got.picks[i]
		pool := plan.stretches[p.nr-1].pool
		taken[pool]++
		last[pool] = p
		if queue := plan.stretches[p.nr-1].queue; !slices.Contains(used[queue], p.at.lane) {
			used[queue] = append(used[queue], p.at.lane)
		}
	}
	seen := map[int32][]sight{}
	for i, st := range plan.stretches {
		if plan.NoSuspects {
			break // what was left to others must not be hidden
		}
		end := last[st.pool]
		switch {
		case taken[st.pool] < plan.Pools[st.pool].Slots || end != nil && i+1 < end.nr:
			seen[st.queue] = append(seen[st.queue], sight{stretch: st})
		case end != nil && i+1 == end.nr:
			seen[st.queue] = append(seen[st.queue], sight{st, &end.at})
		}
	}
	for _, queue := range plan.queues {
		if slices.Contains(got.queues, int64(queue)) {
			continue
		}
		if s.hints.learn(queue, plan.epoch, got.snapshot, plan.sent, seen[queue], used[queue]) {
			late = true
		}
	}
	return late
}

// named gives the picked jobs the names of their queues and kinds, and the
// order in which they are to be started: by pool, as they were picked.
func (s *Store) named(ctx context.Context, plan *fetchPlan, got *fetched) ([]offstage.ClaimedJob, error) {
	sort.Stable(got)
	for i := range got.jobs {
		job, p := &got.jobs[i], &got.picks[i]
		var err error
		if job.Queue, err = s.named1(ctx, s.queueName, plan.stretches[p.nr-1].queue); err != nil {
			return nil, err
		}
		if job.Missing {
			continue
		}
		if job.Kind, err = s.named1(ctx, s.kindName, p.kind); err != nil {
			return nil, err
		}
	}
	return got.jobs, nil
}

// named1 returns the name behind a number, after a look at the tables if it is
// new to this process.
func (s *Store) named1(ctx context.Context, name func(int32) (string, bool), id int32) (string, error) {
	found, known := name(id)
	if known {
		return found, nil
	}
	if err := s.loadNames(ctx); err != nil {
		return "", err
	}
	found, _ = name(id)
	return found, nil
}

// moveLateSQL moves the jobs of transactions $3 in lanes $2 of queues $1, which
// committed behind the hints, to the end of their lanes. Their order there is that of
// their numbers; to ask for it here had them looked for by the index of numbers, all of
// it, if the plan was made while nothing was ready.
const moveLateSQL = `WITH late AS MATERIALIZED (
	SELECT r.tid FROM unnest($1::int[], $2::smallint[], $3::xid8[]) u (queue, lane, xid) CROSS JOIN LATERAL (
		SELECT ctid AS tid FROM offstage.ready
		WHERE queue = u.queue AND lane = u.lane AND xid = u.xid FOR UPDATE SKIP LOCKED
	) r
), gone AS (
	DELETE FROM offstage.ready WHERE ctid = ANY (ARRAY(SELECT tid FROM late))
	RETURNING queue, lane, job, since, run, errors, lost
)
INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
SELECT queue, lane, job, since, run, errors, lost FROM gone`

// sweepSQL moves what hints may hide, at the head of each lane of the queues $2, to
// band 0 of a new transaction, where they do not reach: what is below the hints of
// this process, which are keys $5 and $6 in lanes $4 of queues $3, and what has been
// ready for so long that somebody's may be beyond it. The order stays: they were the
// first, and are. At most 1,000 jobs of each lane.
const sweepSQL = `WITH head AS MATERIALIZED (
	SELECT h.tid FROM unnest($2::int[]) q (id) CROSS JOIN generate_series(0, 19) l (nr)
	LEFT JOIN unnest($3::int[], $4::smallint[], $5::xid8[], $6::bigint[]) hint (queue, lane, xid, job) ON hint.queue = q.id AND hint.lane = l.nr
	CROSS JOIN LATERAL (
		SELECT ctid AS tid, xid, job, since FROM offstage.ready
		WHERE queue = q.id AND lane = l.nr::smallint ORDER BY xid, job LIMIT 1000
	) h
	WHERE (h.xid, h.job) <= (hint.xid, hint.job) OR h.since < coalesce($1::timestamptz, statement_timestamp()) - interval '10 seconds'
	LIMIT 10000
), gone AS (
	DELETE FROM offstage.ready WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM offstage.ready WHERE ctid = ANY (ARRAY(SELECT tid FROM head)) FOR UPDATE SKIP LOCKED
	))
	RETURNING queue, lane, job, since, run, errors, lost
)
INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
SELECT queue, lane / 2 * 2, job, since, run, errors, lost FROM gone`

// loadArgsSQL reads the arguments of job $1.
const loadArgsSQL = `SELECT args FROM offstage.job WHERE id = $1::bigint`

// LoadArgs returns the arguments that a claim left out; see [offstage.Queue].
func (s *Store) LoadArgs(ctx context.Context, job offstage.ID) ([]byte, error) {
	var args *string
	err := s.send(ctx, s.work, unit{op: "load arguments", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(loadArgsSQL), int64(job)).Query(func(rows pgx.Rows) error {
			return one(rows, &args)
		})
	}})
	if err != nil {
		return nil, err
	}
	if args == nil {
		return nil, offstage.ErrNotFound
	}
	return []byte(*args), nil
}

// one reads the only row, if there is one.
func one(rows pgx.Rows, targets ...any) error {
	if rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}
