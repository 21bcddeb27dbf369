package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// handle opens a handle of the application's own on a file.
func handle(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// enqueue inserts a job and a row of the application's in one transaction.
func enqueue(tb testing.TB, store *sqlite.Store, db *sql.DB) (offstage.ID, *sql.Tx) {
	tb.Helper()
	tx, err := db.Begin()
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := tx.Exec(`INSERT INTO orders VALUES ('a book')`); err != nil {
		tb.Fatal(err)
	}
	within, err := store.Within(sqlite.Tx(tx))
	if err != nil {
		tb.Fatal(err)
	}
	job := echo()
	job.Kind, job.Queue = "new_kind", "new_queue"
	inserted, err := within.Insert(tb.Context(), []offstage.NewJob{job})
	if err != nil {
		tb.Fatal(err)
	}
	return inserted[0].ID, tx
}

// A job exists if and only if the application's transaction is committed, also
// when it comes from a handle of the application's own.
func TestTransactionsOfAnyHandle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	store := open(t, path)
	news := watch(t, store)
	if _, err := store.DB().Exec(`CREATE TABLE orders (what TEXT)`); err != nil {
		t.Fatal(err)
	}
	for name, db := range map[string]*sql.DB{"DB": store.DB(), "own": handle(t, path)} {
		id, tx := enqueue(t, store, db)
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Get(t.Context(), id); !errors.Is(err, offstage.ErrNotFound) {
			t.Errorf("%s: a job of a transaction that was rolled back: %v", name, err)
		}
		id, tx = enqueue(t, store, db)
		if _, err := store.Get(t.Context(), id); !errors.Is(err, offstage.ErrNotFound) {
			t.Errorf("%s: a job before its commit: %v", name, err)
		}
		for len(news) > 0 {
			<-news
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), id); err != nil || got.Kind != "new_kind" || got.Queue != "new_queue" {
			t.Errorf("%s: a job after its commit: %+v, %v", name, got, err)
		}
		<-news
		insert(t, store, 1)
	}
	var orders int
	if err := store.DB().QueryRow(`SELECT count(*) FROM orders`).Scan(&orders); err != nil || orders != 2 {
		t.Errorf("%d orders, %v; want 2", orders, err)
	}
}

type strangeTx struct{ any }

func (s strangeTx) StoreTx() any { return s.any }

func TestForeignTransactions(t *testing.T) {
	dir := t.TempDir()
	file, memory := open(t, filepath.Join(dir, "jobs.db")), open(t, ":memory:")
	others := []*sql.DB{open(t, filepath.Join(dir, "other.db")).DB(), open(t, ":memory:").DB(), handle(t, filepath.Join(dir, "foreign.db"))}
	for i, db := range others {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		for _, store := range []*sqlite.Store{file, memory} {
			if _, err := store.Within(sqlite.Tx(tx)); !errors.Is(err, offstage.ErrForeignTx) {
				t.Errorf("a transaction of another database (%d): %v, want ErrForeignTx", i, err)
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	for _, tx := range []offstage.Tx{nil, strangeTx{nil}, strangeTx{7}, sqlite.Tx(nil)} {
		if _, err := file.Within(tx); !errors.Is(err, offstage.ErrForeignTx) {
			t.Errorf("a strange transaction: %v, want ErrForeignTx", err)
		}
	}
}

// A transaction that has read before it writes cannot write any more when
// another has written in between: that is said, and worth a new try.
func TestDeferredTransactionThatIsTooLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	store := open(t, path)
	db := handle(t, path)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true}) // a plain BEGIN to this driver
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	within, err := store.Within(sqlite.Tx(tx))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM offstage_job`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	insert(t, store, 1)
	if _, err := within.Insert(t.Context(), []offstage.NewJob{echo()}); offstage.ClassOf(err) != offstage.FaultBusy {
		t.Errorf("got %v, want a FaultBusy", err)
	}
}

// A transaction by statements works too, and the store's writes wait for it.
func TestTransactionByHand(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "jobs.db"))
	conn, err := store.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	do := func(query string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	do(`CREATE TABLE orders (what TEXT)`)
	do("\n begin immediate;")
	inserted := make(chan error, 1)
	go func() {
		_, err := store.Insert(context.Background(), []offstage.NewJob{echo()})
		inserted <- err
	}()
	do(`INSERT INTO orders VALUES ('a book')`)
	do(`SAVEPOINT a`)
	do(`ROLLBACK TO a`)
	do(`INSERT INTO orders VALUES ('another')`)
	do(`COMMIT`)
	if err := <-inserted; err != nil {
		t.Errorf("insert: %v", err)
	}
	do(`INSERT INTO orders VALUES ('a third')`)
}

// While a writer holds the database, calls that write wait for it; one whose
// context ends meanwhile was not carried out.
func TestWriteGivesUpWithItsContext(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "jobs.db"))
	tx, err := store.DB().Begin()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := store.Insert(ctx, []offstage.NewJob{echo()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	insert(t, store, 1)
	if n := count(t, store, offstage.Filter{}); n != 1 {
		t.Errorf("%d jobs, want only the second", n)
	}
}
