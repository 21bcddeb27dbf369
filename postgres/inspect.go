package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// infoSQL reads what is known of jobs $2, in one statement, so that a job is seen
// in exactly one state. $1 is the time. held lists the runs that claims name, by
// job and run, as arrays to be searched by halves: what no index helps to join
// would be read as a whole for each job, since plans are made for few of them.
const infoSQL = `WITH held AS MATERIALIZED (
	SELECT array_agg(job) AS jobs, array_agg(run) AS runs, array_agg(worker) AS workers, array_agg(at) AS ats,
		array_agg(errors) AS errors, array_agg(lost) AS losts
	FROM (
		SELECT c.worker, c.at, h.job, coalesce(h.run, 1) AS run, coalesce(h.errors, 0) AS errors, coalesce(h.lost, 0) AS lost
		FROM offstage.claim c CROSS JOIN LATERAL unnest(c.jobs, c.runs, c.errors, c.lost) h (job, run, errors, lost)
		WHERE h.job IN (SELECT unnest($2::bigint[])) ORDER BY h.job, run
	) h
)
SELECT j.id, j.kind, j.queue, j.priority, j.args, j.max_attempts, j.timeout, j.created_at, j.run_at, j.uniq_key, j.extra,
	CASE WHEN r.job IS NOT NULL THEN 2 WHEN s.retry THEN 4 WHEN s.job IS NOT NULL THEN 1 WHEN p.job IS NOT NULL THEN 5
		WHEN g.published THEN CASE WHEN g.run_at > coalesce($1::timestamptz, statement_timestamp()) THEN 1 ELSE 2 END
		WHEN a.next IN (6, 7, 8) THEN a.next ELSE 3 END,
	coalesce(r.run, s.run, p.run), coalesce(r.errors, s.errors, p.errors), coalesce(r.lost, s.lost, p.lost),
	s.run_at, coalesce(p.reason, ''),
	a.run, a.outcome, a.worker, a.finished_at, a.ran, a.errors, a.lost, coalesce(a.error, ''), a.result,
	h.worker, h.at, h.run, h.errors, h.lost,
	EXISTS (SELECT FROM offstage.cancel c WHERE c.job = j.id),
	o.run, o.done, o.total, o.message, o.at
FROM unnest($2::bigint[]) WITH ORDINALITY u (id, nr)
CROSS JOIN LATERAL (SELECT * FROM offstage.job WHERE id = u.id OFFSET 0) j
LEFT JOIN LATERAL (` + placeSQL + `) r ON true
LEFT JOIN LATERAL (SELECT * FROM offstage.scheduled WHERE job = j.id OFFSET 0) s ON true
LEFT JOIN LATERAL (SELECT * FROM offstage.parked WHERE kind = j.kind AND job = j.id OFFSET 0) p ON true
LEFT JOIN LATERAL (` + stagedSQL + `) g ON true
LEFT JOIN LATERAL (SELECT * FROM offstage.attempt WHERE job = j.id ORDER BY run DESC LIMIT 1) a ON true
LEFT JOIN LATERAL (
	SELECT workers[n] AS worker, ats[n] AS at, runs[n] AS run, errors[n] AS errors, losts[n] AS lost
	FROM (SELECT *, width_bucket(j.id, jobs) AS n FROM held OFFSET 0) f WHERE jobs[n] = j.id AND runs[n] > coalesce(a.run, 0)
) h ON true
LEFT JOIN LATERAL (SELECT * FROM offstage.progress WHERE job = j.id OFFSET 0) o ON true
WHERE g.published IS NOT FALSE
ORDER BY u.nr`

// infoRow is a row of infoSQL.
type infoRow struct {
	id, timeout                         int64
	kind, queue                         int32
	priority                            int
	args                                string
	maxAttempts                         int
	created, runAt                      time.Time
	uniqueKey                           []byte
	extra                               *string
	state                               int
	run, errors, lost                   *int // of the waiting row
	due                                 *time.Time
	waits                               string
	endRun, endOutcome, endErrs, endWas *int // of the latest ended attempt
	endWorker, endRan                   *int64
	ended                               *time.Time
	endError                            string
	result                              *string
	worker                              *int64 // of the claim
	claimed                             *time.Time
	heldRun, heldErrors, heldLost       *int
	cancelAsked                         bool
	progressRun                         *int
	done, total                         *int64
	message                             *string
	progressAt                          *time.Time
}

