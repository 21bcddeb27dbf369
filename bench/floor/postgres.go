package floor

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/offstagehq/offstage/bench/agent"
)

const postgresSchema = `
CREATE TABLE IF NOT EXISTS job (
	id bigint PRIMARY KEY,
	created_at timestamptz NOT NULL,
	run_at timestamptz NOT NULL,
	timeout bigint NOT NULL,
	nonce bigint NOT NULL,
	kind int NOT NULL,
	queue int NOT NULL,
	max_attempts int NOT NULL,
	priority smallint NOT NULL,
	uniq_mode smallint NOT NULL DEFAULT 0,
	args text NOT NULL
) WITH (fillfactor = 100);
CREATE TABLE IF NOT EXISTS ready (
	queue int NOT NULL,
	priority smallint NOT NULL,
	band smallint NOT NULL DEFAULT 1,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
	job bigint NOT NULL,
	since timestamptz NOT NULL,
	run int NOT NULL,
	errors int NOT NULL DEFAULT 0,
	lost int NOT NULL DEFAULT 0,
	PRIMARY KEY (queue, priority, band, xid, job)
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
	autovacuum_vacuum_cost_delay = 0);
CREATE TABLE IF NOT EXISTS claim (
	worker bigint NOT NULL,
	seq bigint NOT NULL,
	at timestamptz NOT NULL,
	jobs bigint[] NOT NULL,
	PRIMARY KEY (worker, seq)
) WITH (fillfactor = 100, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.01,
	autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE IF NOT EXISTS attempt (
	job bigint NOT NULL,
	worker bigint NOT NULL,
	seq bigint NOT NULL,
	finished_at timestamptz NOT NULL,
	ran bigint,
	run int NOT NULL,
	outcome smallint NOT NULL,
	next smallint NOT NULL,
	PRIMARY KEY (job, run)
) WITH (fillfactor = 100);`

// insertSQL stores jobs with ids $1 and arguments $2. It reads no index.
const insertSQL = `WITH j AS (
	INSERT INTO job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args)
	SELECT u.id, t.now, t.now, 0, 1, 1, 1, 0, 5, u.args
	FROM (SELECT statement_timestamp() AS now) t, unnest($1::bigint[], $2::text[]) AS u (id, args)
	RETURNING id, created_at
)
INSERT INTO ready (queue, priority, job, since, run) SELECT 1, 5, id, created_at, 1 FROM j`

// fetchSQL takes up to $2 jobs from the hint $1 on, in the order of ready's
// primary key; $3 and $4 are the fetcher's and the claim's numbers.
const fetchSQL = `WITH picked AS MATERIALIZED (
	SELECT ctid AS tid, xid, job FROM ready
	WHERE (queue, priority, band, xid) >= (1, 5::smallint, 1::smallint, $1::xid8)
	ORDER BY queue, priority, band, xid, job LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM ready WHERE ctid = ANY (ARRAY(SELECT tid FROM picked)) RETURNING job
), lease AS (
	INSERT INTO claim SELECT $3, $4, statement_timestamp(), array_agg(job) FROM gone HAVING count(*) > 0
)
SELECT p.job, p.xid, j.kind, j.args FROM picked p JOIN job j ON j.id = p.job`

// recordSQL ends the jobs $3 of claim $2 of fetcher $1.
const recordSQL = `INSERT INTO attempt (job, worker, seq, finished_at, ran, run, outcome, next)
SELECT u.job, $1, $2, statement_timestamp(), 1, 1, 1, 6 FROM unnest($3::bigint[]) AS u (job)`

// releaseSQL deletes claim $2 of fetcher $1.
const releaseSQL = `DELETE FROM claim WHERE worker = $1 AND seq = $2`

// Postgres is the floor in PostgreSQL.
type Postgres struct {
	pool   *pgxpool.Pool
	batch  int
	lastID atomic.Int64
	hint   atomic.Uint64 // the xid at which fetches start
	stop   context.CancelFunc
	loops  sync.WaitGroup
	failed chan error // takes the first failure of a loop
}

