// Package sqlite keeps jobs in an SQLite file, or in memory.
//
// One goroutine writes, and commits what has come together as one transaction
// (group commit): every commit is synced to disk before it is acknowledged, and
// many callers share the price of it. Readers have connections of their own and
// neither wait for the writer nor delay it.
//
// Several processes may use one file. Beside it stands a folder with the files
// that they lock: writers take turns by one, checkpoints by another, and each
// registered worker holds one for as long as its process lives. That lock is
// its sign of life; a heartbeat writes nothing. A process learns of another's
// commits by watching the write-ahead log.
//
// The application's own tables may live in the same file; all of this package's
// begin with offstage_. See [Store.DB] for transactions that span both.
package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/offstagehq/offstage"
)

// Store is an [offstage.Store] in an SQLite database. It also is an
// [offstage.Waker]. Make it with [Open].
type Store struct {
	at      location
	site    *site
	watches bool // whether Watch looks at the write-ahead log

	// The writer's side. The fields of its own belong to its goroutine.
	queue    opQueue
	out      *conn // nil in memory
	mine     writerState
	poked    atomic.Bool  // look for commits of others
	heard    atomic.Bool  // the application has committed, in memory
	changes  atomic.Int64 // how often the writer heard of commits of others
	commits  atomic.Int64 // of this store, but for renewals of the leadership
	writing  atomic.Bool  // a commit is under way
	wroteAt  atomic.Int64 // when the last one ended
	watching atomic.Int64 // watches on the log
	names    atomic.Pointer[names]
	served   chan struct{} // closed when the writer's goroutine has ended
	failed   chan struct{} // closed by fail
	failOnce sync.Once

	// Reading, and the application's own connections.
	readers chan *conn // free readers, nil for those not yet opened; nil in memory
	reader1 chan *conn // the one that is taken first, if it is free
	app     *sql.DB
	mark    []byte // what tells this database in memory from others; see isMine

	locals    locals
	looks     atomic.Int64 // see lookAfter
	flow      flow
	prune     pruneState
	still     still
	idle      atomic.Bool // the last claim of this store found nothing
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

var (
	_ offstage.Store = (*Store)(nil)
	_ offstage.Waker = (*Store)(nil)
)

// maxReaders is how many reads run at once; more of them wait.
const maxReaders = 4

// Option changes how [Open] opens a store.
type Option func(*Store)

// WithoutWatch keeps [Store.Watch] to what happens through this very store: it
// does not look at the file for commits of other processes and connections,
// which are found only when a worker looks by itself. It is for tests in virtual
// time (testing/synctest), which a watch on a file would stop.
func WithoutWatch() Option { return func(s *Store) { s.watches = false } }

// Open opens the database in a file, makes it if there is none, and brings its
// schema up to date. The folder that the file is in must exist; a new file can
// be read by its owner only. The path ":memory:" stands for a new database in
// memory, which has one connection for all and goes with the store.
//
// The file is put into WAL mode, and beside it a folder of the same name with
// "-offstage" added is made for locks: neither belongs on a network file
// system. An error wraps [offstage.ErrNewerSchema] when a newer version of this
// package has migrated the file.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	at, err := locate(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		at: at, watches: !at.memory,
		served: make(chan struct{}), failed: make(chan struct{}), closing: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(s)
	}
	s.queue.signal = make(chan struct{}, 1)
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(openError(at, err), s.disconnect())
	}
	s.flow.start(s)
	go s.serve()
	if err = s.Migrate(ctx); err == nil {
		err = s.settleIn(ctx)
	}
	if err != nil {
		return nil, errors.Join(openError(at, err), s.Close())
	}
	return s, nil
}

// markSetting is the setting that holds the mark of a database in memory.
const markSetting = "mark"

// settleIn does what comes after the schema is there.
func (s *Store) settleIn(ctx context.Context) (err error) {
	if !s.at.memory {
		return s.sweepLocks(ctx)
	}
	s.mark, err = s.Setting(ctx, markSetting, []byte(rand.Text()))
	return err
}

