package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/model"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/storetest"
)

func TestModel(t *testing.T) {
	model.Run(t, storetest.Harness{
		Open: func(tb testing.TB) offstage.Store {
			store, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "model.db"), sqlite.WithoutWatch())
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() {
				if err := store.Close(); err != nil {
					tb.Error(err)
				}
			})
			return store
		},
	})
}