// OpenPostgres opens the floor in a database. One process at a time may have it
// open: it gives out the ids by itself.
func OpenPostgres(ctx context.Context, env agent.Env) (agent.System, error) {
	config, err := pgxpool.ParseConfig(env.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 20
	// As Offstage's own sessions: a plan that was made while a table was empty
	// must not be kept for when it is full.
	for _, name := range []string{"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.ConnConfig.RuntimeParams[name] = "off"
	}
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p := &Postgres{pool: pool, batch: defaultSlots / fetchers, failed: make(chan error, fetchers)}
	if env.Slots > 0 {
		p.batch = max(env.Slots/fetchers, 1)
	}
	if _, err := pool.Exec(ctx, postgresSchema); err != nil {
		pool.Close()
		return nil, err
	}
	return p, nil
}

// Settings says how it fetches.
func (p *Postgres) Settings() string {
	return fmt.Sprintf("pgx pool of 20; %d fetchers × %d jobs; record, release and next fetch in one transaction and round trip",
		fetchers, p.batch)
}

// Insert stores jobs in one statement.
func (p *Postgres) Insert(ctx context.Context, jobs []agent.Job) error {
	if err := plain(jobs); err != nil {
		return err
	}
	ids, texts := make([]int64, len(jobs)), make([]string, len(jobs))
	last := p.lastID.Add(int64(len(jobs)))
	for i := range jobs {
		ids[i], texts[i] = last-int64(len(jobs)-1-i), args(&jobs[i])
	}
	_, err := p.pool.Exec(ctx, insertSQL, ids, texts)
	return err
}

// Start starts the fetch loops.
func (p *Postgres) Start(ctx context.Context, tally *agent.Tally) error {
	ctx, p.stop = context.WithCancel(ctx)
	for i := range fetchers {
		p.loops.Go(func() {
			f := &fetcher{floor: p, worker: int64(i + 1), tally: tally}
			if err := f.loop(ctx); err != nil && ctx.Err() == nil {
				p.failed <- err
			}
		})
	}
	return nil
}

// Stop ends the fetch loops.
func (p *Postgres) Stop(context.Context) error {
	p.stop()
	p.loops.Wait()
	return nil
}

// Left looks for rows in ready and claim.
func (p *Postgres) Left(ctx context.Context) (left bool, err error) {
	select {
	case err := <-p.failed:
		return false, err
	default:
	}
	err = p.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM ready) OR EXISTS (SELECT FROM claim)`).Scan(&left)
	return left, err
}

// Probe inserts a job and fetches it.
func (p *Postgres) Probe(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	if err := p.Insert(ctx, make([]agent.Job, 1)); err != nil {
		return 0, err
	}
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	f := &fetcher{floor: p, worker: 0, seq: p.lastID.Load(), tally: new(agent.Tally)}
	if err := f.cycle(ctx, conn.Conn()); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if len(f.held) != 1 {
		return 0, fmt.Errorf("the fetch found %d jobs, not one", len(f.held))
	}
	_, err = conn.Exec(ctx, releaseSQL, f.worker, f.seq)
	return took, err
}

// Close closes the connections.
func (p *Postgres) Close() error {
	p.pool.Close()
	return nil
}

// fetcher is one fetch loop.
type fetcher struct {
	floor  *Postgres
	worker int64
	seq    int64
	held   []int64 // what the latest fetch took
	tally  *agent.Tally
	seen   [8]uint64 // where the latest fetches began
	turn   int
}

// loop fetches and records until the context ends and nothing is held.
func (f *fetcher) loop(ctx context.Context) error {
	conn, err := f.floor.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for ctx.Err() == nil || len(f.held) > 0 {
		if err := f.cycle(context.WithoutCancel(ctx), conn.Conn()); err != nil {
			return err
		}
		if len(f.held) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// cycle records what is held and fetches more, in one transaction.
func (f *fetcher) cycle(ctx context.Context, conn *pgx.Conn) error {
	batch := &pgx.Batch{}
	if len(f.held) > 0 {
		batch.Queue(recordSQL, f.worker, f.seq, f.held)
		batch.Queue(releaseSQL, f.worker, f.seq)
	}
	f.seq++
	var next []int64
	var first uint64
	batch.Queue(fetchSQL, f.floor.hint.Load(), f.floor.batch, f.worker, f.seq).Query(func(rows pgx.Rows) error {
		var job int64
		var xid uint64
		var kind int32
		var text []byte
		_, err := pgx.ForEachRow(rows, []any{&job, &xid, &kind, &text}, func() error {
			next = append(next, job)
			if first == 0 || xid < first {
				first = xid
			}
			return nil
		})
		return err
	})
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	f.tally.Add(len(f.held))
	f.held = next
	f.advance(first)
	return nil
}

// advance moves the hint to where this loop's eighth-last fetch began: crude,
// and wrong for transactions that commit late.
func (f *fetcher) advance(first uint64) {
	if first == 0 {
		return
	}
	old := f.seen[f.turn]
	f.seen[f.turn] = first
	f.turn = (f.turn + 1) % len(f.seen)
	for now := f.floor.hint.Load(); now < old; now = f.floor.hint.Load() {
		if f.floor.hint.CompareAndSwap(now, old) {
			return
		}
	}
}