func (r *infoRow) targets() []any {
	return []any{
		&r.id, &r.kind, &r.queue, &r.priority, &r.args, &r.maxAttempts, &r.timeout, &r.created, &r.runAt, &r.uniqueKey, &r.extra,
		&r.state, &r.run, &r.errors, &r.lost, &r.due, &r.waits,
		&r.endRun, &r.endOutcome, &r.endWorker, &r.ended, &r.endRan, &r.endErrs, &r.endWas, &r.endError, &r.result,
		&r.worker, &r.claimed, &r.heldRun, &r.heldErrors, &r.heldLost,
		&r.cancelAsked, &r.progressRun, &r.done, &r.total, &r.message, &r.progressAt,
	}
}

// or returns what a pointer points to, zero for nil.
func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// info makes what the contract calls a JobInfo, without the names.
func (r *infoRow) info() (info offstage.JobInfo, err error) {
	info = offstage.JobInfo{
		Facts: offstage.Facts{
			ID: offstage.ID(r.id), Priority: r.priority, Args: json.RawMessage(r.args), MaxAttempts: r.maxAttempts,
			Timeout: micros(r.timeout), CreatedAt: r.created.UTC(), UniqueKey: r.uniqueKey,
		},
		State: offstage.State(r.state), RunAt: r.runAt.UTC(), Waits: r.waits,
		Run: or(r.endRun), Errors: or(r.endErrs), Lost: or(r.endWas),
		Outcome: offstage.Outcome(or(r.endOutcome)), Error: r.endError, FinishedAt: utc(r.ended),
		StartedAt: startOf(r.ended, r.endRan),
	}
	if r.result != nil {
		info.Result = json.RawMessage(*r.result)
	}
	switch {
	case info.State.Waiting():
		if r.run != nil {
			info.Run, info.Errors, info.Lost = *r.run-1, or(r.errors), or(r.lost)
		}
		if r.due != nil {
			info.RunAt = utc(r.due)
		}
	case info.State == offstage.Running:
		info.Run = max(or(r.heldRun), info.Run+1)
		info.Errors, info.Lost = or(r.heldErrors), or(r.heldLost)
		info.Worker, info.StartedAt, info.CancelAsked = offstage.WorkerID(or(r.worker)), utc(r.claimed), r.cancelAsked
	default:
		info.Worker = offstage.WorkerID(or(r.endWorker))
	}
	if r.progressRun != nil {
		info.Progress = &offstage.ProgressInfo{
			Run: *r.progressRun, Done: or(r.done), Total: or(r.total), Message: or(r.message), At: utc(r.progressAt),
		}
	}
	return info, readExtra(&info.Extra, r.extra)
}

// utc is a stored time as the contract gives it: zero for none.
func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// startOf is when an attempt began; zero if it never started.
func startOf(ended *time.Time, ran *int64) time.Time {
	if ended == nil || ran == nil {
		return time.Time{}
	}
	return ended.Add(-micros(*ran)).UTC()
}

// queueInfos queues infoSQL; the rows are added to into.
func (s *Store) queueInfos(b *pgx.Batch, ids string, into *[]infoRow) {
	b.Queue(s.sql(infoSQL), s.now(), ids).Query(func(rows pgx.Rows) error { return scanInfos(rows, into) })
}

// scanInfos reads all rows of infoSQL.
func scanInfos(rows pgx.Rows, into *[]infoRow) error {
	*into = nil
	for rows.Next() {
		var r infoRow
		if err := rows.Scan(r.targets()...); err != nil {
			return err
		}
		*into = append(*into, r)
	}
	rows.Close()
	return rows.Err()
}

