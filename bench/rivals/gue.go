package rivals

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vgarvardt/gue/v5"
	"github.com/vgarvardt/gue/v5/adapter/pgxv5"

	"github.com/offstagehq/offstage/bench/agent"
)

// gueSchema is what gue's document says to create.
const gueSchema = `CREATE TABLE IF NOT EXISTS gue_jobs (
	job_id text NOT NULL PRIMARY KEY, priority smallint NOT NULL, run_at timestamptz NOT NULL, job_type text NOT NULL,
	args bytea NOT NULL, error_count integer NOT NULL DEFAULT 0, last_error text, queue text NOT NULL,
	created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_gue_jobs_selector ON gue_jobs (queue, run_at, priority)`

// gueLeft counts jobs that are due; a job that runs is still there.
const gueLeft = `SELECT EXISTS (SELECT FROM gue_jobs WHERE queue = '' AND run_at <= now())`

// gueSystem is gue. A worker holds a transaction while a job runs.
type gueSystem struct {
	pool    *pgxpool.Pool
	client  *gue.Client
	workers int
	poll    time.Duration
	order   gue.PollStrategy
	named   string // the settings
	stop    context.CancelFunc
	done    chan error
}

// OpenGue opens gue at the best settings found.
func OpenGue(ctx context.Context, env agent.Env) (agent.System, error) {
	return openGue(ctx, env, &gueSystem{
		workers: 32, poll: 10 * time.Millisecond, order: gue.RunAtPollStrategy,
		named: "32 workers, RunAtPollStrategy, poll 10 ms, EnqueueBatch for many; ended jobs are deleted",
	})
}

// OpenGueDefaults opens gue as it comes.
func OpenGueDefaults(ctx context.Context, env agent.Env) (agent.System, error) {
	return openGue(ctx, env, &gueSystem{
		workers: 10, poll: 5 * time.Second, order: gue.PriorityPollStrategy,
		named: "10 workers, PriorityPollStrategy, poll 5 s (defaults)",
	})
}

func openGue(ctx context.Context, env agent.Env, s *gueSystem) (agent.System, error) {
	if len(env.Queues) > 0 {
		return nil, fmt.Errorf("%w: each queue of gue needs workers of its own", agent.ErrUnable)
	}
	config, err := pgxpool.ParseConfig(env.URL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(s.workers) + 10
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	if _, err = s.pool.Exec(ctx, gueSchema); err == nil {
		s.client, err = gue.NewClient(pgxv5.NewConnPool(s.pool))
	}
	if err != nil {
		s.pool.Close()
	}
	return s, err
}

// Settings says what was set.
func (s *gueSystem) Settings() string {
	return version("github.com/vgarvardt/gue/v5") + ", pgx pool, " + s.named
}

// Insert inserts one job by Enqueue, several by EnqueueBatch.
func (s *gueSystem) Insert(ctx context.Context, jobs []agent.Job) error {
	batch := make([]*gue.Job, len(jobs))
	for i := range jobs {
		if jobs[i].Queue != "" || jobs[i].Key != "" {
			return fmt.Errorf("%w: gue has no unique jobs, and a queue needs workers of its own", agent.ErrUnable)
		}
		args, err := json.Marshal(payload{At: jobs[i].At, Pad: pad})
		if err != nil {
			return err
		}
		batch[i] = &gue.Job{Type: "ping", Args: args}
		if jobs[i].Delay > 0 {
			batch[i].RunAt = time.Now().Add(jobs[i].Delay)
		}
	}
	if len(batch) == 1 {
		return s.client.Enqueue(ctx, batch[0])
	}
	return s.client.EnqueueBatch(ctx, batch)
}

// Start runs a pool of workers.
func (s *gueSystem) Start(ctx context.Context, tally *agent.Tally) error {
	pool, err := gue.NewWorkerPool(s.client, gue.WorkMap{"ping": func(ctx context.Context, job *gue.Job) error {
		var args payload
		if err := json.Unmarshal(job.Args, &args); err != nil {
			return err
		}
		return tally.Handle(ctx, args.At)
	}}, s.workers, gue.WithPoolPollInterval(s.poll), gue.WithPoolPollStrategy(s.order))
	if err != nil {
		return err
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan error, 1)
	go func() { s.done <- pool.Run(ctx) }()
	return nil
}

// Stop stops the workers.
func (s *gueSystem) Stop(context.Context) error {
	s.stop()
	return <-s.done
}

// Left looks for jobs that are due or running.
func (s *gueSystem) Left(ctx context.Context) (left bool, err error) {
	err = s.pool.QueryRow(ctx, gueLeft).Scan(&left)
	return left, err
}

// Close closes the connections.
func (s *gueSystem) Close() error {
	s.pool.Close()
	return nil
}
