package sqlite

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
)

// InsertFlow stores a job with its request and follower in the writer's next
// transaction.
func (s *Store) InsertFlow(ctx context.Context, job offstage.NewJob) (inserted offstage.Inserted, err error) {
	err = s.writeMany(ctx, "insert a job", 2, func(t *tx) (err error) {
		inserted, err = t.insertFlow(job)
		return err
	})
	return inserted, err
}

// InsertFlow stores a job with its request and follower with the caller's
// transaction.
func (x *txStore) InsertFlow(ctx context.Context, job offstage.NewJob) (inserted offstage.Inserted, err error) {
	err = x.run(ctx, "insert a job", func(t *tx) (err error) {
		inserted, err = t.insertFlow(job)
		return err
	})
	return inserted, err
}

// One request by the primary key.
const (
	sqlRequest    = `SELECT fingerprint, job, at, until FROM offstage_request WHERE key = ?`
	sqlAddRequest = `INSERT INTO offstage_request (key, fingerprint, job, at, until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint, job = excluded.job, at = excluded.at, until = excluded.until`
)

// insertFlow stores a job and its follower unless its request was made already.
// The writer is alone, so what it reads here stays true.
func (t *tx) insertFlow(job offstage.NewJob) (offstage.Inserted, error) {
	asked := job.Request
	if asked != nil {
		made, err := requested(t, asked, t.now)
		if !errors.Is(err, offstage.ErrNotFound) {
			return made, err
		}
	}
	if err := t.load(); err != nil {
		return offstage.Inserted{}, err
	}
	inserted, err := t.insert(job.Chain(offstage.ID(t.count.job + 1)))
	if err != nil || asked == nil {
		return oneOf(inserted), err
	}
	inserted[0].At = time.UnixMicro(t.now)
	_, err = t.exec(sqlAddRequest, asked.Key, asked.Fingerprint, inserted[0].ID, t.now, t.now+asked.Keep.Microseconds())
	return inserted[0], err
}

// Requested returns the answer to a request that is kept.
func (s *Store) Requested(ctx context.Context, asked offstage.Request) (made offstage.Inserted, err error) {
	err = s.read(ctx, "look for a request", func(ses session) error {
		made, err = requested(ses, &asked, time.Now().UnixMicro())
		return err
	})
	return made, err
}

func requested(ses session, asked *offstage.Request, now int64) (offstage.Inserted, error) {
	made, err := first(ses.rows(sqlRequest, asked.Key))
	switch {
	case err != nil:
		return offstage.Inserted{}, err
	case made == nil || made.num(3) <= now:
		return offstage.Inserted{}, offstage.ErrNotFound
	case !bytes.Equal(made.blob(0), asked.Fingerprint):
		return offstage.Inserted{}, offstage.ErrOtherRequest
	}
	return offstage.Inserted{ID: made.id(1), Existed: true, At: made.when(2)}, nil
}

// oneOf returns the first of the jobs that were inserted, if any were.
func oneOf(inserted []offstage.Inserted) offstage.Inserted {
	if len(inserted) == 0 {
		return offstage.Inserted{}
	}
	return inserted[0]
}

// Requests whose time is over, by their index.
const (
	sqlExpiredRequest  = `SELECT 1 FROM offstage_request WHERE until <= ? LIMIT 1`
	sqlExpiredRequests = `DELETE FROM offstage_request WHERE key IN (SELECT key FROM offstage_request WHERE until <= ? LIMIT ?)`
)