// infos turns rows into infos with names.
func (s *Store) infos(ctx context.Context, rows []infoRow) ([]offstage.JobInfo, error) {
	infos := make([]offstage.JobInfo, len(rows))
	for i := range rows {
		var err error
		if infos[i], err = rows[i].info(); err != nil {
			return nil, err
		}
		if infos[i].Kind, err = s.named1(ctx, s.kindName, rows[i].kind); err != nil {
			return nil, err
		}
		if infos[i].Queue, err = s.named1(ctx, s.queueName, rows[i].queue); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// attemptsSQL reads the latest 100 attempts of job $1.
const attemptsSQL = `SELECT run, outcome, next, worker, finished_at, ran, coalesce(error, ''), coalesce(trace, ''), result, log
FROM offstage.attempt WHERE job = $1::bigint ORDER BY run DESC LIMIT 100`

// Get returns a job with its history; see [offstage.Inspector].
func (s *Store) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	var rows []infoRow
	var attempts []offstage.Attempt
	var steps []offstage.StepInfo
	err := s.send(ctx, s.work, unit{op: "read a job", repeatable: true, build: func(b *pgx.Batch) {
		s.queueInfos(b, numbers([]offstage.ID{id}), &rows)
		b.Queue(s.sql(attemptsSQL), int64(id)).Query(func(rows pgx.Rows) (err error) {
			attempts, err = scanAttempts(rows)
			return err
		})
		s.queueSteps(b, int64(id), &steps)
	}})
	if err != nil {
		return offstage.Details{}, err
	}
	if len(rows) == 0 {
		return offstage.Details{}, offstage.ErrNotFound
	}
	infos, err := s.infos(ctx, rows)
	if err != nil {
		return offstage.Details{}, err
	}
	slices.Reverse(attempts)
	return offstage.Details{JobInfo: infos[0], Attempts: attempts, Steps: steps}, nil
}

func scanAttempts(rows pgx.Rows) (attempts []offstage.Attempt, err error) {
	var a offstage.Attempt
	var outcome, next int
	var worker int64
	var ended time.Time
	var ran *int64
	var result, log *string
	_, err = pgx.ForEachRow(rows, []any{&a.Run, &outcome, &next, &worker, &ended, &ran, &a.Error, &a.Trace, &result, &log}, func() error {
		a.Outcome, a.Next, a.Worker = offstage.Outcome(outcome), offstage.State(next), offstage.WorkerID(worker)
		a.FinishedAt, a.StartedAt = ended.UTC(), startOf(&ended, ran)
		a.Result, a.Log = rawOf(result), rawOf(log)
		attempts = append(attempts, a)
		return nil
	})
	return attempts, err
}

// rawOf is stored JSON; nil for none.
func rawOf(text *string) json.RawMessage {
	if text == nil {
		return nil
	}
	return json.RawMessage(*text)
}

// endedSQL finds those of jobs $1 that have ended, or do not exist.
const endedSQL = `SELECT u.id, CASE WHEN j.id IS NULL THEN 0 ELSE a.next END, coalesce(a.error, ''), a.result
FROM unnest($1::bigint[]) WITH ORDINALITY u (id, nr)
LEFT JOIN LATERAL (SELECT id FROM offstage.job WHERE id = u.id OFFSET 0) j ON true
LEFT JOIN LATERAL (SELECT next, error, result FROM offstage.attempt WHERE job = u.id ORDER BY run DESC LIMIT 1) a ON j.id IS NOT NULL
WHERE j.id IS NULL OR a.next IN (6, 7, 8) ORDER BY u.nr`

// EndedOf returns those of the jobs that have ended or do not exist; see
// [offstage.Inspector].
func (s *Store) EndedOf(ctx context.Context, ids []offstage.ID) (ended []offstage.Ended, err error) {
	if len(ids) == 0 {
		return nil, s.usable(ctx, "look for ended jobs")
	}
	err = s.send(ctx, s.work, unit{op: "look for ended jobs", repeatable: true, build: func(b *pgx.Batch) {
		ended = nil
		b.Queue(s.sql(endedSQL), numbers(ids)).Query(func(rows pgx.Rows) error {
			var id int64
			var state int
			var text string
			var result *string
			_, err := pgx.ForEachRow(rows, []any{&id, &state, &text, &result}, func() error {
				ended = append(ended, offstage.Ended{ID: offstage.ID(id), State: offstage.State(state), Error: text, Result: rawOf(result)})
				return nil
			})
			return err
		})
	}})
	return ended, err
}

const (
	// queueStatsSQL reads each queue's figures: counted ones with their age.
	queueStatsSQL = `SELECT q.id, q.name, q.paused, coalesce(s.ready, 0), coalesce(s.scheduled, 0), coalesce(s.capped, false),
	s.oldest, s.at, coalesce($1::timestamptz, statement_timestamp())
FROM offstage.queue q LEFT JOIN offstage.queue_stat s ON s.queue = q.id ORDER BY q.name`
	// runningSQL counts what claims hold, by worker and queue.
	runningSQL = `SELECT c.worker, j.queue, count(*)
FROM offstage.claim c CROSS JOIN LATERAL unnest(c.jobs, c.runs) h (job, run)
CROSS JOIN LATERAL (SELECT queue FROM offstage.job WHERE id = h.job OFFSET 0) j
WHERE NOT EXISTS (SELECT FROM offstage.attempt a WHERE a.job = h.job AND a.run = coalesce(h.run, 1) OFFSET 0)
GROUP BY c.worker, j.queue`
	// workersSQL reads the living workers, and who leads.
	workersSQL = `SELECT w.id, w.info, w.started_at, EXISTS (
	SELECT FROM offstage.leader l WHERE l.worker = w.id AND l.until > coalesce($1::timestamptz, statement_timestamp())
) FROM offstage.worker w JOIN offstage.beat b ON b.worker = w.id WHERE NOT b.dead ORDER BY w.id`
	kindStatsSQL = `SELECT name, paused, keep_completed, keep_failed FROM offstage.kind ORDER BY name`
)

// Stats returns the figures of queues and workers; see [offstage.Inspector].
func (s *Store) Stats(ctx context.Context) (stats offstage.Stats, err error) {
	var byQueue map[int32]int
	var byWorker map[offstage.WorkerID]int
	var ids []int32
	err = s.send(ctx, s.work, unit{op: "read figures", repeatable: true, build: func(b *pgx.Batch) {
		stats, ids, byQueue, byWorker = offstage.Stats{}, nil, map[int32]int{}, map[offstage.WorkerID]int{}
		b.Queue(s.sql(queueStatsSQL), s.now()).Query(func(rows pgx.Rows) error { return scanQueues(rows, &stats, &ids) })
		b.Queue(s.sql(runningSQL)).Query(func(rows pgx.Rows) error {
			var worker int64
			var queue int32
			var n int
			_, err := pgx.ForEachRow(rows, []any{&worker, &queue, &n}, func() error {
				byQueue[queue] += n
				byWorker[offstage.WorkerID(worker)] += n
				return nil
			})
			return err
		})
		b.Queue(s.sql(workersSQL), s.now()).Query(func(rows pgx.Rows) error { return scanWorkers(rows, &stats) })
		b.Queue(s.sql(kindStatsSQL)).Query(func(rows pgx.Rows) error { return scanKinds(rows, &stats) })
	}})
	for i, id := range ids {
		stats.Queues[i].Running = byQueue[id]
	}
	for i := range stats.Workers {
		stats.Workers[i].Running = byWorker[stats.Workers[i].ID]
	}
	byName := func(a, b offstage.QueueStats) int { return cmp.Compare(a.Queue, b.Queue) }
	slices.SortFunc(stats.Queues, byName)
	return stats, err
}

func scanQueues(rows pgx.Rows, stats *offstage.Stats, ids *[]int32) error {
	var id int32
	var q offstage.QueueStats
	var oldest, at *time.Time
	var now time.Time
	_, err := pgx.ForEachRow(rows, []any{&id, &q.Queue, &q.Paused, &q.Ready, &q.Scheduled, &q.Capped, &oldest, &at, &now}, func() error {
		q.OldestReady, q.Age = 0, 0
		if at != nil {
			q.Age = max(now.Sub(*at), 0)
		}
		if oldest != nil {
			q.OldestReady = max(at.Sub(*oldest), 0)
		}
		stats.Queues, *ids = append(stats.Queues, q), append(*ids, id)
		return nil
	})
	return err
}

func scanWorkers(rows pgx.Rows, stats *offstage.Stats) error {
	var id int64
	var info string
	var started time.Time
	var leads bool
	_, err := pgx.ForEachRow(rows, []any{&id, &info, &started, &leads}, func() error {
		w := offstage.WorkerStats{ID: offstage.WorkerID(id), StartedAt: started.UTC(), Leads: leads}
		stats.Workers = append(stats.Workers, w)
		return json.Unmarshal([]byte(info), &stats.Workers[len(stats.Workers)-1].WorkerInfo)
	})
	return err
}

func scanKinds(rows pgx.Rows, stats *offstage.Stats) error {
	var k offstage.KindStats
	var completed, failed int64
	_, err := pgx.ForEachRow(rows, []any{&k.Name, &k.Paused, &completed, &failed}, func() error {
		k.Retention = offstage.Retention{Completed: time.Duration(completed), Failed: time.Duration(failed)}
		stats.Kinds = append(stats.Kinds, k)
		return nil
	})
	return err
}

const (
	addSettingSQL = `INSERT INTO offstage.setting (name, value) VALUES ($1::text, $2::bytea) ON CONFLICT (name) DO NOTHING`
	settingSQL    = `SELECT value FROM offstage.setting WHERE name = $1::text`
)

// Setting returns the bytes kept under a name, after storing value if there were
// none; see [offstage.Inspector].
func (s *Store) Setting(ctx context.Context, name string, value []byte) (stored []byte, err error) {
	if value == nil {
		value = []byte{}
	}
	err = s.send(ctx, s.work, unit{op: "keep a setting", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(addSettingSQL), name, value)
		b.Queue(s.sql(settingSQL), name).QueryRow(func(row pgx.Row) error { return row.Scan(&stored) })
	}})
	return stored, err
}
