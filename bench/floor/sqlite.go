package floor

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	sqlite "modernc.org/sqlite"

	"github.com/offstagehq/offstage/bench/agent"
)

const sqliteSchema = `
CREATE TABLE IF NOT EXISTS job (
	id INTEGER PRIMARY KEY,
	kind INTEGER NOT NULL,
	queue INTEGER NOT NULL,
	priority INTEGER NOT NULL,
	args TEXT NOT NULL,
	max_attempts INTEGER NOT NULL,
	timeout INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	run_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ready (
	queue INTEGER NOT NULL,
	priority INTEGER NOT NULL,
	band INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	job INTEGER NOT NULL,
	run INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	lost INTEGER NOT NULL,
	since INTEGER NOT NULL,
	PRIMARY KEY (queue, priority, band, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claim (
	worker INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	at INTEGER NOT NULL,
	held BLOB NOT NULL,
	PRIMARY KEY (worker, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
	job INTEGER NOT NULL,
	run INTEGER NOT NULL,
	outcome INTEGER NOT NULL,
	next INTEGER NOT NULL,
	worker INTEGER NOT NULL,
	claim INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	lost INTEGER NOT NULL,
	finished_at INTEGER NOT NULL,
	ran INTEGER,
	PRIMARY KEY (job, run)
) STRICT, WITHOUT ROWID;`

// The statements of the hot path. Each works on the primary key of its table.
const (
	sqliteJob     = `INSERT INTO job VALUES (?, 1, 1, 5, ?, 0, 0, ?, ?)`
	sqliteReady   = `INSERT INTO ready VALUES (1, 5, 1, ?, ?, 1, 0, 0, ?)`
	sqlitePick    = `SELECT r.seq, r.job, j.kind, j.args FROM ready r JOIN job j ON j.id = r.job WHERE r.queue = 1 ORDER BY r.priority, r.band, r.seq LIMIT ?`
	sqliteTake    = `DELETE FROM ready WHERE queue = 1 AND (priority, band, seq) <= (5, 1, ?)`
	sqliteClaim   = `INSERT INTO claim VALUES (1, ?, ?, ?)`
	sqliteAttempt = `INSERT INTO attempt VALUES (?, 1, 1, 6, 1, ?, 0, 0, ?, 1)`
	sqliteRelease = `DELETE FROM claim WHERE worker = 1 AND seq = ?`
	sqliteLeft    = `SELECT EXISTS (SELECT 1 FROM ready) OR EXISTS (SELECT 1 FROM claim)`
)

// SQLite is the floor in an SQLite file: one connection, used in turns, past
// database/sql, and no group commit.
type SQLite struct {
	batch int

	mu     sync.Mutex // guards what follows
	conn   driver.Conn
	stmts  map[string]driver.Stmt
	lastID int64
	seq    int64   // of the claim that is held
	held   []int64 // its jobs

	stop   context.CancelFunc
	loop   sync.WaitGroup
	failed chan error // takes the failure of the loop
}