// connect opens what is open for as long as the store is: the writer's
// connection, a handle for the application and, for the first of all, the gate:
// a new file is put into WAL mode while no other process does the same.
func (s *Store) connect(ctx context.Context) (err error) {
	if s.site, err = enterSite(s.at); err != nil {
		return err
	}
	if s.at.memory {
		s.app = sql.OpenDB(&connector{store: s})
		s.app.SetMaxOpenConns(1)
		return nil
	}
	if err := s.site.gate.lock(ctx); err != nil {
		return err
	}
	s.out, err = s.dial(ctx, forWriting)
	if err = errors.Join(err, s.site.gate.unlock()); err != nil {
		return err
	}
	s.reader1, s.readers = make(chan *conn, 1), make(chan *conn, maxReaders-1)
	s.reader1 <- nil
	for range cap(s.readers) {
		s.readers <- nil
	}
	s.app = sql.OpenDB(&connector{store: s})
	return nil
}

// Failed returns a channel that is closed when the disk has failed to keep a
// commit (a failed fsync). From then on every write answers a StoreError of
// class FaultDown: what the system still shows may never reach the disk, so the
// process should end, and its next start recovers what was kept. Reads go on.
func (s *Store) Failed() <-chan struct{} { return s.failed }

func (s *Store) fail() { s.failOnce.Do(func() { close(s.failed) }) }

func (s *Store) hasFailed() bool {
	select {
	case <-s.failed:
		return true
	default:
		return false
	}
}

// Close writes what has been accepted, ends the store's goroutines, moves the
// write-ahead log into the file if no other process uses it, and lets go of all
// locks: workers that are still registered count as dead from now on. Calls
// that come later answer [offstage.ErrClosed]. Close may be called again.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.queue.close()
		<-s.served
		close(s.closing)
		s.flow.stop()
		s.closeErr = s.disconnect()
	})
	return s.closeErr
}

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// disconnect closes what connect opened, as far as it got.
func (s *Store) disconnect() error {
	errs := []error{s.locals.close()}
	if s.app != nil {
		errs = append(errs, s.app.Close())
	}
	for _, free := range []chan *conn{s.reader1, s.readers} {
		for range cap(free) {
			if c := <-free; c != nil {
				errs = append(errs, c.Close())
			}
		}
	}
	if s.out != nil {
		errs = append(errs, s.out.Close())
	}
	return errors.Join(append(errs, s.site.leave())...)
}

const (
	sqlBegin    = `BEGIN IMMEDIATE`
	sqlCommit   = `COMMIT`
	sqlRollback = `ROLLBACK`
	sqlLook     = `BEGIN`
)

// read runs a function on one snapshot of the database.
func (s *Store) read(ctx context.Context, name string, run func(session) error) error {
	c, giveBack, err := s.reader(ctx)
	if err != nil {
		return fault(name, err)
	}
	defer giveBack()
	if err := c.do(sqlLook); err != nil {
		return fault(name, err)
	}
	err = run(c)
	if end := c.do(sqlCommit); end != nil {
		err = errors.Join(err, end, c.do(sqlRollback))
	}
	return fault(name, err)
}

// glance is read for a single statement, which is a snapshot by itself.
func (s *Store) glance(ctx context.Context, name string, run func(session) error) error {
	c, giveBack, err := s.reader(ctx)
	if err == nil {
		defer giveBack()
		err = run(c)
	}
	return fault(name, err)
}

// reader lends a connection for reading.
func (s *Store) reader(ctx context.Context) (*conn, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.at.memory {
		return s.borrow(ctx)
	}
	if s.isClosing() {
		return nil, nil, offstage.ErrClosed
	}
	// An idle process reads by one connection, whose statements and pages are at hand.
	var c *conn
	free := s.reader1
	select {
	case c = <-s.reader1:
	default:
		select {
		case c = <-s.reader1:
		case c = <-s.readers:
			free = s.readers
		case <-s.closing:
			return nil, nil, offstage.ErrClosed
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if c == nil {
		var err error
		if c, err = s.dial(ctx, forReading); err != nil {
			free <- nil
			return nil, nil, err
		}
	}
	return c, func() { free <- c }, nil
}

// borrow lends the one connection of a database in memory, when the application
// has no transaction open on it.
func (s *Store) borrow(ctx context.Context) (*conn, func(), error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errGateBusy)
	held, err := s.app.Conn(ctx)
	if err != nil {
		defer cancel()
		if context.Cause(ctx) == errGateBusy {
			return nil, nil, errGateBusy
		}
		if s.isClosing() {
			err = offstage.ErrClosed
		}
		return nil, nil, err
	}
	giveBack := func() { cancel(); _ = held.Close() } // it goes back to the pool: nothing can fail
	var c *conn
	err = held.Raw(func(dc any) error { c = dc.(driver.Conn).(*appConn).conn; return nil })
	if err != nil {
		giveBack()
		return nil, nil, err
	}
	return c, giveBack, nil
}
