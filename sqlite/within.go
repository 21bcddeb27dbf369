package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/offstagehq/offstage"
)

// Tx wraps a transaction of the application's for a [Store] on the same file,
// as in client.In(sqlite.Tx(tx)). It may come from [Store.DB] or from any handle
// on the file that uses an SQLite driver. A transaction of a handle of your own
// should begin with the write lock (for modernc.org/sqlite: _txlock=immediate):
// one that has read before it writes fails as FaultBusy when another has
// written in between. The transaction stays the caller's to commit or roll back.
func Tx(tx *sql.Tx) offstage.Tx { return callersTx{tx} }

type callersTx struct{ tx *sql.Tx }

func (c callersTx) StoreTx() any { return c.tx }

// What the transaction's connection has open, and whether it is this database.
const (
	sqlFiles = `SELECT file FROM pragma_database_list WHERE name = 'main'`
	sqlIsOne = `SELECT 1 FROM offstage_setting WHERE name = ? AND value = ?`
)

// Within returns the store inside a transaction that was wrapped by [Tx]. What
// it does there is made with the transaction's own connection, under the lock
// that it holds, so it belongs to the goroutine that has the transaction.
func (s *Store) Within(wrapped offstage.Tx) (offstage.TxStore, error) {
	if wrapped == nil {
		return nil, offstage.ErrForeignTx
	}
	tx, ok := wrapped.StoreTx().(*sql.Tx)
	if !ok || tx == nil {
		return nil, offstage.ErrForeignTx
	}
	var file string
	if err := tx.QueryRow(sqlFiles).Scan(&file); err != nil {
		return nil, fmt.Errorf("%w: %w", offstage.ErrForeignTx, err)
	}
	if !s.isMine(tx, file) {
		return nil, fmt.Errorf("%w: it is on %q, the store on %s", offstage.ErrForeignTx, file, s.at)
	}
	return &txStore{store: s, ses: &foreign{tx: tx, stmts: map[string]*sql.Stmt{}}}, nil
}

// isMine reports whether a transaction is on the store's database. Two databases
// in memory are told apart by a mark that the store makes in its own.
func (s *Store) isMine(tx *sql.Tx, file string) bool {
	if !s.at.memory {
		if file == s.at.path {
			return true
		}
		theirs, err := os.Stat(file)
		if err != nil {
			return false
		}
		ours, err := os.Stat(s.at.path)
		return err == nil && os.SameFile(theirs, ours)
	}
	var one int
	return file == "" && tx.QueryRow(sqlIsOne, markSetting, s.mark).Scan(&one) == nil
}

// txStore is a Store inside a caller's transaction.
type txStore struct {
	store *Store
	ses   *foreign
}

// run runs a function as a part of the caller's transaction.
func (x *txStore) run(ctx context.Context, name string, do func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &tx{session: x.ses, store: x.store, now: time.Now().UnixMicro(), names: x.store.names.Load()}
	err := do(t)
	if err == nil {
		err = t.flush()
	}
	if errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return fault(name, err)
}

// Insert stores jobs with the caller's transaction.
func (x *txStore) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	var inserted []offstage.Inserted
	err := x.run(ctx, "insert jobs", func(t *tx) (err error) {
		inserted, err = t.insert(jobs)
		return err
	})
	if err != nil {
		return nil, err
	}
	return inserted, nil
}

// Complete ends an attempt with the caller's transaction.
func (x *txStore) Complete(ctx context.Context, worker offstage.WorkerID, result offstage.Result) error {
	if result.Outcome != offstage.OutcomeCompleted {
		return &offstage.InvalidError{Field: "outcome", Problem: fmt.Sprintf("a transaction can only complete a job: %s is something else", result.Outcome)}
	}
	return x.run(ctx, "complete a job", func(t *tx) error {
		fence := fence{t: t, worker: worker, claims: map[int64]*openClaim{}}
		verdict, err := fence.finish(&result)
		if err == nil && verdict.Kind != offstage.Counted {
			err = offstage.ErrLeaseLost
		}
		return err
	})
}
