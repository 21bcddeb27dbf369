package rivals

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/mikestefanello/backlite"

	"github.com/offstagehq/offstage/bench/agent"
)

// backliteTask is backlite's job; it is kept for as long as Offstage's.
type backliteTask struct{ payload }

// Config is the queue's.
func (backliteTask) Config() backlite.QueueConfig {
	return backlite.QueueConfig{
		Name: "ping", MaxAttempts: 25, Timeout: time.Minute, Backoff: 15 * time.Second,
		Retention: &backlite.Retention{Duration: 24 * time.Hour, Data: &backlite.RetainData{}},
	}
}

// backliteLeft looks for tasks that are due or running.
const backliteLeft = `SELECT EXISTS (SELECT 1 FROM backlite_tasks WHERE wait_until IS NULL OR wait_until <= unixepoch() * 1000)`

// backliteSystem is backlite. Its dispatcher starts once and for all.
type backliteSystem struct {
	db      *sql.DB
	client  *backlite.Client
	workers int
	stop    context.CancelFunc
}

// OpenBacklite opens backlite at the best settings found.
func OpenBacklite(ctx context.Context, env agent.Env) (agent.System, error) {
	db, err := openSQLite(env.URL, 10)
	if err != nil {
		return nil, err
	}
	s := &backliteSystem{db: db, workers: 1000}
	client, err := s.newClient()
	if err == nil {
		s.client, err = client, client.Install()
	}
	if err != nil {
		_ = db.Close()
	}
	return s, err
}

func (s *backliteSystem) newClient() (*backlite.Client, error) {
	return backlite.NewClient(backlite.ClientConfig{
		DB: s.db, NumWorkers: s.workers, ReleaseAfter: 10 * time.Minute, CleanupInterval: time.Hour,
	})
}

// Settings says what was set.
func (s *backliteSystem) Settings() string {
	return fmt.Sprintf("%s, %s, 10 connections, %d workers, completed tasks kept 24 h", version("github.com/mikestefanello/backlite"),
		sqliteSettings, s.workers)
}

// Insert adds tasks in one transaction.
func (s *backliteSystem) Insert(ctx context.Context, jobs []agent.Job) error {
	tasks := make([]backlite.Task, len(jobs))
	var delay time.Duration
	for i := range jobs {
		if jobs[i].Queue != "" || jobs[i].Key != "" {
			return fmt.Errorf("%w: a queue of backlite is a type of its own, and it has no unique tasks", agent.ErrUnable)
		}
		tasks[i], delay = backliteTask{payload{At: jobs[i].At, Pad: pad}}, jobs[i].Delay
	}
	op := s.client.Add(tasks...).Ctx(ctx)
	if delay > 0 {
		op = op.Wait(delay)
	}
	_, err := op.Save()
	return err
}

// Start starts the dispatcher of a new client.
func (s *backliteSystem) Start(ctx context.Context, tally *agent.Tally) error {
	var err error
	if s.client, err = s.newClient(); err != nil {
		return err
	}
	s.client.Register(backlite.NewQueue(func(ctx context.Context, task backliteTask) error {
		return tally.Handle(ctx, task.At)
	}))
	ctx, s.stop = context.WithCancel(ctx)
	s.client.Start(ctx)
	return nil
}

// Stop stops the dispatcher.
func (s *backliteSystem) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.client.Stop(ctx)
	s.stop()
	return nil
}

// Left looks for tasks that are due or running.
func (s *backliteSystem) Left(ctx context.Context) (left bool, err error) {
	err = s.db.QueryRowContext(ctx, backliteLeft).Scan(&left)
	return left, err
}

// Close closes the file.
func (s *backliteSystem) Close() error { return s.db.Close() }
