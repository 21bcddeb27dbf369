package postgres

import (
	"bytes"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// InsertFlow stores a job with its request and follower; see
// [offstage.Requester]. Where the answer is lost it is sent again under the same
// ids: then it meets its own request, or its own job.
func (s *Store) InsertFlow(ctx context.Context, job offstage.NewJob) (inserted offstage.Inserted, err error) {
	if err := s.usable(ctx, "insert a job"); err != nil {
		return inserted, err
	}
	rows, err := s.flowRows(ctx, job, s.newIDs)
	if err != nil {
		return inserted, err
	}
	err = s.persist(ctx, "insert a job", func() error {
		err := s.transact(ctx, "insert a job", func(ctx context.Context, tx pgx.Tx) (err error) {
			inserted, err = s.insertFlow(ctx, pgxSession{tx}, rows, job.Request)
			return err
		})
		if codeOf(err) != codeUniqueViolation {
			return err
		}
		all, stored, failed := s.recall(ctx, rows)
		switch {
		case failed != nil:
			return failed
		case stored:
			inserted = all[0]
			return nil
		}
		return err
	})
	if err != nil {
		return offstage.Inserted{}, err
	}
	s.knocker.ringFor(rows)
	return inserted, nil
}

// InsertFlow stores a job with its request and follower in the transaction; see
// [offstage.TxStore].
func (t *txStore) InsertFlow(ctx context.Context, job offstage.NewJob) (inserted offstage.Inserted, err error) {
	const op = "insert a job in a transaction"
	if err := t.store.usable(ctx, op); err != nil {
		return inserted, err
	}
	rows, err := t.store.flowRows(ctx, job, t.newIDs)
	if err != nil {
		return inserted, foreign(ctx, op, err)
	}
	if inserted, err = t.store.insertFlow(ctx, t.tx, rows, job.Request, t.announcement(newsOf(rows))...); err != nil {
		return offstage.Inserted{}, foreign(ctx, op, err)
	}
	return inserted, nil
}

// flowRows makes rows of a job and its follower, which carries the job's id.
func (s *Store) flowRows(ctx context.Context, job offstage.NewJob, newIDs func(context.Context, int) ([]int64, error)) ([]row, error) {
	ids, err := newIDs(ctx, 2)
	if err != nil {
		return nil, err
	}
	return s.rows(ctx, job.Chain(offstage.ID(ids[0])), func(_ context.Context, n int) ([]int64, error) { return ids[:n], nil })
}

const (
	// addRequestSQL keeps the request with key $2 for $5 microseconds, unless it
	// is kept and its time is not over: then it locks the row, so that the next
	// statement sees it as it is.
	addRequestSQL = `INSERT INTO offstage.request AS q (key, fingerprint, job, at, until)
SELECT $2::bytea, $3::bytea, $4::bigint, t.now, t.now + $5::bigint * interval '1 microsecond'
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, job = excluded.job, at = excluded.at, until = excluded.until
WHERE q.until <= coalesce($1::timestamptz, statement_timestamp())
RETURNING at`
	requestSQL = `SELECT fingerprint, job, at FROM offstage.request WHERE key = $1::bytea`
	// requestedSQL reads the request with key $2 if its time is not over.
	requestedSQL = `SELECT fingerprint, job, at FROM offstage.request
WHERE key = $2::bytea AND until > coalesce($1::timestamptz, statement_timestamp())`
	// moveRequestSQL makes the request with key $1 answered by job $2.
	moveRequestSQL = `UPDATE offstage.request SET job = $2::bigint WHERE key = $1::bytea`
	// pruneRequestsSQL deletes up to $2 requests whose time is over.
	pruneRequestsSQL = `WITH gone AS (
	DELETE FROM offstage.request WHERE key = ANY (ARRAY(
		SELECT key FROM offstage.request WHERE until <= coalesce($1::timestamptz, statement_timestamp())
		ORDER BY until LIMIT $2::int FOR UPDATE SKIP LOCKED
	)) RETURNING key
)
SELECT count(*) FROM gone`
)

// insertFlow stores rows in a transaction unless the request was made already,
// and then runs the statements given.
func (s *Store) insertFlow(ctx context.Context, tx session, rows []row, asked *offstage.Request, then ...statement) (offstage.Inserted, error) {
	if asked == nil {
		inserted, err := s.insertIn(ctx, tx, rows, then...)
		if err != nil {
			return offstage.Inserted{}, err
		}
		return inserted[0], nil
	}
	var at time.Time
	fresh, err := tx.one(ctx, s.sql(addRequestSQL), []any{s.now(), asked.Key, asked.Fingerprint, rows[0].id, asked.Keep.Microseconds()}, &at)
	if err != nil {
		return offstage.Inserted{}, err
	}
	if !fresh {
		return s.madeRequest(ctx, tx, rows, asked)
	}
	inserted, err := s.insertIn(ctx, tx, rows, then...)
	if err != nil {
		return offstage.Inserted{}, err
	}
	inserted[0].At = at.UTC()
	if inserted[0].ID != offstage.ID(rows[0].id) {
		_, err = tx.exec(ctx, s.sql(moveRequestSQL), asked.Key, int64(inserted[0].ID))
	}
	return inserted[0], err
}

// madeRequest answers for a request that is there already: this one's own, if an
// earlier try was committed after all.
func (s *Store) madeRequest(ctx context.Context, tx session, rows []row, asked *offstage.Request) (offstage.Inserted, error) {
	var print []byte
	var job int64
	var at time.Time
	found, err := tx.one(ctx, s.sql(requestSQL), []any{asked.Key}, &print, &job, &at)
	switch {
	case err != nil:
		return offstage.Inserted{}, err
	case !found:
		return offstage.Inserted{}, &offstage.StoreError{Class: offstage.FaultBusy, Op: "insert a job for a request", Err: errNoHolder}
	case !bytes.Equal(print, asked.Fingerprint):
		return offstage.Inserted{}, offstage.ErrOtherRequest
	}
	return offstage.Inserted{ID: offstage.ID(job), Existed: job != rows[0].id, At: at.UTC()}, nil
}

// Requested returns the answer to a request that is kept; see
// [offstage.Requester].
func (s *Store) Requested(ctx context.Context, asked offstage.Request) (made offstage.Inserted, err error) {
	var print []byte
	var job int64
	var at time.Time
	err = s.send(ctx, s.work, unit{op: "look for a request", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(requestedSQL), s.now(), asked.Key).Query(func(rows pgx.Rows) error {
			print, job = nil, 0
			return one(rows, &print, &job, &at)
		})
	}})
	switch {
	case err != nil:
		return made, err
	case job == 0:
		return made, offstage.ErrNotFound
	case !bytes.Equal(print, asked.Fingerprint):
		return made, offstage.ErrOtherRequest
	}
	return offstage.Inserted{ID: offstage.ID(job), Existed: true, At: at.UTC()}, nil
}
