package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// keepKindsSQL stores how long jobs of kinds $1 are kept.
const keepKindsSQL = `UPDATE offstage.kind k SET keep_completed = u.completed, keep_failed = u.failed
FROM unnest($1::int[], $2::bigint[], $3::bigint[]) u (id, completed, failed)
WHERE k.id = u.id AND (k.keep_completed, k.keep_failed) <> (u.completed, u.failed)`

// registerSQL makes a worker with queues $2, kinds $3 and description $4.
const registerSQL = `WITH w AS (
	INSERT INTO offstage.worker (id, started_at, queues, kinds, info)
	SELECT nextval('offstage.worker_id'), coalesce($1::timestamptz, statement_timestamp()), $2::int[], $3::int[], $4::text
	RETURNING id
)
INSERT INTO offstage.beat (worker) SELECT id FROM w RETURNING worker`

// Register makes a worker known and unblocks what waits for its kinds; see
// [offstage.Registry].
func (s *Store) Register(ctx context.Context, info offstage.WorkerInfo) (offstage.WorkerID, error) {
	kinds := make([]string, len(info.Kinds))
	for i, kind := range info.Kinds {
		kinds[i] = kind.Name
	}
	queueIDs, kindIDs, err := s.intern(ctx, info.Queues, kinds)
	if err != nil {
		return 0, err
	}
	described, err := json.Marshal(info)
	if err != nil {
		return 0, &offstage.InvalidError{Field: "worker", Problem: err.Error()}
	}
	order := make([]int, len(kindIDs)) // rows are written in key order
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(kindIDs[a]) - int(kindIDs[b]) })
	var worker int64
	err = s.send(ctx, s.work, unit{op: "register a worker", build: func(b *pgx.Batch) {
		b.Queue(s.sql(keepKindsSQL),
			ints(order, func(i *int) int64 { return int64(kindIDs[*i]) }),
			ints(order, func(i *int) int64 { return info.Kinds[*i].Retention.Completed.Nanoseconds() }),
			ints(order, func(i *int) int64 { return info.Kinds[*i].Retention.Failed.Nanoseconds() }))
		b.Queue(s.sql(registerSQL), s.now(), numbers(queueIDs), numbers(kindIDs), string(described)).QueryRow(func(row pgx.Row) error {
			return row.Scan(&worker)
		})
	}})
	if err != nil {
		return 0, err
	}
	s.open.register(offstage.WorkerID(worker))
	if err := s.unblockKinds(ctx, kindIDs); err != nil {
		return 0, err
	}
	return offstage.WorkerID(worker), nil
}

// beatSQL counts a beat of worker $1, unless it is taken for dead, and answers
// what it should know: 0 its own row, 1 each other worker, 2 its claims from $2
// on, 3 wanted cancels, 4 in how many microseconds a scheduled job is due. Nothing
// is lost if its commit is. Naps up to $3 are over; one that begins meanwhile is
// not. Nothing scheduled is due before $4, if it is the promoter's word of late; $5
// is the time.
const beatSQL = `WITH me AS (
	UPDATE offstage.beat b SET counter = b.counter + 1, asleep = b.asleep AND b.nap > $3::bigint
	FROM (SELECT set_config('synchronous_commit', 'off', true)) quick
	WHERE b.worker = $1::bigint AND NOT b.dead RETURNING b.worker
)
SELECT 0, worker, 0::bigint, false FROM me
UNION ALL SELECT 1, worker, counter, dead FROM offstage.beat WHERE worker <> $1::bigint
UNION ALL SELECT 2, seq, 0, false FROM offstage.claim WHERE worker = $1::bigint AND seq >= $2::bigint
UNION ALL SELECT 3, job, 0, false FROM offstage.cancel
UNION ALL SELECT 4, coalesce((
	SELECT greatest(extract(epoch FROM s.run_at - t.now) * 1000000, 1000)::bigint FROM offstage.scheduled s
	WHERE s.run_at >= $4::timestamptz ORDER BY s.run_at, s.job LIMIT 1
), 3600000000), 0, false
FROM (SELECT coalesce($5::timestamptz, statement_timestamp()) AS now) t WHERE $4::timestamptz > t.now - interval '1 minute'`

// Beat says that a worker lives; see [offstage.Registry]. It has a connection of
// its own.
func (s *Store) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	if err := s.usable(ctx, "beat"); err != nil {
		return offstage.Beat{}, err
	}
	from, all := s.open.floor(worker)
	over, calm := s.sleepers.settle(worker), s.promoter.calm(s.epoch.Load())
	var beat offstage.Beat
	var lives bool
	err := s.send(ctx, s.pulse, unit{op: "beat", repeatable: true, build: func(b *pgx.Batch) {
		beat, lives = offstage.Beat{}, false
		b.Queue(s.sql(beatSQL), int64(worker), from, over, calm, s.now()).Query(func(rows pgx.Rows) error {
			var what int
			var a, n int64
			var dead bool
			_, err := pgx.ForEachRow(rows, []any{&what, &a, &n, &dead}, func() error {
				switch what {
				case 0:
					lives = true
				case 1:
					beat.Peers = append(beat.Peers, offstage.Peer{ID: offstage.WorkerID(a), Counter: n, Dead: dead})
				case 2:
					beat.Held = append(beat.Held, a)
				case 3:
					beat.Cancels = append(beat.Cancels, offstage.ID(a))
				case 4:
					beat.Due = time.Duration(a) * time.Microsecond
				}
				return nil
			})
			return err
		})
	}})
	if err != nil {
		return offstage.Beat{}, err
	}
	if all {
		s.open.found(worker, beat.Held)
	}
	if !lives {
		return offstage.Beat{}, offstage.ErrGone
	}
	return beat, nil
}

