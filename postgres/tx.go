package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// Tx makes a transaction of pgx known to the store: client.In(postgres.Tx(tx)).
// It must be of the database, and a user, that can see the store's schema.
func Tx(tx pgx.Tx) offstage.Tx { return pgxTx{tx} }

// SQLTx makes a transaction of database/sql known to the store, with pgx's
// driver or any other for PostgreSQL.
func SQLTx(tx *sql.Tx) offstage.Tx { return sqlTx{tx} }

type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) StoreTx() any { return t.tx }

type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) StoreTx() any { return t.tx }

// Within returns the store as seen from a caller's transaction, which must be
// made by [Tx] or [SQLTx]; see [offstage.Store].
func (s *Store) Within(tx offstage.Tx) (offstage.TxStore, error) {
	switch t := tx.(type) {
	case pgxTx:
		return &txStore{s, pgxSession{t.tx}}, nil
	case sqlTx:
		return &txStore{s, sqlSession{t.tx}}, nil
	}
	return nil, offstage.ErrForeignTx
}

// txStore is the store inside a caller's transaction. All that it sends goes
// over the caller's connection, except that new names of queues and kinds are
// stored apart, and at once.
type txStore struct {
	store *Store
	tx    session
}

// announceSQL notifies channel $1 of $2 when the transaction commits, if any
// worker is asleep. A transaction whose snapshot is older than this statement
// cannot know, and does so always.
const announceSQL = `SELECT pg_notify($1::text, $2::text) WHERE EXISTS (SELECT FROM offstage.beat WHERE asleep AND NOT dead)
OR current_setting('transaction_isolation') <> 'read committed'`

// Insert stores jobs in the transaction; see [offstage.TxStore].
func (t *txStore) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	const op = "insert jobs in a transaction"
	if err := t.store.usable(ctx, op); err != nil || len(jobs) == 0 {
		return nil, err
	}
	rows, err := t.store.rows(ctx, jobs, t.newIDs)
	if err != nil {
		return nil, foreign(ctx, op, err)
	}
	inserted, err := t.store.insertIn(ctx, t.tx, rows, t.announcement(newsOf(rows))...)
	if err != nil {
		return nil, foreign(ctx, op, err)
	}
	return inserted, nil
}

// announcement tells others of what the transaction brings, "" for nothing.
func (t *txStore) announcement(news string) []statement {
	if news == "" {
		return nil
	}
	return []statement{{t.store.sql(announceSQL), []any{t.store.schema, news}}}
}

// foreign is fault in a caller's transaction: without the store's tables, it is
// one of another database.
func foreign(ctx context.Context, op string, err error) error {
	switch codeOf(err) {
	case codeUndefinedTable, codeUndefinedSchema:
		return errors.Join(offstage.ErrForeignTx, err)
	}
	return fault(ctx, op, err, false)
}

// newIDs takes ids from this process's block, or over the caller's connection: a
// second one may not be free.
func (t *txStore) newIDs(ctx context.Context, n int) ([]int64, error) {
	return t.store.takeIDs(ctx, n, func(ctx context.Context, blocks int) (starts []int64, err error) {
		var start int64
		err = t.tx.each(ctx, t.store.sql(nextBlocksSQL), []any{blocks}, func() error {
			starts = append(starts, start)
			return nil
		}, &start)
		return starts, err
	})
}

// shareClaimSQL keeps claim $2 of worker $1 from being deleted until the
// transaction ends, and reports whether it names job $3, run $4. Flushes of
// other results of the claim do not wait for it.
const shareClaimSQL = `SELECT EXISTS (
	SELECT FROM unnest(c.jobs, c.runs) h (job, run) WHERE h.job = $3::bigint AND coalesce(h.run, 1) = $4::int
) FROM offstage.claim c WHERE c.worker = $1::bigint AND c.seq = $2::bigint FOR KEY SHARE OF c`

// completeSQL inserts the attempt, unless the run has ended.
const completeSQL = `INSERT INTO offstage.attempt (job, run, worker, seq, finished_at, ran, outcome, next, errors, lost, result, log)
VALUES ($2::bigint, $3::int, $4::bigint, $5::bigint, coalesce($1::timestamptz, statement_timestamp()), $6::bigint, 1, 6,
	nullif($7::int, 0), nullif($8::int, 0), $9::text, $10::text)
ON CONFLICT (job, run) DO NOTHING`

// Complete ends a running attempt as completed; see [offstage.TxStore].
func (t *txStore) Complete(ctx context.Context, worker offstage.WorkerID, r offstage.Result) error {
	const op = "complete a job in a transaction"
	if r.Outcome != offstage.OutcomeCompleted {
		return &offstage.InvalidError{Field: "outcome", Problem: "only completed can be recorded in a transaction"}
	}
	if err := t.store.usable(ctx, op); err != nil {
		return err
	}
	var named bool
	if _, err := t.tx.one(ctx, t.store.sql(shareClaimSQL), []any{int64(worker), r.Claim, int64(r.Job), r.Run}, &named); err != nil {
		return foreign(ctx, op, err)
	}
	if !named {
		return offstage.ErrLeaseLost
	}
	var ran any
	if r.Started {
		ran = r.Ran.Microseconds()
	}
	n, err := t.tx.exec(ctx, t.store.sql(completeSQL), t.store.now(), int64(r.Job), r.Run, int64(worker), r.Claim, ran,
		r.Errors, r.Lost, orNull(string(r.Value)), orNull(string(r.Log)))
	if err != nil {
		return fault(ctx, op, err, false)
	}
	if n == 0 {
		return offstage.ErrLeaseLost
	}
	return fault(ctx, op, t.afterwards(ctx, r), false)
}

// afterwards drops a pending cancel, wakes the parent and frees the unique key.
func (t *txStore) afterwards(ctx context.Context, r offstage.Result) error {
	if _, err := t.tx.exec(ctx, t.store.sql(dropCancelSQL), int64(r.Job)); err != nil {
		return err
	}
	if r.Parent != 0 {
		if woken, err := t.store.wake(ctx, t.tx, offstage.EndKey(r.Job)); err != nil {
			return err
		} else if woken > 0 {
			if err := t.tx.send(ctx, t.announcement(payloadReady)...); err != nil {
				return err
			}
		}
	}
	if r.UniqueKey == nil {
		return nil
	}
	keys := []heldKey{{r.UniqueKey, int64(r.Job)}}
	if _, err := t.tx.exec(ctx, t.store.sql(lockKeysSQL), hexKeys(keys), numbers([]int64{int64(r.Job)})); err != nil {
		return err
	}
	var follower int64
	found, err := t.tx.one(ctx, t.store.sql(freeKeysSQL), []any{t.store.now(), hexKeys(keys), numbers([]int64{int64(r.Job)})}, &follower)
	if err != nil || !found {
		return err
	}
	return t.tx.send(ctx, t.announcement(payloadReady)...)
}
