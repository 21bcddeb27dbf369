// Package own drives Offstage itself, on both of its stores, through its public
// interface, as an application would.
package own

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/bench/agent"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// ping is the job that is measured.
type ping struct {
	At  int64  `json:"at"`
	Pad string `json:"pad"`
}

// Kind names the job.
func (ping) Kind() string { return "ping" }

var pad = strings.Repeat("x", 62)

// system is Offstage on one store.
type system struct {
	env      agent.Env
	settings string
	store    closer
	client   *offstage.Client
	left     func(context.Context) (bool, error)
	closing  []func() error // beside the store, first opened first

	stop context.CancelFunc
	done chan error
}

type closer interface {
	offstage.Store
	io.Closer
}

// OpenPostgres opens Offstage on a PostgreSQL database.
func OpenPostgres(ctx context.Context, env agent.Env) (agent.System, error) {
	store, err := postgres.Open(ctx, env.URL)
	if err != nil {
		return nil, err
	}
	look, err := pgx.Connect(ctx, env.URL)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	s := newSystem(env, store, "PostgreSQL store, default pool")
	s.left = func(ctx context.Context) (left bool, err error) {
		err = look.QueryRow(ctx, `SELECT EXISTS (SELECT FROM offstage.ready) OR EXISTS (SELECT FROM offstage.claim)`).Scan(&left)
		return left, err
	}
	s.closing = append(s.closing, func() error { return look.Close(context.WithoutCancel(ctx)) })
	return s, nil
}

// OpenSQLite opens Offstage on an SQLite file.
func OpenSQLite(ctx context.Context, env agent.Env) (agent.System, error) {
	store, err := sqlite.Open(ctx, env.URL)
	if err != nil {
		return nil, err
	}
	s := newSystem(env, store, "SQLite store (WAL, synchronous=FULL)")
	s.left = func(ctx context.Context) (left bool, err error) {
		err = store.DB().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM offstage_ready) OR EXISTS (SELECT 1 FROM offstage_claim)`).Scan(&left)
		return left, err
	}
	return s, nil
}

func newSystem(env agent.Env, store closer, settings string) *system {
	slots := fmt.Sprintf("%d slots", env.Slots)
	if env.Slots == 0 {
		slots = fmt.Sprintf("default slots (%d)", worker.DefaultSlots)
	}
	return &system{
		env: env, store: store, client: offstage.NewClient(store),
		settings: settings + ", " + slots + ", all else default: history kept 24 h, lease 5 s, fencing on",
	}
}

// Settings says what was set.
func (s *system) Settings() string { return s.settings }

// Insert enqueues one job by Enqueue, several by EnqueueMany.
func (s *system) Insert(ctx context.Context, jobs []agent.Job) error {
	if len(jobs) == 1 || jobs[0].Key != "" {
		for i := range jobs {
			if _, err := s.client.Enqueue(ctx, ping{jobs[i].At, pad}, options(&jobs[i])...); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := s.client.EnqueueMany(ctx, sequence(jobs))
	if err == nil && n != int64(len(jobs)) {
		err = fmt.Errorf("%d jobs were enqueued, not %d", n, len(jobs))
	}
	return err
}

func sequence(jobs []agent.Job) iter.Seq[offstage.Args] {
	return func(yield func(offstage.Args) bool) {
		for i := range jobs {
			var args offstage.Args = ping{jobs[i].At, pad}
			if o := options(&jobs[i]); o != nil {
				args = offstage.With(args, o...)
			}
			if !yield(args) {
				return
			}
		}
	}
}

func options(job *agent.Job) (options []offstage.Option) {
	if job.Queue != "" {
		options = append(options, offstage.InQueue(job.Queue))
	}
	if job.Delay > 0 {
		options = append(options, offstage.After(job.Delay))
	}
	if job.Key != "" {
		options = append(options, offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: job.Key}))
	}
	return options
}

// Start runs a worker.
func (s *system) Start(ctx context.Context, tally *agent.Tally) error {
	config := worker.Config{Logger: slog.New(slog.DiscardHandler)}
	if s.env.Slots > 0 || len(s.env.Queues) > 0 {
		config.Pools = []worker.Pool{{
			Queues: append([]string{offstage.DefaultQueue}, s.env.Queues...), Slots: s.env.Slots,
		}}
	}
	w, err := worker.New(s.store, config)
	if err != nil {
		return err
	}
	worker.Handle(w, func(ctx context.Context, job *offstage.Job[ping]) error {
		return tally.Handle(ctx, job.Args.At)
	})
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan error, 1)
	go func() { s.done <- w.Run(ctx) }()
	return nil
}

// Stop stops the worker.
func (s *system) Stop(context.Context) error {
	s.stop()
	err := <-s.done
	s.done = nil
	return err
}

// Left looks for ready jobs and for claims. A worker that ended by itself is an
// error.
func (s *system) Left(ctx context.Context) (bool, error) {
	select {
	case err := <-s.done:
		s.done <- err
		return false, fmt.Errorf("the worker ended: %w", err)
	default:
	}
	return s.left(ctx)
}

// Close closes the store.
func (s *system) Close() error {
	errs := make([]error, 0, len(s.closing)+1)
	for _, close := range s.closing {
		errs = append(errs, close())
	}
	return errors.Join(append(errs, s.store.Close())...)
}
