package tcpproxy_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/internal/tcpproxy"
)

// However a statement is sent, the server has done it and the client is told
// of a broken connection, not of success and not of the server's refusal.
func TestCutAfterKeepsTheAnswerOfWhatWasDone(t *testing.T) {
	ways := map[string]func(ctx context.Context, conn *pgx.Conn) error{
		"prepared": func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "insert into sent values ($1)", 1)
			return err
		},
		"prepared before": func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "early", 1)
			return err
		},
		"simple protocol": func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "insert into sent values (1)", pgx.QueryExecModeSimpleProtocol)
			return err
		},
		"transaction": func(ctx context.Context, conn *pgx.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				tag, err := tx.Exec(ctx, "insert into sent values ($1)", 1)
				if err == nil && tag.RowsAffected() != 1 {
					t.Errorf("inside the transaction the answer was %s", tag)
				}
				return err
			})
		},
		"batch": func(ctx context.Context, conn *pgx.Conn) error {
			var batch pgx.Batch
			batch.Queue("select 1")
			batch.Queue("insert into sent values ($1)", 1)
			batch.Queue("select 2")
			return conn.SendBatch(ctx, &batch).Close()
		},
		"copy": func(ctx context.Context, conn *pgx.Conn) error {
			rows := pgx.CopyFromRows([][]any{{1}})
			_, err := conn.CopyFrom(ctx, pgx.Identifier{"sent"}, []string{"n"}, rows)
			return err
		},
	}
	pgtest.Each(t, func(t *testing.T, db *pgtest.Database) {
		direct := connect(t, db.URL)
		mustExec(t, direct, "create table sent (n int)")
		proxy := startBefore(t, db)
		for name, send := range ways {
			t.Run(name, func(t *testing.T) {
				mustExec(t, direct, "truncate sent")
				struck := proxy.Struck()[tcpproxy.FaultCutAfter]
				conn := connect(t, through(t, proxy, db))
				if _, err := conn.Prepare(t.Context(), "early", "insert into sent values ($1)"); err != nil {
					t.Fatal(err)
				}
				proxy.CutAfter(inserting)
				defer proxy.CutAfter(nil)

				err := send(t.Context(), conn)
				var refused *pgconn.PgError
				if err == nil || errors.As(err, &refused) {
					t.Errorf("the client was told %v, want a broken connection", err)
				}
				if got := count(t, direct); got != 1 {
					t.Errorf("the table has %d rows, want the 1 that was sent", got)
				}
				wantStruck(t, proxy, tcpproxy.FaultCutAfter, struck+1)
			})
		}
	})
}

// A transaction that the server did not commit leaves nothing to be unsure of:
// the client gets the answer and its connection goes on.
func TestCutAfterSparesWhatWasNotDone(t *testing.T) {
	db := pgtest.Open(t)
	direct := connect(t, db.URL)
	mustExec(t, direct, "create table sent (n int check (n > 0))")
	proxy := startBefore(t, db)
	conn := connect(t, through(t, proxy, db))
	proxy.CutAfter(inserting)

	var refused *pgconn.PgError
	if _, err := conn.Exec(t.Context(), "insert into sent values (0)"); !errors.As(err, &refused) {
		t.Errorf("a refused insert: %v, want the server's refusal", err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "insert into sent values (1)"); err != nil {
		t.Errorf("an insert that is rolled back: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Errorf("the rollback: %v", err)
	}
	if got := count(t, conn); got != 0 {
		t.Errorf("the table has %d rows, want none", got)
	}
	wantStruck(t, proxy, tcpproxy.FaultCutAfter, 0)

	if _, err := conn.Exec(t.Context(), "insert into sent values (1)"); err == nil {
		t.Error("the insert that was done got its answer: the watch was off after the ones that were spared")
	}
	wantStruck(t, proxy, tcpproxy.FaultCutAfter, 1)
}

// A client that asks for encryption first, and is told that there is none, is
// followed like any other.
func TestCutAfterFollowsARefusedEncryption(t *testing.T) {
	db := pgtest.Open(t)
	mustExec(t, connect(t, db.URL), "create table sent (n int)")
	proxy := startBefore(t, db)
	proxy.CutAfter(inserting)
	conn := connect(t, strings.Replace(through(t, proxy, db), "sslmode=disable", "sslmode=prefer", 1))
	if _, err := conn.Exec(t.Context(), "insert into sent values (1)"); err == nil {
		t.Error("the insert got its answer")
	}
	wantStruck(t, proxy, tcpproxy.FaultCutAfter, 1)
}

// inserting matches every way of putting a row into the table.
func inserting(sql string) bool {
	return strings.Contains(sql, "insert into sent") || strings.HasPrefix(sql, "copy ")
}

func startBefore(t *testing.T, db *pgtest.Database) *tcpproxy.Proxy {
	t.Helper()
	proxy, err := tcpproxy.Start(db.Cluster.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy
}

// through returns the database's URL by way of the proxy.
func through(t *testing.T, proxy *tcpproxy.Proxy, db *pgtest.Database) string {
	t.Helper()
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = proxy.Addr()
	return u.String()
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from sent").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
