package offstage

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"iter"
	"time"
)

// Client enqueues jobs, looks at them and operates on them. It is safe for
// concurrent use and needs no closing; closing the store is the business of
// whoever opened it.
type Client struct {
	store      Store
	carriers   []Carrier
	middleware []EnqueueMiddleware
	waiting    waiters
	following  followers
}

// ClientOption configures a Client.
type ClientOption func(*Client)

// EnqueueFunc enqueues one checked job. In EnqueueMany the jobs' ids are not
// known yet, and it answers a zero Inserted.
type EnqueueFunc func(ctx context.Context, job *NewJob) (Inserted, error)

// EnqueueMiddleware wraps the enqueue of each job: it may change the job, refuse
// it with an error, and see what became of it.
type EnqueueMiddleware func(next EnqueueFunc) EnqueueFunc

// WithCarriers adds carriers, which move values from the enqueuer's context
// into the job. Give the worker the same ones.
func WithCarriers(carriers ...Carrier) ClientOption {
	return func(c *Client) { c.carriers = append(c.carriers, carriers...) }
}

// WithEnqueueMiddleware adds middleware around each enqueue; the first is
// outermost.
func WithEnqueueMiddleware(middleware ...EnqueueMiddleware) ClientOption {
	return func(c *Client) { c.middleware = append(c.middleware, middleware...) }
}

// NewClient returns a client of the store.
func NewClient(store Store, options ...ClientOption) *Client {
	c := &Client{store: store}
	for _, option := range options {
		option(c)
	}
	return c
}

// Enqueue stores a job and returns its receipt. When it returns without an
// error, the job is durable. After an error that is not an [InvalidError] the
// job may exist if the store's answer was lost; a unique job makes a repeat safe.
func (c *Client) Enqueue(ctx context.Context, args Args, options ...Option) (*Receipt, error) {
	return c.enqueue(ctx, c.store, args, options)
}

// EnqueueMany stores all jobs of a sequence or none of them, in bounded memory
// and without holding locks while the sequence runs, and returns their number.
// The options count for each job; [With] adds options to a single one. Unique
// jobs are refused here.
func (c *Client) EnqueueMany(ctx context.Context, jobs iter.Seq[Args], options ...Option) (int64, error) {
	return c.store.InsertSeq(ctx, c.sequence(ctx, jobs, options))
}

// In returns an enqueuer whose jobs exist if and only if the caller's
// transaction commits: client.In(postgres.Tx(tx)).Enqueue(ctx, args). It lives
// no longer than the transaction and is for one goroutine.
func (c *Client) In(tx Tx) *TxClient { return &TxClient{client: c, tx: tx} }

// TxClient enqueues inside a caller's transaction. See [Client.In].
type TxClient struct {
	client *Client
	tx     Tx
}

// Enqueue is [Client.Enqueue] in the transaction. ErrForeignTx means that the
// transaction is not one of the client's store. Wait on the receipt only after
// the commit.
func (t *TxClient) Enqueue(ctx context.Context, args Args, options ...Option) (*Receipt, error) {
	store, err := t.client.store.Within(t.tx)
	if err != nil {
		return nil, err
	}
	return t.client.enqueue(ctx, store, args, options)
}

// EnqueueMany is [Client.EnqueueMany] in the transaction; unique jobs are
// allowed. After an error, roll back.
func (t *TxClient) EnqueueMany(ctx context.Context, jobs iter.Seq[Args], options ...Option) (int64, error) {
	store, err := t.client.store.Within(t.tx)
	if err != nil {
		return 0, err
	}
	const chunk = 1000
	var total int64
	batch := make([]NewJob, 0, chunk)
	for job, err := range t.client.sequence(ctx, jobs, options) {
		if err != nil {
			return 0, err
		}
		if batch = append(batch, job); len(batch) < chunk {
			continue
		}
		if _, err := store.Insert(ctx, batch); err != nil {
			return 0, err
		}
		total += chunk
		batch = batch[:0]
	}
	if len(batch) > 0 {
		if _, err := store.Insert(ctx, batch); err != nil {
			return 0, err
		}
	}
	return total + int64(len(batch)), nil
}

