package offstage

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"time"
)

// Requester enqueues jobs that come with more than themselves: the request that
// brought them, and a job that follows them.
type Requester interface {
	// InsertFlow stores a job and, in the same transaction, the request and the
	// follower that it names. A request whose key is kept already stores nothing
	// and answers the job of the first, with Existed and the time of then;
	// ErrOtherRequest if its fingerprint is another. Of requests that come at the
	// same time, one is the first. A repeat after a lost answer is the store's
	// own business, as with [Inserter.Insert].
	InsertFlow(ctx context.Context, job NewJob) (Inserted, error)
	// Requested answers what InsertFlow would to a repeat of a request that is
	// kept, and ErrNotFound when it would be the first.
	Requested(ctx context.Context, request Request) (Inserted, error)
}

// Request is what a client of the application asked for, so that asking twice
// enqueues once. Its key is kept after the job has gone.
type Request struct {
	// Key names the request within the application: 1 to 64 bytes, such as a
	// hash of who asks, where, and the Idempotency-Key header.
	Key []byte
	// Fingerprint stands for what was asked: 1 to 64 bytes. The same key with
	// another one is refused.
	Fingerprint []byte
	// Keep is how long the key is kept; 0 means KeepRequest.
	Keep time.Duration
}

// KeepRequest is how long a request's key is kept when nothing else is said.
const KeepRequest = 24 * time.Hour

// ErrOtherRequest means that a request's key was used before for a request with
// another fingerprint. Nothing was stored.
var ErrOtherRequest = errors.New("offstage: this request's key was used before for another request")

// ForRequest enqueues the job for a request: if the request has been made
// before, nothing is enqueued, and the receipt is that of the first time.
func ForRequest(request Request) Option {
	return func(job *NewJob) error {
		switch {
		case len(request.Key) == 0 || len(request.Key) > 64:
			return invalid("request key", "%d bytes are not from 1 to 64", len(request.Key))
		case len(request.Fingerprint) == 0 || len(request.Fingerprint) > 64:
			return invalid("request fingerprint", "%d bytes are not from 1 to 64", len(request.Fingerprint))
		case request.Keep < 0 || request.Keep > MaxDelay:
			return invalid("request keep", "%s is not from 0 to 100 years", request.Keep)
		}
		if request.Keep == 0 {
			request.Keep = KeepRequest
		}
		job.Request = &request
		return nil
	}
}

// Requested returns the receipt of a request that was made before, ErrNotFound
// for one that was not, or ErrOtherRequest.
func (c *Client) Requested(ctx context.Context, request Request) (*Receipt, error) {
	made, err := c.store.Requested(ctx, request)
	if err != nil {
		return nil, err
	}
	return &Receipt{ID: made.ID, Existed: true, At: made.At, client: c}, nil
}

// Then enqueues another job together with this one, which starts when this one
// has ended, however it ended: it is blocked until then, and becomes ready in the
// transaction that records the end, so exactly once. It learns by [Followed]
// whom it follows. A job with a follower cannot be unique.
func Then(args Args, options ...Option) Option {
	return func(job *NewJob) error {
		if args == nil {
			return invalid("then", "nil")
		}
		job.then = With(args, options...)
		return nil
	}
}

// metaFollows is the metadata of a follower that names the job which it follows.
const metaFollows = "offstage.follows"

// Followed returns the job that this one was enqueued to follow, 0 for none.
func Followed(job Facts) ID {
	id, err := ParseID(job.Metadata[metaFollows])
	if err != nil {
		return 0
	}
	return id
}

// Chain returns the job and its follower, if it has one, as a store inserts them
// when it knows the job's id: they share a unique key that nobody else has, so
// that the follower waits for the job. Stores call it.
func (job NewJob) Chain(id ID) []NewJob {
	if job.Then == nil {
		return []NewJob{job}
	}
	first, then := job, *job.Then
	sum := sha256.Sum256([]byte("\x00then\x00" + id.String()))
	first.Then, first.Unique = nil, &UniqueKey{Key: sum[:16], Mode: KeepLast}
	then.Unique = first.Unique
	then.Metadata = maps.Clone(then.Metadata)
	if then.Metadata == nil {
		then.Metadata = map[string]string{}
	}
	then.Metadata[metaFollows] = id.String()
	return []NewJob{first, then}
}

// isFlow reports whether the job comes with more than itself.
func (job *NewJob) isFlow() bool { return job.Request != nil || job.Then != nil }

// checkFlow reports what is wrong with a job's follower.
func (job *NewJob) checkFlow() error {
	then := job.Then
	switch {
	case then == nil:
		return nil
	case job.Unique != nil || then.Unique != nil:
		return invalid("then", "neither a job with a follower nor the follower can be unique")
	case then.isFlow():
		return invalid("then", "a follower cannot have a follower or a request of its own; let it enqueue what comes next")
	}
	return then.Check()
}

// follow builds the follower that the options asked for.
func (c *Client) follow(ctx context.Context, job *NewJob) error {
	if job.then == nil {
		return nil
	}
	then, _, err := c.build(ctx, job.then, nil)
	if err != nil {
		return err
	}
	_, err = c.wrap(func(_ context.Context, then *NewJob) (Inserted, error) {
		job.Then = then
		return Inserted{}, nil
	})(ctx, then)
	return err
}
