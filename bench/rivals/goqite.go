package rivals

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"maragu.dev/goqite"
	"maragu.dev/goqite/jobs"

	"github.com/offstagehq/offstage/bench/agent"
)

// goqiteSchema is what goqite's document says to create.
const goqiteSchema = `CREATE TABLE IF NOT EXISTS goqite (
	id text PRIMARY KEY DEFAULT ('m_' || lower(hex(randomblob(16)))),
	created text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), updated text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
	queue text NOT NULL, body blob NOT NULL, timeout text NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
	received integer NOT NULL DEFAULT 0, priority integer NOT NULL DEFAULT 0
) STRICT;
CREATE TRIGGER IF NOT EXISTS goqite_updated_timestamp AFTER UPDATE ON goqite BEGIN
	UPDATE goqite SET updated = strftime('%Y-%m-%dT%H:%M:%fZ') WHERE id = old.id;
END;
CREATE INDEX IF NOT EXISTS goqite_queue_priority_created_idx ON goqite (queue, priority DESC, created)`

// goqiteLeft looks for messages: those that are delayed are not told apart.
const goqiteLeft = `SELECT EXISTS (SELECT 1 FROM goqite)`

// goqiteSystem is goqite with its package jobs.
type goqiteSystem struct {
	db     *sql.DB
	queue  *goqite.Queue
	runner sync.WaitGroup
	stop   context.CancelFunc
}

// OpenGoqite opens goqite at the best settings found.
func OpenGoqite(ctx context.Context, env agent.Env) (agent.System, error) {
	if len(env.Queues) > 0 {
		return nil, fmt.Errorf("%w: each queue of goqite needs a runner of its own", agent.ErrUnable)
	}
	db, err := openSQLite(env.URL, 1)
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, goqiteSchema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &goqiteSystem{db: db, queue: goqite.New(goqite.NewOpts{DB: db, Name: "jobs", Timeout: time.Minute})}, nil
}

// Settings says what was set.
func (s *goqiteSystem) Settings() string {
	return version("maragu.dev/goqite") + ", " + sqliteSettings +
		", one connection, Limit 100, PollInterval 1 ms, many in one transaction of ours; ended jobs are deleted"
}

// Insert creates jobs in one transaction.
func (s *goqiteSystem) Insert(ctx context.Context, list []agent.Job) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Queue != "" || list[i].Key != "" || list[i].Delay > 0 {
			err = fmt.Errorf("%w: goqite has no unique jobs, and a queue needs a runner of its own", agent.ErrUnable)
			break
		}
		var body []byte
		if body, err = json.Marshal(payload{At: list[i].At, Pad: pad}); err != nil {
			break
		}
		if _, err = jobs.CreateTx(ctx, tx, s.queue, "ping", goqite.Message{Body: body}); err != nil {
			break
		}
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Start starts a runner.
func (s *goqiteSystem) Start(ctx context.Context, tally *agent.Tally) error {
	runner := jobs.NewRunner(jobs.NewRunnerOpts{Queue: s.queue, Limit: 100, PollInterval: time.Millisecond, Extend: time.Minute})
	runner.Register("ping", func(ctx context.Context, body []byte) error {
		var args payload
		if err := json.Unmarshal(body, &args); err != nil {
			return err
		}
		return tally.Handle(ctx, args.At)
	})
	ctx, s.stop = context.WithCancel(ctx)
	s.runner.Go(func() { runner.Start(ctx) })
	return nil
}

// Stop stops the runner.
func (s *goqiteSystem) Stop(context.Context) error {
	s.stop()
	s.runner.Wait()
	return nil
}

// Left looks for messages.
func (s *goqiteSystem) Left(ctx context.Context) (left bool, err error) {
	err = s.db.QueryRowContext(ctx, goqiteLeft).Scan(&left)
	return left, err
}

// Close closes the file.
func (s *goqiteSystem) Close() error { return s.db.Close() }
