package rivals

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver "sqlite" of database/sql

	"github.com/offstagehq/offstage/bench/agent"
)

// riverArgs is River's job.
type riverArgs struct{ payload }

// Kind names the job.
func (riverArgs) Kind() string { return "ping" }

// riverWorker is River's handler.
type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	tally *agent.Tally
}

// Work runs one job.
func (w *riverWorker) Work(ctx context.Context, job *river.Job[riverArgs]) error {
	return w.tally.Handle(ctx, job.Args.At)
}

// riverSystem is River on a database whose transactions are Tx.
type riverSystem[Tx any] struct {
	driver   riverdriver.Driver[Tx]
	config   river.Config // the settings; without queues and workers
	slots    int
	queues   []string
	settings string
	inserter *river.Client[Tx]
	working  *river.Client[Tx]
	left     func(context.Context) (bool, error)
	close    func() error
}

// riverLeft uses the index river_job_prioritized_fetching_index.
const riverLeft = `SELECT EXISTS (SELECT 1 FROM river_job WHERE state IN ('available', 'running'))`

// OpenRiver opens River at the best settings found.
func OpenRiver(ctx context.Context, env agent.Env) (agent.System, error) {
	return openRiverPostgres(ctx, env, false)
}

// OpenRiverDefaults opens River as its documentation begins: 100 workers.
func OpenRiverDefaults(ctx context.Context, env agent.Env) (agent.System, error) {
	return openRiverPostgres(ctx, env, true)
}

func openRiverPostgres(ctx context.Context, env agent.Env, defaults bool) (agent.System, error) {
	config, err := pgxpool.ParseConfig(env.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := newRiver[pgx.Tx](riverpgxv5.New(pool), env, defaults)
	s.settings = version("github.com/riverqueue/river") + ", pgx pool of 20, InsertManyFast (COPY) for many, " + s.settings
	s.left = func(ctx context.Context) (left bool, err error) {
		err = pool.QueryRow(ctx, riverLeft).Scan(&left)
		return left, err
	}
	s.close = func() error { pool.Close(); return nil }
	return s.open(ctx)
}

// OpenRiverSQLite opens River on SQLite at the best settings found.
func OpenRiverSQLite(ctx context.Context, env agent.Env) (agent.System, error) {
	return openRiverSQLite(ctx, env, false)
}

// OpenRiverSQLiteDefaults opens River on SQLite with 100 workers.
func OpenRiverSQLiteDefaults(ctx context.Context, env agent.Env) (agent.System, error) {
	return openRiverSQLite(ctx, env, true)
}

func openRiverSQLite(ctx context.Context, env agent.Env, defaults bool) (agent.System, error) {
	db, err := openSQLite(env.URL, 1)
	if err != nil {
		return nil, err
	}
	s := newRiver[*sql.Tx](riversqlite.New(db), env, defaults)
	s.settings = version("github.com/riverqueue/river/riverdriver/riversqlite") + ", " + sqliteSettings + ", one connection, " + s.settings
	s.left = func(ctx context.Context) (left bool, err error) {
		err = db.QueryRowContext(ctx, riverLeft).Scan(&left)
		return left, err
	}
	s.close = db.Close
	return s.open(ctx)
}

const sqliteSettings = "modernc.org/sqlite, WAL, synchronous=FULL, busy_timeout 10 s, _txlock=immediate"

// openSQLite opens a file as the peers' documents advise, but durable.
func openSQLite(path string, conns int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	return db, nil
}

func newRiver[Tx any](driver riverdriver.Driver[Tx], env agent.Env, defaults bool) *riverSystem[Tx] {
	s := &riverSystem[Tx]{driver: driver, queues: env.Queues, slots: 100}
	if defaults {
		s.settings = "MaxWorkers 100, FetchCooldown 100 ms, FetchPollInterval 1 s (defaults)"
	} else {
		s.slots = 1000
		if env.Slots > 0 {
			s.slots = env.Slots
		}
		s.config.FetchCooldown, s.config.FetchPollInterval = time.Millisecond, 10*time.Millisecond
		s.settings = fmt.Sprintf("MaxWorkers %d, FetchCooldown 1 ms (worker and inserter), FetchPollInterval 10 ms", s.slots)
	}
	s.settings += ", completed jobs kept 24 h"
	s.config.Logger = quiet()
	return s
}

func (s *riverSystem[Tx]) open(ctx context.Context) (agent.System, error) {
	migrator, err := rivermigrate.New(s.driver, &rivermigrate.Config{Logger: quiet()})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err == nil {
		config := s.config
		s.inserter, err = river.NewClient(s.driver, &config)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// Settings says what was set.
func (s *riverSystem[Tx]) Settings() string { return s.settings }

// Insert inserts one job by Insert, several by InsertManyFast.
func (s *riverSystem[Tx]) Insert(ctx context.Context, jobs []agent.Job) error {
	if len(jobs) == 1 {
		args, opts := riverJob(&jobs[0])
		_, err := s.inserter.Insert(ctx, args, opts)
		return err
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i := range jobs {
		params[i].Args, params[i].InsertOpts = riverJob(&jobs[i])
	}
	_, err := s.inserter.InsertManyFast(ctx, params)
	return err
}

func riverJob(job *agent.Job) (riverArgs, *river.InsertOpts) {
	args := riverArgs{payload{At: job.At, Pad: pad, Key: job.Key}}
	if job.Queue == "" && job.Delay == 0 && job.Key == "" {
		return args, nil
	}
	opts := &river.InsertOpts{Queue: job.Queue}
	if job.Delay > 0 {
		opts.ScheduledAt = time.Now().Add(job.Delay)
	}
	opts.UniqueOpts.ByArgs = job.Key != ""
	return args, opts
}

// Start starts a client that works.
func (s *riverSystem[Tx]) Start(ctx context.Context, tally *agent.Tally) error {
	config := s.config
	config.Workers = river.NewWorkers()
	river.AddWorker(config.Workers, &riverWorker{tally: tally})
	config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: s.slots}}
	for _, queue := range s.queues {
		config.Queues[queue] = river.QueueConfig{MaxWorkers: max(s.slots/10, 1)}
	}
	var err error
	if s.working, err = river.NewClient(s.driver, &config); err != nil {
		return err
	}
	return s.working.Start(ctx)
}

// Stop stops that client.
func (s *riverSystem[Tx]) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.working.StopAndCancel(ctx)
}

// Left looks for jobs that are available or running.
func (s *riverSystem[Tx]) Left(ctx context.Context) (bool, error) { return s.left(ctx) }

// Close closes the database.
func (s *riverSystem[Tx]) Close() error { return s.close() }
