package offstagetest_test

import (
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/storetest"
)

func TestStore(t *testing.T) { storetest.Run(t, harness) }

var harness = storetest.Harness{
	Open: func(tb testing.TB) offstage.Store {
		store := offstagetest.NewStore()
		tb.Cleanup(func() {
			if err := store.Close(); err != nil {
				tb.Errorf("close: %v", err)
			}
		})
		return store
	},
	Begin: func(_ testing.TB, store offstage.Store) (offstage.Tx, func() error, func() error) {
		tx := store.(*offstagetest.Store).Begin()
		return offstagetest.Tx(tx), tx.Commit, tx.Rollback
	},
}

func BenchmarkStore(b *testing.B) { storetest.Bench(b, harness) }

func FuzzStore(f *testing.F) { storetest.Fuzz(f, harness) }
