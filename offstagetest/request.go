package offstagetest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
)

// request is a request that was made.
type request struct {
	fingerprint []byte
	job         offstage.ID
	at, until   time.Time
}

// InsertFlow stores a job with its request and follower; see
// [offstage.Requester].
func (s *Store) InsertFlow(ctx context.Context, job offstage.NewJob) (offstage.Inserted, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.Inserted{}, err
	}
	defer s.mu.Unlock()
	return s.insertFlow(job, s.reserve(2), time.Now())
}

// insertFlow inserts a job and its follower under the ids after before, unless
// its request was made already.
func (s *Store) insertFlow(job offstage.NewJob, before offstage.ID, now time.Time) (offstage.Inserted, error) {
	chain := cloneJobs(job.Chain(before + 1))
	asked := job.Request
	if asked == nil {
		return s.insertAll(chain, before, now)[0], nil
	}
	if made, err := s.requested(asked, now); !errors.Is(err, offstage.ErrNotFound) {
		return made, err
	}
	inserted := s.insertAll(chain, before, now)[0]
	s.setRequest(string(asked.Key), &request{bytes.Clone(asked.Fingerprint), inserted.ID, now, now.Add(asked.Keep)})
	inserted.At = now
	return inserted, nil
}

// Requested returns the answer to a request that is kept; see
// [offstage.Requester].
func (s *Store) Requested(ctx context.Context, asked offstage.Request) (offstage.Inserted, error) {
	if err := s.lock(ctx); err != nil {
		return offstage.Inserted{}, err
	}
	defer s.mu.Unlock()
	return s.requested(&asked, time.Now())
}

func (s *Store) requested(asked *offstage.Request, now time.Time) (offstage.Inserted, error) {
	made := s.requests[string(asked.Key)]
	switch {
	case made == nil || !made.until.After(now):
		return offstage.Inserted{}, offstage.ErrNotFound
	case !bytes.Equal(made.fingerprint, asked.Fingerprint):
		return offstage.Inserted{}, offstage.ErrOtherRequest
	}
	return offstage.Inserted{ID: made.job, Existed: true, At: made.at}, nil
}

func (s *Store) setRequest(key string, made *request) {
	before := s.requests[key]
	s.requests[key] = made
	s.undoing(func() {
		if before == nil {
			delete(s.requests, key)
			return
		}
		s.requests[key] = before
	})
}

// pruneRequests forgets up to limit requests whose time is over.
func (s *Store) pruneRequests(limit int, now time.Time) (done int) {
	for key, made := range s.requests {
		if done < limit && !made.until.After(now) {
			delete(s.requests, key)
			done++
		}
	}
	return done
}

// InsertFlow stores a job with its request and follower if the transaction
// commits; see [offstage.TxStore].
func (t txStore) InsertFlow(ctx context.Context, job offstage.NewJob) (answer offstage.Inserted, err error) {
	s, now, before := t.tx.store, time.Now(), t.tx.store.reserveAlone(2)
	known := false
	err = t.tx.try(ctx, func() error {
		inserted, err := s.insertFlow(job, before, now)
		if err != nil {
			return err
		}
		if !known {
			answer, known = inserted, true
		}
		if inserted != answer {
			return &offstage.StoreError{Class: offstage.FaultBusy, Op: "commit", Err: errors.New("the request was made elsewhere meanwhile")}
		}
		return nil
	})
	return answer, err
}
