package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open: func(tb testing.TB) offstage.Store {
			s, err := Open(tb.Context(), filepath.Join(tb.TempDir(), "x.db"), WithoutWatch())
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() {
				if err := s.Close(); err != nil {
					tb.Error(err)
				}
			})
			return s
		},
		Peer: func(tb testing.TB, store offstage.Store) offstage.Store {
			s, err := Open(tb.Context(), store.(*Store).at.path, WithoutWatch())
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() {
				if err := s.Close(); err != nil {
					tb.Error(err)
				}
			})
			return s
		},
		Begin: func(tb testing.TB, store offstage.Store) (offstage.Tx, func() error, func() error) {
			tx, err := store.(*Store).DB().BeginTx(tb.Context(), nil)
			if err != nil {
				tb.Fatal(err)
			}
			return Tx(tx), tx.Commit, tx.Rollback
		},
	})
}