// inserter is a store, or one inside a transaction.
type inserter interface {
	Insert(context.Context, []NewJob) ([]Inserted, error)
	InsertFlow(context.Context, NewJob) (Inserted, error)
}

func (c *Client) enqueue(ctx context.Context, store inserter, args Args, options []Option) (*Receipt, error) {
	job, valid, err := c.build(ctx, args, options)
	if err != nil {
		return nil, err
	}
	send := func(ctx context.Context, job *NewJob) (Inserted, error) {
		if err := job.check(valid); err != nil {
			return Inserted{}, err
		}
		if job.isFlow() {
			return store.InsertFlow(ctx, *job)
		}
		inserted, err := store.Insert(ctx, []NewJob{*job})
		if err != nil {
			return Inserted{}, err
		}
		return inserted[0], nil
	}
	inserted, err := c.wrap(send)(ctx, job)
	if err != nil {
		return nil, err
	}
	return &Receipt{ID: inserted.ID, Existed: inserted.Existed, At: inserted.At, client: c}, nil
}

// sequence turns arguments into checked jobs; the first error ends it.
func (c *Client) sequence(ctx context.Context, jobs iter.Seq[Args], options []Option) iter.Seq2[NewJob, error] {
	return func(yield func(NewJob, error) bool) {
		for args := range jobs {
			job, valid, err := c.build(ctx, args, options)
			var ready NewJob
			if err == nil {
				_, err = c.wrap(func(_ context.Context, job *NewJob) (Inserted, error) {
					ready = *job
					if job.isFlow() {
						return Inserted{}, invalid("then", "jobs with a follower or a request are enqueued one by one")
					}
					return Inserted{}, job.check(valid)
				})(ctx, job)
			}
			if !yield(ready, err) || err != nil {
				return
			}
		}
	}
}

// argsSeed is of the hash by which arguments are known that an option has changed:
// that costs a fraction of reading them.
var argsSeed = maphash.MakeSeed()

// build makes a job of arguments and options, in the order client, arguments,
// call. With valid, its arguments are known to be valid JSON, and nobody will have them
// in hand before they are stored.
func (c *Client) build(ctx context.Context, args Args, options []Option) (job *NewJob, valid bool, err error) {
	if args == nil {
		return nil, false, invalid("args", "nil")
	}
	encoded, valid, err := encodeArgs(args)
	if err != nil {
		return nil, false, err
	}
	written := maphash.Bytes(argsSeed, encoded)
	job = &NewJob{Kind: args.Kind(), Queue: DefaultQueue, Priority: DefaultPriority, Args: encoded}
	if own, ok := args.(WithOptions); ok {
		options = append(own.EnqueueOptions(), options...)
	}
	for _, option := range options {
		if err := option(job); err != nil {
			return nil, false, err
		}
	}
	c.carry(ctx, job)
	valid = valid && len(c.middleware) == 0 && maphash.Bytes(argsSeed, job.Args) == written
	return job, valid, c.follow(ctx, job)
}

func (c *Client) carry(ctx context.Context, job *NewJob) {
	carried := carriedBy(ctx)
	if len(c.carriers) == 0 && len(carried) == 0 {
		return
	}
	job.Carry = map[string]string{}
	for key, value := range carried {
		job.Carry[key] = value
	}
	for _, carrier := range c.carriers {
		carrier.Inject(ctx, job.Carry)
	}
}

func (c *Client) wrap(send EnqueueFunc) EnqueueFunc {
	for i := len(c.middleware) - 1; i >= 0; i-- {
		send = c.middleware[i](send)
	}
	return send
}

// Named makes arguments of any value that marshals to JSON, under a kind's
// name, for values whose type has no Kind method.
func Named(kind string, value any) Args { return namedArgs{kind, value} }

type namedArgs struct {
	kind  string
	value any
}

// Kind returns the name.
func (n namedArgs) Kind() string { return n.kind }

// MarshalJSON writes the value alone.
func (n namedArgs) MarshalJSON() ([]byte, error) { return json.Marshal(n.value) }

// With adds options to single arguments, as for one job of an EnqueueMany.
func With(args Args, options ...Option) Args { return argsWith{args, options} }

type argsWith struct {
	Args
	options []Option
}

