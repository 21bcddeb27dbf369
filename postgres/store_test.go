package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/storetest"
)

func contextOf(tb testing.TB) context.Context { return context.WithoutCancel(tb.Context()) }

// TestStore runs the contract's cases on each version of PostgreSQL.
func TestStore(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, db *pgtest.Database) {
		storetest.Run(t, newHarness(db.URL, db.URL))
	})
}

// TestStoreThroughPgBouncer runs them through PgBouncer in transaction mode, on
// the newest version: a pooler does not care. The caller's transactions are those
// of database/sql.
func TestStoreThroughPgBouncer(t *testing.T) {
	db := pgtest.Open(t)
	bouncer := pgtest.StartBouncer(t, db.Cluster, pgserver.BouncerOptions{})
	storetest.Run(t, newHarness(bouncer.URL(db.Name), db.URL))
}

// FuzzStore gives it any texts, on the newest version.
func FuzzStore(f *testing.F) {
	url := pgtest.Open(f).URL
	storetest.Fuzz(f, newHarness(url, url))
}

// BenchmarkStore measures the usual calls, by the server's own clock.
func BenchmarkStore(b *testing.B) {
	url := pgtest.Open(b).URL
	h := newHarness(url, url)
	h.Open = func(tb testing.TB) offstage.Store {
		schema := fmt.Sprintf("bench %d", schemas.Add(1))
		store, err := postgres.Open(tb.Context(), url, postgres.WithSchema(schema))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			store.Close()
			drop(tb, url, schema)
		})
		return store
	}
	storetest.Bench(b, h)
}
