package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/storetest"
	"go.uber.org/goleak"
)

// TestMain checks for left goroutines, and is the main function of the child
// processes that the tests start.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(childMain(role))
	}
	goleak.VerifyTestMain(m)
}

// open opens a store that is closed at the end of the test.
func open(tb testing.TB, path string, opts ...sqlite.Option) *sqlite.Store {
	tb.Helper()
	store, err := sqlite.Open(tb.Context(), path, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return store
}

// begin starts a transaction on the store's own handle.
func begin(tb testing.TB, store offstage.Store) (offstage.Tx, func() error, func() error) {
	tb.Helper()
	tx, err := store.(*sqlite.Store).DB().Begin()
	if err != nil {
		tb.Fatal(err)
	}
	return sqlite.Tx(tx), tx.Commit, tx.Rollback
}

// harness opens each store on a file of its own, and peers on the same file.
// Cases run in virtual time, which a watch on a file would stop.
func harness() storetest.Harness {
	paths := map[offstage.Store]string{}
	openAt := func(tb testing.TB, path string) offstage.Store {
		store := open(tb, path, sqlite.WithoutWatch())
		paths[store] = path
		return store
	}
	return storetest.Harness{
		Open:  func(tb testing.TB) offstage.Store { return openAt(tb, filepath.Join(tb.TempDir(), "jobs.db")) },
		Peer:  func(tb testing.TB, store offstage.Store) offstage.Store { return openAt(tb, paths[store]) },
		Begin: begin,
	}
}

func TestStore(t *testing.T) { storetest.Run(t, harness()) }

// A database in memory has one connection, so there are no peers, and while a
// transaction of the application is open everybody waits.
func TestStoreInMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open:      func(tb testing.TB) offstage.Store { return open(tb, ":memory:") },
		Begin:     begin,
		Exclusive: true,
	})
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, harness())
}

func FuzzStore(f *testing.F) { storetest.Fuzz(f, harness()) }