// MarshalJSON writes the arguments alone.
func (a argsWith) MarshalJSON() ([]byte, error) { return json.Marshal(a.Args) }

// EnqueueOptions are the arguments' own, then the added ones.
func (a argsWith) EnqueueOptions() []Option {
	if own, ok := a.Args.(WithOptions); ok {
		return append(own.EnqueueOptions(), a.options...)
	}
	return a.options
}

// Get returns a job with its history, or ErrNotFound.
func (c *Client) Get(ctx context.Context, id ID) (Details, error) { return c.store.Get(ctx, id) }

// List returns a page of jobs.
func (c *Client) List(ctx context.Context, filter Filter) (Page, error) {
	if filter.Limit == 0 {
		filter.Limit = 50
	}
	if filter.Limit < 1 || filter.Limit > 1000 {
		return Page{}, invalid("limit", "%d is not from 1 to 1000", filter.Limit)
	}
	return c.store.List(ctx, filter)
}

// Stats returns the figures of queues, kinds and workers.
func (c *Client) Stats(ctx context.Context) (Stats, error) { return c.store.Stats(ctx) }

// Cancel calls a job off. A waiting job is cancelled at once (Cancelled); a
// running one has its context cancelled within 2 seconds on whatever machine it
// runs, and what its handler returns decides (Running). ErrNotFound and
// [StateError] as in [Operator.Apply].
func (c *Client) Cancel(ctx context.Context, id ID) (State, error) {
	return c.store.Apply(ctx, Change{Verb: VerbCancel, Job: id})
}

// Retry makes an ended or retrying job ready at once, with its failures
// forgotten.
func (c *Client) Retry(ctx context.Context, id ID) (State, error) {
	return c.store.Apply(ctx, Change{Verb: VerbRetry, Job: id})
}

// Delete removes a job that is not running, with its history.
func (c *Client) Delete(ctx context.Context, id ID) error {
	_, err := c.store.Apply(ctx, Change{Verb: VerbDelete, Job: id})
	return err
}

// RunNow puts a waiting job in front of its queue.
func (c *Client) RunNow(ctx context.Context, id ID) (State, error) {
	return c.store.Apply(ctx, Change{Verb: VerbRunNow, Job: id})
}

// Reschedule makes a waiting job due at another time.
func (c *Client) Reschedule(ctx context.Context, id ID, at time.Time) (State, error) {
	if at.IsZero() || at.Year() > 9999 || at.Year() < 1 {
		return 0, invalid("run at", "the year %d is not from 1 to 9999", at.Year())
	}
	return c.store.Apply(ctx, Change{Verb: VerbReschedule, Job: id, RunAt: at})
}

// Reprioritize changes a waiting job's priority. A ready job goes behind those that
// have the new one already.
func (c *Client) Reprioritize(ctx context.Context, id ID, priority int) (State, error) {
	if priority < 0 || priority > MaxPriority {
		return 0, invalid("priority", "%d is not from 0 (first) to %d (last)", priority, MaxPriority)
	}
	return c.store.Apply(ctx, Change{Verb: VerbPrioritize, Job: id, Priority: priority})
}

// PauseQueue keeps the queue's jobs from starting; what runs goes on.
func (c *Client) PauseQueue(ctx context.Context, queue string) error {
	return c.pause(ctx, "queue", PauseTarget{Queue: queue}, true)
}

// ResumeQueue undoes PauseQueue.
func (c *Client) ResumeQueue(ctx context.Context, queue string) error {
	return c.pause(ctx, "queue", PauseTarget{Queue: queue}, false)
}

// PauseKind keeps jobs of the kind from starting; what runs goes on.
func (c *Client) PauseKind(ctx context.Context, kind string) error {
	return c.pause(ctx, "kind", PauseTarget{Kind: kind}, true)
}

// ResumeKind undoes PauseKind.
func (c *Client) ResumeKind(ctx context.Context, kind string) error {
	return c.pause(ctx, "kind", PauseTarget{Kind: kind}, false)
}

func (c *Client) pause(ctx context.Context, field string, target PauseTarget, paused bool) error {
	if err := CheckName(field, target.Queue+target.Kind); err != nil {
		return err
	}
	return c.store.Pause(ctx, target, paused)
}
