// Package postgres keeps jobs in PostgreSQL 15 or later, in a schema of its own.
//
// [Open] returns the store; it migrates the schema unless told otherwise. Two
// connections are enough for everything, one for work and one for heartbeats,
// beside the one that listens for news. Jobs can be enqueued and completed in
// the application's own transactions: see [Tx] and [SQLTx].
//
// # How jobs are kept
//
// Facts are appended, the queue is deleted: a job's facts (job) and its ended
// attempts (attempt) are written once; that it may be claimed is a row in ready,
// which a fetch deletes and replaces by one claim row for all that it took. A
// result counts if its claim row exists and its attempt row is the first of its
// run. Nothing on the hot path updates a row, and each process remembers how far
// the head of a queue is used up, so that rows which are dead, but cannot be
// removed yet because of somebody's old snapshot, are not walked again.
//
// # PgBouncer
//
// In transaction mode it is recognised by itself: then there are no prepared
// statements and no session settings, and LISTEN does not work, so that workers
// poll. The URL parameter pgbouncer=true or false decides without looking.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/offstagehq/offstage"
)

// DefaultSchema is the schema that holds the store's tables.
const DefaultSchema = "offstage"

// Store is an [offstage.Store] in a PostgreSQL database. It is made by Open and
// may be used by many goroutines.
type Store struct {
	schema string
	clock  func() time.Time // nil: the server's own
	work   *link            // everything but heartbeats and LISTEN
	shared bool             // work's pool is the application's
	pulse  *link            // heartbeats: one connection, so that a full work pool never looks like death
	listen *pgx.ConnConfig  // for connections that LISTEN
	nonce  int64            // of this process, in each job that it inserts

	closed   atomic.Bool
	closing  chan struct{}  // closed by Close
	fetches  atomic.Int64   // jobs that the latest claims took: the next will take about as many
	epoch    atomic.Int64   // counts connections made: what was remembered before is doubtful
	running  sync.WaitGroup // the store's goroutines
	sqlTexts sync.Map       // statement → the same for this schema

	names     names
	ids       ids
	inserts   *groups[*insertion]
	bids      *groups[*bid]
	contended contended
	notes     *groups[*note]
	noting    atomic.Int32 // notes under way, alone or in a group
	hints     hints
	open      openClaims
	knocker   knocker
	sleepers  sleepers
	promoter  promoter
	pruner    pruner
	counter   counter
}

var (
	_ offstage.Store = (*Store)(nil)
	_ offstage.Waker = (*Store)(nil)
)

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	schema  string
	migrate bool
	pool    *pgxpool.Pool
	clock   func() time.Time
}

// WithSchema keeps the tables in another schema than "offstage". Stores of
// different schemas do not see each other.
func WithSchema(name string) Option { return func(o *options) { o.schema = name } }

// WithoutMigrate leaves the schema as it is: somebody else has run "offstage
// migrate", or the script that [MigrationSQL] returns. Open says so if nobody has.
func WithoutMigrate() Option { return func(o *options) { o.migrate = false } }

// WithPool uses the application's own pool for work, so that the number of
// connections is shared; Open's url is ignored. The heartbeat and LISTEN still
// have connections of their own, made as the pool makes its. Close leaves the
// pool open.
//
// An application that holds all of the pool's connections in transactions of
// its own while it waits for a call of the store waits for ever.
func WithPool(pool *pgxpool.Pool) Option { return func(o *options) { o.pool = pool } }

// WithClock replaces the server's clock. It is for tests: all processes on one
// database must have the same clock.
func WithClock(now func() time.Time) Option { return func(o *options) { o.clock = now } }

// Open connects to the database and brings the schema up to date. The url is a
// connection URL or a libpq string, as in
// "postgres://user@host/db?pool_max_conns=8": pool_max_conns bounds the
// connections for work (default: the number of CPUs, at least 4). Failures of
// the server are StoreErrors; ErrNewerSchema means that the schema was migrated
// by a later version.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	o := options{schema: DefaultSchema, migrate: true}
	for _, opt := range opts {
		opt(&o)
	}
	if o.schema == "" || len(o.schema) > 63 || strings.ContainsRune(o.schema, 0) {
		return nil, &offstage.InvalidError{Field: "schema", Problem: fmt.Sprintf("%q is not a name of 1 to 63 bytes", o.schema)}
	}
	s := &Store{schema: o.schema, clock: o.clock, nonce: rand.Int64(), closing: make(chan struct{})}
	if err := s.connect(ctx, url, o.pool); err != nil {
		s.disconnect()
		return nil, err
	}
	s.ids.turn = make(chan struct{}, 1)
	s.ids.turn <- struct{}{}
	s.inserts, s.bids, s.notes = newGroups(s.storeGroup), newGroups(s.storeBids), newGroups(s.noteGroup)
	s.knocker.start(s)
	prepare := s.Migrate
	if !o.migrate {
		prepare = s.checkSchema
	}
	if err := prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// connect makes the pools and finds out what kind of connections they have.