// OpenSQLite opens the floor in a file. One process at a time may have it open.
func OpenSQLite(ctx context.Context, env agent.Env) (agent.System, error) {
	name := "file:" + (&url.URL{Path: env.URL}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=synchronous(full)" +
		"&_pragma=journal_mode(wal)&_pragma=wal_autocheckpoint(10000)&_pragma=cache_size(-32000)"
	connector, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &SQLite{conn: conn, stmts: map[string]driver.Stmt{}, batch: defaultSlots, failed: make(chan error, 1)}
	if env.Slots > 0 {
		s.batch = env.Slots
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, sqliteSchema, nil); err != nil {
		return nil, err
	}
	return s, nil
}

// Settings says how it is opened and how it fetches.
func (s *SQLite) Settings() string {
	return fmt.Sprintf("modernc.org/sqlite, WAL, synchronous=FULL, checkpoint every 10,000 pages, cache 32 MB; "+
		"%d jobs per fetch; record, release and next fetch in one transaction; no group commit", s.batch)
}

// Insert stores jobs in one transaction.
func (s *SQLite) Insert(ctx context.Context, jobs []agent.Job) error {
	if err := plain(jobs); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transact(ctx, func() error {
		now := time.Now().UnixMicro()
		for i := range jobs {
			s.lastID++
			if err := s.exec(ctx, sqliteJob, s.lastID, args(&jobs[i]), now, now); err != nil {
				return err
			}
			if err := s.exec(ctx, sqliteReady, s.lastID, s.lastID, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// Start starts the fetch loop.
func (s *SQLite) Start(ctx context.Context, tally *agent.Tally) error {
	ctx, s.stop = context.WithCancel(ctx)
	s.loop.Go(func() {
		for ctx.Err() == nil {
			n, err := s.cycle(context.WithoutCancel(ctx))
			if err != nil {
				s.failed <- err
				return
			}
			tally.Add(n)
			if n == 0 {
				time.Sleep(200 * time.Microsecond)
			}
		}
	})
	return nil
}

// Stop ends the fetch loop.
func (s *SQLite) Stop(context.Context) error {
	s.stop()
	s.loop.Wait()
	return nil
}

// Left looks for rows in ready and claim.
func (s *SQLite) Left(ctx context.Context) (bool, error) {
	select {
	case err := <-s.failed:
		return false, err
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := false
	err := s.query(ctx, sqliteLeft, func(row []driver.Value) { left = row[0].(int64) != 0 })
	return left, err
}

// Probe inserts a job and fetches it.
func (s *SQLite) Probe(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	if err := s.Insert(ctx, make([]agent.Job, 1)); err != nil {
		return 0, err
	}
	if _, err := s.cycle(ctx); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	n, err := s.cycle(ctx)
	if err == nil && n != 1 {
		err = fmt.Errorf("the fetch found %d jobs, not one", n)
	}
	return took, err
}

// Close closes the connection.
func (s *SQLite) Close() error {
	for _, stmt := range s.stmts {
		if err := stmt.Close(); err != nil {
			return err
		}
	}
	return s.conn.Close()
}

// cycle records what is held, returns how much that was, and fetches more.
func (s *SQLite) cycle(ctx context.Context) (recorded int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.transact(ctx, func() error {
		now := time.Now().UnixMicro()
		for _, job := range s.held {
			if err := s.exec(ctx, sqliteAttempt, job, s.seq, now); err != nil {
				return err
			}
		}
		if recorded = len(s.held); recorded > 0 {
			if err := s.exec(ctx, sqliteRelease, s.seq); err != nil {
				return err
			}
		}
		return s.fetch(ctx, now)
	})
	return recorded, err
}

func (s *SQLite) fetch(ctx context.Context, now int64) error {
	s.held = s.held[:0]
	var last int64
	err := s.query(ctx, sqlitePick, func(row []driver.Value) {
		last = row[0].(int64)
		s.held = append(s.held, row[1].(int64))
	}, int64(s.batch))
	if err != nil || len(s.held) == 0 {
		return err
	}
	if err := s.exec(ctx, sqliteTake, last); err != nil {
		return err
	}
	s.seq++
	held := make([]byte, 0, 4*len(s.held))
	for i, job := range s.held {
		before := int64(0)
		if i > 0 {
			before = s.held[i-1]
		}
		held = binary.AppendVarint(held, job-before)
	}
	return s.exec(ctx, sqliteClaim, s.seq, now, held)
}

func (s *SQLite) transact(ctx context.Context, do func() error) error {
	if err := s.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := do(); err != nil {
		return fmt.Errorf("%w (rollback: %v)", err, s.exec(ctx, "ROLLBACK"))
	}
	return s.exec(ctx, "COMMIT")
}

func (s *SQLite) exec(ctx context.Context, query string, args ...driver.Value) error {
	stmt, err := s.prepare(query)
	if err != nil {
		return err
	}
	_, err = stmt.(driver.StmtExecContext).ExecContext(ctx, named(args))
	return err
}

// query calls each for every row; the row is valid until it returns.
func (s *SQLite) query(ctx context.Context, query string, each func([]driver.Value), args ...driver.Value) error {
	stmt, err := s.prepare(query)
	if err != nil {
		return err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, named(args))
	if err != nil {
		return err
	}
	row := make([]driver.Value, len(rows.Columns()))
	for err = rows.Next(row); err == nil; err = rows.Next(row) {
		each(row)
	}
	closed := rows.Close()
	if err != io.EOF {
		return err
	}
	return closed
}

func (s *SQLite) prepare(query string) (driver.Stmt, error) {
	stmt, ok := s.stmts[query]
	if !ok {
		var err error
		if stmt, err = s.conn.Prepare(query); err != nil {
			return nil, err
		}
		s.stmts[query] = stmt
	}
	return stmt, nil
}

func named(args []driver.Value) []driver.NamedValue {
	named := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	return named
}