// claimsSQL lists the jobs of worker $1's claims, from $2 on, that have no attempt.
const claimsSQL = `SELECT c.seq, h.job, coalesce(h.run, 1), coalesce(h.errors, 0), coalesce(h.lost, 0)
FROM offstage.claim c LEFT JOIN LATERAL (
	SELECT u.* FROM unnest(c.jobs, c.runs, c.errors, c.lost) u (job, run, errors, lost)
	WHERE NOT EXISTS (SELECT FROM offstage.attempt a WHERE a.job = u.job AND a.run = coalesce(u.run, 1) OFFSET 0)
) h ON true
WHERE c.worker = $1::bigint AND c.seq >= $2::bigint ORDER BY c.seq`

// Claims lists what a worker holds; see [offstage.Queue].
func (s *Store) Claims(ctx context.Context, worker offstage.WorkerID) ([]offstage.HeldClaim, error) {
	from, _ := s.open.floor(worker)
	var claims []offstage.HeldClaim
	err := s.send(ctx, s.work, unit{op: "list claims", repeatable: true, build: func(b *pgx.Batch) {
		claims = nil
		b.Queue(s.sql(claimsSQL), int64(worker), from).Query(func(rows pgx.Rows) error {
			var seq int64
			var job *int64
			var held offstage.HeldJob
			_, err := pgx.ForEachRow(rows, []any{&seq, &job, &held.Run, &held.Errors, &held.Lost}, func() error {
				if n := len(claims); n == 0 || claims[n-1].Seq != seq {
					claims = append(claims, offstage.HeldClaim{Seq: seq})
				}
				if job != nil {
					held.Job = offstage.ID(*job)
					last := &claims[len(claims)-1]
					last.Jobs = append(last.Jobs, held)
				}
				return nil
			})
			return err
		})
	}})
	return claims, err
}

// endedRunSQL looks for the attempt of job $1, run $2.
const endedRunSQL = `SELECT EXISTS (SELECT FROM offstage.attempt WHERE job = $1::bigint AND run = $2::int)`

// Ended reports whether a run has ended; see [offstage.Queue].
func (s *Store) Ended(ctx context.Context, job offstage.ID, run int) (ended bool, err error) {
	err = s.send(ctx, s.work, unit{op: "look for an attempt", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(endedRunSQL), int64(job), run).QueryRow(func(row pgx.Row) error { return row.Scan(&ended) })
	}})
	if ended {
		s.knocker.ringEnded() // whose transaction it was in cannot say when it is committed
	}
	return ended, err
}

// saveProgressSQL stores progress: $2 jobs, $3 runs, $4 done, $5 total, $6 messages.
const saveProgressSQL = `INSERT INTO offstage.progress AS p (job, run, done, total, at, message)
SELECT u.job, u.run, u.done, u.total, coalesce($1::timestamptz, statement_timestamp()), u.message
FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::bigint[], $6::text[]) u (job, run, done, total, message)
ON CONFLICT (job) DO UPDATE SET run = excluded.run, done = excluded.done, total = excluded.total,
	at = excluded.at, message = excluded.message
WHERE p.run <= excluded.run`

// SaveProgress stores the latest progress of running jobs; see [offstage.Queue].
func (s *Store) SaveProgress(ctx context.Context, reports []offstage.JobProgress) error {
	latest := map[offstage.ID]offstage.JobProgress{} // a statement may change a row once
	for _, r := range reports {
		if r.Run >= latest[r.Job].Run {
			latest[r.Job] = r
		}
	}
	if len(latest) == 0 {
		return nil
	}
	rows := make([]offstage.JobProgress, 0, len(latest))
	for _, r := range latest {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b offstage.JobProgress) int { return int(a.Job - b.Job) })
	of := func(number func(*offstage.JobProgress) int64) string { return ints(rows, number) }
	return s.send(ctx, s.work, unit{op: "save progress", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(saveProgressSQL), s.now(),
			of(func(r *offstage.JobProgress) int64 { return int64(r.Job) }),
			of(func(r *offstage.JobProgress) int64 { return int64(r.Run) }),
			of(func(r *offstage.JobProgress) int64 { return r.Done }),
			of(func(r *offstage.JobProgress) int64 { return r.Total }),
			texts(rows, func(r *offstage.JobProgress) (string, bool) { return r.Message, true }))
	}})
}

// unregisterSQL forgets worker $1 if it holds no claim; else it is marked dead,
// so that others rescue its claims without waiting.
const (
	forgetWorkerSQL = `WITH b AS (
	DELETE FROM offstage.beat WHERE worker = $1::bigint
		AND NOT EXISTS (SELECT FROM offstage.claim WHERE worker = $1::bigint) RETURNING worker
)
DELETE FROM offstage.worker w USING b WHERE w.id = b.worker`
	condemnSQL = `UPDATE offstage.beat SET dead = true, asleep = false WHERE worker = $1::bigint AND NOT dead`
)

// Unregister forgets a worker; see [offstage.Registry].
func (s *Store) Unregister(ctx context.Context, worker offstage.WorkerID) error {
	err := s.send(ctx, s.work, unit{op: "unregister a worker", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(forgetWorkerSQL), int64(worker))
		b.Queue(s.sql(condemnSQL), int64(worker))
	}})
	if err == nil {
		s.open.forget(worker)
		s.sleepers.forget(worker)
	}
	return err
}