func (s *Store) connect(ctx context.Context, address string, shared *pgxpool.Pool) error {
	config, foreign, known, err := parse(address, shared)
	if err != nil {
		return err
	}
	if !known {
		if foreign, err = pooled(ctx, config.ConnConfig); err != nil {
			return fault(ctx, "connect", err, false)
		}
	}
	configure(config, foreign || shared != nil, foreign)
	if config.ShouldPing == nil {
		config.ShouldPing = mustPing
	}
	config.AfterConnect = s.connected(config.AfterConnect)
	s.listen = config.ConnConfig.Copy()
	s.work, s.shared = &link{Pool: shared, foreign: true}, shared != nil
	if shared == nil {
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return fault(ctx, "connect", err, false)
		}
		s.work = &link{Pool: pool, foreign: foreign}
	}
	single := config.Copy()
	single.MaxConns, single.MinConns, single.MinIdleConns = 1, 0, 0
	pool, err := pgxpool.NewWithConfig(ctx, single)
	if err != nil {
		return fault(ctx, "connect", err, false)
	}
	s.pulse = &link{Pool: pool, foreign: foreign || shared != nil}
	if shared != nil {
		return nil
	}
	return fault(ctx, "connect", s.work.Ping(ctx), false)
}

// parse reads the URL with our own parameter pgbouncer. known says that it
// decided the question.
func parse(address string, shared *pgxpool.Pool) (config *pgxpool.Config, foreign, known bool, err error) {
	if shared != nil {
		return shared.Config(), false, false, nil
	}
	if u, e := url.Parse(address); e == nil && u.Query().Has("pgbouncer") {
		query := u.Query()
		answer := query.Get("pgbouncer")
		if answer != "true" && answer != "false" {
			return nil, false, false, &offstage.InvalidError{Field: "url", Problem: fmt.Sprintf("pgbouncer=%.20q is not true or false", answer)}
		}
		foreign, known = answer == "true", true
		query.Del("pgbouncer")
		u.RawQuery = query.Encode()
		address = u.String()
	}
	config, err = pgxpool.ParseConfig(address)
	if err != nil {
		return nil, false, false, &offstage.InvalidError{Field: "url", Problem: err.Error()}
	}
	if mode := config.ConnConfig.DefaultQueryExecMode; mode != pgx.QueryExecModeCacheStatement {
		foreign, known = true, true // the user asks for a mode that poolers need
	}
	return config, foreign, known, nil
}

// pooled reports whether a pooler stands between us and the server: then the
// process that was announced to us is not the one that answers.
func pooled(ctx context.Context, config *pgx.ConnConfig) (bool, error) {
	config = config.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var pid uint32
	var version int
	row := conn.QueryRow(ctx, "SELECT pg_backend_pid(), current_setting('server_version_num')::int")
	if err := row.Scan(&pid, &version); err != nil {
		return false, err
	}
	if version < 150000 {
		return false, fmt.Errorf("PostgreSQL %d is too old: 15 or later is needed", version/10000)
	}
	return pid != conn.PgConn().PID(), nil
}

// configure makes sessions ours, or careful where they are not.
func configure(config *pgxpool.Config, foreign, pooled bool) {
	conn := config.ConnConfig
	if pooled {
		// Unnamed statements, whose parameter types are asked for once: arrays
		// and JSON are encoded as with prepared ones.
		conn.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	if foreign {
		return
	}
	for name, value := range settings {
		if _, set := conn.RuntimeParams[name]; !set {
			conn.RuntimeParams[name] = value
		}
	}
}

// connected counts connections, so that what was remembered of an earlier
// server is forgotten.
func (s *Store) connected(then func(context.Context, *pgx.Conn) error) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		s.epoch.Add(1)
		if then != nil {
			return then(ctx, conn)
		}
		return nil
	}
}

// Close ends the store's goroutines and waits for them, then closes its
// connections. Closing again does nothing. Stop the workers first.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.inserts.stop()
	s.bids.stop()
	s.notes.stop()
	s.knocker.stop()
	close(s.closing)
	s.running.Wait()
	s.disconnect()
	return nil
}

// disconnect closes the pools that connect has made.
func (s *Store) disconnect() {
	if s.pulse != nil {
		s.pulse.Close()
	}
	if s.work != nil && !s.shared {
		s.work.Close()
	}
}

// now is the parameter that stands for the time in statements: null, so that the
// server's clock counts, except in tests.
func (s *Store) now() any {
	if s.clock == nil {
		return nil
	}
	return s.clock()
}

// sql returns a statement for this store's schema.
func (s *Store) sql(text string) string {
	if s.schema == DefaultSchema {
		return text
	}
	if cached, ok := s.sqlTexts.Load(text); ok {
		return cached.(string)
	}
	own := inSchema(text, s.schema)
	s.sqlTexts.Store(text, own)
	return own
}

// inSchema puts a schema's name where statements here say "offstage.".
func inSchema(text, schema string) string {
	return strings.ReplaceAll(text, "offstage.", pgx.Identifier{schema}.Sanitize()+".")
}

func closedError(op string) error { return fmt.Errorf("%s: %w", op, offstage.ErrClosed) }
