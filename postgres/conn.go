package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A call that its caller does not bound ends after callTimeout; the server gives
// up a little earlier, so that its answer says why.
const callTimeout = 35 * time.Second

// settings are what every session needs. All statements are written for the
// indexes that they use, at any size: a plan made while a table was empty (a
// sequential scan, a sort) must not be kept for when it is full. Generic plans
// save planning, which would cost as much as the work.
//
// What is looked up row by row stands in a subquery with OFFSET 0, which the planner
// leaves as it is. A join or an EXISTS it may turn into a walk through all of an index,
// which costs the same while nothing is in it. For the same reason parked rows are
// looked up by kind and job: for a job alone it may take the index on both. Rows that
// are to be changed are found by their keys, or by their ctid where they are never
// updated, as those by which jobs wait: the next version of a row has another ctid.
var settings = map[string]string{
	"client_encoding":                     "UTF8",
	"default_transaction_isolation":       "read committed",
	"synchronous_commit":                  "on",
	"statement_timeout":                   "30s",
	"lock_timeout":                        "5s",
	"idle_in_transaction_session_timeout": "60s",
	"plan_cache_mode":                     "force_generic_plan",
	"enable_seqscan":                      "off",
	"enable_bitmapscan":                   "off",
	"jit":                                 "off",
}

// localSettings is one statement that makes the settings for one transaction,
// for connections on which sessions are not ours.
var localSettings = func() string {
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if name != "client_encoding" && name != "default_transaction_isolation" && name != "idle_in_transaction_session_timeout" {
			calls = append(calls, fmt.Sprintf("set_config('%s', '%s', true)", name, settings[name]))
		}
	}
	return "SELECT " + strings.Join(calls, ", ")
}()

const beginSQL = "BEGIN ISOLATION LEVEL READ COMMITTED"

// link is a pool of connections to the database.
type link struct {
	*pgxpool.Pool
	// foreign says that the sessions are not ours to configure: they are
	// PgBouncer's, or the application's.
	foreign bool
}

// unit is what is sent to the server in one round trip and is one transaction.
type unit struct {
	op string // what is being done, for errors
	// build queues the statements and what to do with their answers. It is
	// called anew for each try and must not rely on what an earlier one left.
	build func(b *pgx.Batch)
	// repeatable says that the unit may be sent again when its answer was lost.
	repeatable bool
}

// tries is how often a unit is sent that the server rolled back.
const tries = 4

// trust says which pooled connections are used without asking them first whether
// they still live. Asking is a round trip: an idle process would have two for each
// heartbeat.
type trust int

const (
	trustFresh trust = iota // those that were used within a second: for what is sent once
	trustAny                // all: what is repeatable is sent again if the connection was dead
	trustNone               // none: one was found dead, as all are after a restart of the server
)

type trustKey struct{}

// mustPing decides for a pool whether a connection is asked; see [trust].
func mustPing(ctx context.Context, idle pgxpool.ShouldPingParams) bool {
	switch ctx.Value(trustKey{}) {
	case trustAny:
		return false
	case trustNone:
		return true
	}
	return idle.IdleDuration > time.Second // as the pool would without us
}

// send carries a unit out. It tries again what was certainly not carried out and
// may succeed at once, and, once, what is repeatable or never reached the server.
func (s *Store) send(ctx context.Context, l *link, u unit) error {
	if s.closed.Load() {
		return closedError(u.op)
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	trusting := trustFresh
	if u.repeatable {
		trusting = trustAny
	}
	for try := 1; ; try++ {
		sent, err := l.try(context.WithValue(bounded, trustKey{}, trusting), u)
		if err == nil {
			return nil
		}
		if codeOf(err) == codeReadOnly {
			l.Reset()
		}
		lost := lostConn(err)
		if lost {
			trusting = trustNone
		}
		again := undone(err) && try < tries ||
			try == 1 && lost && (!sent || u.repeatable || unsent(err))
		if !again || !pause(bounded, try) {
			return fault(ctx, u.op, err, sent)
		}
	}
}

// lostConn reports whether the connection failed under a statement, as all
// pooled connections do when the server is restarted.
func lostConn(err error) bool {
	var dial *pgconn.ConnectError
	if errors.As(err, &dial) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	switch codeOf(err) {
	case "", "57P01", "57P02", "57P03", "08006", "08003", "08P01":
		return true
	}
	return false
}

// pause waits a moment before the next try; false: the context ended first.
func pause(ctx context.Context, try int) bool {
	if try <= 1 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(5*time.Millisecond) << try)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try sends a unit once. sent says whether the server may have got it.
func (l *link) try(ctx context.Context, u unit) (sent bool, err error) {
	conn, err := l.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	batch := &pgx.Batch{}
	if l.foreign {
		batch.Queue(beginSQL)
		batch.Queue(localSettings)
	}
	u.build(batch)
	if l.foreign {
		batch.Queue("COMMIT")
	}
	err = conn.SendBatch(ctx, batch).Close()
	if err != nil && conn.Conn().PgConn().TxStatus() != 'I' && !conn.Conn().IsClosed() {
		rollback(ctx, conn.Conn())
	}
	return true, err
}

// rollback ends a transaction that failed, even if its context has ended.
func rollback(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		conn.Close(ctx) // the pool replaces it
	}
}

// transact runs do in a transaction of several round trips, again if the server
// rolled it back because of others.
func (s *Store) transact(ctx context.Context, op string, do func(ctx context.Context, tx pgx.Tx) error) error {
	if s.closed.Load() {
		return closedError(op)
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for try := 1; ; try++ {
		sent, err := s.work.transactOnce(bounded, do)
		if err == nil {
			return nil
		}
		again := undone(err) && try < tries || try == 1 && lostConn(err) && !sent
		if !again || !pause(bounded, try) {
			return fault(ctx, op, err, sent)
		}
	}
}

// transactOnce runs do once. sent says whether the transaction may have been
// committed although it failed.
func (l *link) transactOnce(ctx context.Context, do func(ctx context.Context, tx pgx.Tx) error) (sent bool, err error) {
	tx, err := l.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		tx.Rollback(ctx) // does nothing after a commit; if it fails, the pool drops the connection
	}()
	if l.foreign {
		if _, err := tx.Exec(ctx, localSettings); err != nil {
			return false, err
		}
	}
	if err := do(ctx, tx); err != nil {
		return false, err
	}
	err = tx.Commit(ctx)
	return err != nil, err
}
