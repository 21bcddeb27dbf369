package postgres_test

import (
	"context"
	"testing"

	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/storetest"
)

func contextOf(tb testing.TB) context.Context { return context.WithoutCancel(tb.Context()) }

// TestStore runs the contract's cases on each version of PostgreSQL.
func TestStore(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, db *pgtest.Database) {
		storetest.Run(t, newHarness(db.URL, db.URL))
	})
}
