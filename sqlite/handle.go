package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"unicode"

	modernc "modernc.org/sqlite"
)

// DB returns a handle on the same database for the application's own tables and
// for transactions that span both: see [Tx]. It belongs to the store and is
// closed with it. Its transactions begin with the write lock (BEGIN IMMEDIATE),
// unless they are read-only, and take turns with the store's own, so that
// neither starves the other; keep them short, since everybody waits for them.
//
// A database in memory has only this one connection: while a transaction is
// open, all calls on the store outside of it wait, at most 5 s.
func (s *Store) DB() *sql.DB { return s.app }

// connector opens the application's connections. The one of a database in memory
// is that database, so it is opened once.
type connector struct {
	store  *Store
	memory *appConn
}

// Connect is for database/sql.
func (k *connector) Connect(ctx context.Context) (driver.Conn, error) {
	s := k.store
	if k.memory != nil {
		return k.memory, nil
	}
	if s.at.memory {
		c, err := s.dial(ctx, forMemory)
		if err != nil {
			return nil, err
		}
		k.memory = &appConn{conn: c, store: s, site: s.site}
		return k.memory, nil
	}
	c, err := s.dial(ctx, forApplication)
	if err != nil {
		return nil, err
	}
	site, err := enterSite(s.at)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &appConn{conn: c, store: s, site: site}, nil
}

// Driver is for database/sql.
func (k *connector) Driver() driver.Driver { return &modernc.Driver{} }

// appConn is a connection of the application's. It queues with the other writers
// and has the store look for news when it has committed.
type appConn struct {
	*conn
	store *Store
	site  *site // until it is closed, which may be after the store is
	inTx  bool  // begun by BeginTx, which holds the gate, or by hand, which does not
}

var (
	_ driver.ConnBeginTx        = (*appConn)(nil)
	_ driver.ConnPrepareContext = (*appConn)(nil)
	_ driver.ExecerContext      = (*appConn)(nil)
	_ driver.QueryerContext     = (*appConn)(nil)
	_ driver.Pinger             = (*appConn)(nil)
	_ driver.SessionResetter    = (*appConn)(nil)
	_ driver.Validator          = (*appConn)(nil)
)

// BeginTx is for database/sql.
func (c *appConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly {
		return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	}
	if err := c.site.gate.lock(ctx); err != nil {
		return nil, err
	}
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, errors.Join(err, c.site.gate.unlock())
	}
	c.inTx = true
	return &appTx{inner, c}, nil
}

// ExecContext is for database/sql. A statement outside of a transaction is one
// of its own. Transactions begun by a statement do not queue at the gate, since
// where they end is not known for sure; they wait for SQLite's own lock.
func (c *appConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	run := c.Conn.(driver.ExecerContext).ExecContext
	verb, ends := controls(query)
	if c.inTx || verb {
		result, err := run(ctx, query, args)
		if verb && err == nil {
			c.inTx = !ends
			c.store.poke()
		}
		return result, err
	}
	if err := c.site.gate.lock(ctx); err != nil {
		return nil, err
	}
	result, err := run(ctx, query, args)
	if end := c.site.gate.unlock(); end != nil {
		return nil, errors.Join(err, end)
	}
	c.store.poke()
	return result, err
}

// controls reports whether a statement begins or ends a transaction.
func controls(query string) (verb, ends bool) {
	words := strings.FieldsFunc(strings.ToUpper(query[:min(len(query), 64)]), func(r rune) bool { return unicode.IsSpace(r) || r == ';' })
	if len(words) == 0 {
		return false, false
	}
	switch words[0] {
	case "BEGIN", "SAVEPOINT":
		return true, false
	case "COMMIT", "END":
		return true, true
	case "ROLLBACK":
		return true, !slices.Contains(words, "TO")
	}
	return false, false
}

// QueryContext is for database/sql.
func (c *appConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// PrepareContext is for database/sql.
func (c *appConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}

// Ping is for database/sql.
func (c *appConn) Ping(ctx context.Context) error { return c.Conn.(driver.Pinger).Ping(ctx) }

// ResetSession is for database/sql.
func (c *appConn) ResetSession(ctx context.Context) error {
	c.inTx = false
	return c.Conn.(driver.SessionResetter).ResetSession(ctx)
}

// IsValid is for database/sql.
func (c *appConn) IsValid() bool { return c.Conn.(driver.Validator).IsValid() }

// Unwrap returns the driver's own connection.
func (c *appConn) Unwrap() driver.Conn { return c.Conn }

// Close is for database/sql. The connection of a database in memory stays open,
// whatever database/sql thinks of it, until the store is closed.
func (c *appConn) Close() error {
	if c.store.at.memory && !c.store.isClosing() {
		return nil
	}
	return errors.Join(c.conn.Close(), c.site.leave())
}

// appTx is a transaction of the application's.
type appTx struct {
	driver.Tx
	conn *appConn
}

// Commit is for database/sql.
func (t *appTx) Commit() error {
	err := errors.Join(t.Tx.Commit(), t.end())
	t.conn.store.poke()
	return err
}

// Rollback is for database/sql.
func (t *appTx) Rollback() error { return errors.Join(t.Tx.Rollback(), t.end()) }

func (t *appTx) end() error {
	t.conn.inTx = false
	return t.conn.site.gate.unlock()
}
