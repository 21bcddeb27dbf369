package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
)

// row is one row of an answer: int64, string, []byte or nil for each column. It
// is valid until the next one is asked for; its byte slices stay.
type row []driver.Value

func (r row) num(i int) int64      { n, _ := r[i].(int64); return n }
func (r row) int(i int) int        { return int(r.num(i)) }
func (r row) yes(i int) bool       { return r.num(i) != 0 }
func (r row) null(i int) bool      { return r[i] == nil }
func (r row) text(i int) string    { s, _ := r[i].(string); return s }
func (r row) blob(i int) []byte    { b, _ := r[i].([]byte); return b }
func (r row) id(i int) offstage.ID { return offstage.ID(r.num(i)) }

// when reads a time; null is the zero time.
func (r row) when(i int) time.Time {
	if r.null(i) {
		return time.Time{}
	}
	return time.UnixMicro(r.num(i))
}

// json reads a JSON text; null is nil.
func (r row) json(i int) []byte {
	if s, ok := r[i].(string); ok {
		return []byte(s)
	}
	return nil
}

// session runs statements in a transaction: the store's own on a conn, or a
// caller's on a foreign. It is for one goroutine.
type session interface {
	// exec runs a statement and returns how many rows it changed.
	exec(query string, args ...any) (int64, error)
	// rows runs a query. Its rows may be left before their end; the query must
	// not be run again before that.
	rows(query string, args ...any) iter.Seq2[row, error]
}

// first returns the first row of an answer, nil when there is none.
func first(rows iter.Seq2[row, error]) (row, error) {
	for r, err := range rows {
		return append(row(nil), r...), err
	}
	return nil, nil
}

// conn is a connection of the store's own with its prepared statements. It goes
// past database/sql, whose bookkeeping costs more than a small statement does.
type conn struct {
	driver.Conn
	stmts  map[string]driver.Stmt
	args   []driver.NamedValue
	ran    atomic.Int64 // statements, ever
	writes int          // of them, those that changed rows
}

func newConn(c driver.Conn) *conn { return &conn{Conn: c, stmts: map[string]driver.Stmt{}} }

func (c *conn) exec(query string, args ...any) (int64, error) {
	stmt, err := c.prepare(query, args)
	if err != nil {
		return 0, err
	}
	result, err := stmt.(driver.StmtExecContext).ExecContext(context.Background(), c.args)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if n > 0 {
		c.writes++
	}
	return n, err
}

func (c *conn) rows(query string, args ...any) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		stmt, err := c.prepare(query, args)
		if err != nil {
			yield(nil, err)
			return
		}
		rows, err := stmt.(driver.StmtQueryContext).QueryContext(context.Background(), c.args)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		r := make(row, len(rows.Columns()))
		for {
			switch err := rows.Next(r); {
			case err == io.EOF:
				return
			case err != nil:
				yield(nil, err)
				return
			case !yield(r, nil):
				return
			}
		}
	}
}

// do runs a statement that begins or ends a transaction: how many rows it
// changed has no meaning.
func (c *conn) do(query string) error {
	stmt, err := c.prepare(query, nil)
	if err != nil {
		return err
	}
	_, err = stmt.(driver.StmtExecContext).ExecContext(context.Background(), nil)
	return err
}

// prepare returns the statement and leaves its arguments in c.args.
func (c *conn) prepare(query string, args []any) (driver.Stmt, error) {
	c.ran.Add(1)
	stmt, ok := c.stmts[query]
	if !ok {
		var err error
		if stmt, err = c.Prepare(query); err != nil {
			return nil, err
		}
		c.stmts[query] = stmt
	}
	c.args = c.args[:0]
	for i, arg := range args {
		value, err := valueOf(arg)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return stmt, nil
}

// Close finalizes the statements and closes the connection.
func (c *conn) Close() error {
	for _, stmt := range c.stmts {
		if err := stmt.Close(); err != nil {
			return err
		}
	}
	clear(c.stmts)
	return c.Conn.Close()
}

// valueOf converts an argument to what the driver takes. A nil slice is null.
func valueOf(arg any) (driver.Value, error) {
	switch v := arg.(type) {
	case nil, int64, string:
		return v, nil
	case int:
		return int64(v), nil
	case bool:
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case offstage.ID:
		return int64(v), nil
	case offstage.WorkerID:
		return int64(v), nil
	case offstage.State:
		return int64(v), nil
	case offstage.Outcome:
		return int64(v), nil
	case offstage.UniqueMode:
		return int64(v), nil
	case time.Duration:
		return int64(v), nil
	case time.Time:
		return v.UnixMicro(), nil
	}
	return nil, fmt.Errorf("an argument of type %T", arg)
}

// textOf is a text argument of which the empty one is null.
func textOf[T ~string | ~[]byte](s T) any {
	if len(s) == 0 {
		return nil
	}
	return string(s)
}
