package offstage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrNoSignal means that the time for which a job would wait for a signal is over.
// It is remembered: later attempts get it as well, though the signal has come.
var ErrNoSignal = errors.New("offstage: the signal did not come in time")

// Suspended returns the wait that this attempt's handler was told to return, nil
// if there is none. Engines ask when the handler has returned.
func (m *Memory) Suspended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.suspended
}

// suspend ends the attempt by an error for the handler to return.
func (m *Memory) suspend(wait *control) error {
	wait.outcome = OutcomeSnoozed
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspended = wait
	return wait
}

// Sleep lets the job sleep for d, by the store's clock, without holding a slot: it
// returns an error for the handler to return at once, the job is scheduled, and an
// attempt that comes to this Sleep when its time has passed goes on. Like a [Step]
// it has a name of its own and cannot be inside a step. It costs no attempt.
func Sleep(ctx context.Context, name string, d time.Duration) error {
	m, err := memoryOf(ctx, name)
	if err != nil {
		return err
	}
	if d < 0 || d > MaxDelay {
		return invalid("sleep", "%s is not from 0 to 100 years", d)
	}
	left, err := m.sleep(ctx, name, d)
	if err != nil || left == 0 {
		return err
	}
	return m.suspend(&control{next: Scheduled, wait: left, err: fmt.Errorf("sleeping: %s", name)})
}

// sleep returns how long is left of a sleep, which it begins if need be.
func (m *Memory) sleep(ctx context.Context, name string, d time.Duration) (time.Duration, error) {
	known, err := m.begin(ctx, name, StepSleep)
	if err != nil {
		return 0, err
	}
	if known != nil {
		return known.Left, nil
	}
	if err := m.remember(ctx, NewStep{Name: name, Kind: StepSleep, Tries: 1, Wait: d}); err != nil {
		m.quit(name, 0)
		return 0, err
	}
	m.quit(name, stepEnded)
	return d, nil
}

// WaitOption changes how a job waits for a signal.
type WaitOption func(*waitConfig) error

type waitConfig struct{ within time.Duration }

// Within limits a wait, counted from the first time that the job came to it, by
// the store's clock. Without it a job waits until the signal comes, or somebody
// cancels it.
func Within(d time.Duration) WaitOption {
	return func(c *waitConfig) error {
		if d <= 0 || d > MaxDelay {
			return invalid("within", "%s is not from 0 to 100 years", d)
		}
		c.within = d
		return nil
	}
}

// WaitFor returns what a signal brought, decoded into T. If it has not come yet
// ([Client.Signal]), it returns an error for the handler to return at once: the job
// is blocked (scheduled, with [Within]), holds no slot, and begins another attempt,
// at no cost, when the signal comes, or when the time of [Within] is over; then the
// error is [ErrNoSignal]. A signal that came before anybody waited for it counts as
// well, for [KeepSignals]. Signals are named for the whole store, as in "order 17
// paid"; the name is also that of the step, and cannot be inside one.
func WaitFor[T any](ctx context.Context, signal string, options ...WaitOption) (T, error) {
	var none T
	m, err := memoryOf(ctx, signal)
	if err != nil {
		return none, err
	}
	var config waitConfig
	for _, option := range options {
		if err := option(&config); err != nil {
			return none, err
		}
	}
	known, err := m.waitFor(ctx, signal, config)
	if err != nil {
		return none, err
	}
	if known.Value == nil {
		return none, fmt.Errorf("%w: %q", ErrNoSignal, signal)
	}
	return decodeStep[T](m, known)
}

// waitFor returns the step of a wait that is over.
func (m *Memory) waitFor(ctx context.Context, signal string, config waitConfig) (*StepInfo, error) {
	known, err := m.begin(ctx, signal, StepWait)
	if err != nil || known != nil {
		return known, err
	}
	ended := stepUse(0)
	defer func() { m.quit(signal, ended) }()
	var payload []byte
	var came bool
	err = insist(ctx, func(ctx context.Context) (err error) {
		payload, came, err = m.store.FindSignal(ctx, signal)
		return err
	})
	if err != nil {
		return nil, err
	}
	var left time.Duration
	if !came && config.within > 0 {
		if left, err = m.sleep(ctx, deadlineOf(signal), config.within); err != nil {
			return nil, err
		}
	}
	if !came && (config.within == 0 || left > 0) {
		return nil, m.suspend(&control{next: Blocked, wait: left, key: SignalKey(signal), err: fmt.Errorf("waiting for the signal %s", signal)})
	}
	if err := m.remember(ctx, NewStep{Name: signal, Kind: StepWait, Tries: 1, Value: payload}); err != nil {
		return nil, err
	}
	ended = stepEnded
	return &StepInfo{Name: signal, Kind: StepWait, Run: m.hold.Run, Value: payload}, nil
}

// deadlineOf is the name of the step that remembers until when a job waits. It may
// be longer than those that handlers give.
func deadlineOf(signal string) string { return signal + " (until)" }

// Signal gives a signal to the jobs that wait for it or will ([WaitFor]), with a
// payload that marshals to JSON, or nil. It returns how many jobs it woke. The
// first signal of a name counts; a repeat changes nothing and wakes nobody, so a
// webhook that is delivered twice does no harm.
func (c *Client) Signal(ctx context.Context, name string, payload any) (woken int, err error) {
	return signal(ctx, name, payload, c.store.Signal)
}

// Signal is [Client.Signal] in the transaction: it is given if and only if the
// transaction commits.
func (t *TxClient) Signal(ctx context.Context, name string, payload any) (woken int, err error) {
	store, err := t.client.store.Within(t.tx)
	if err != nil {
		return 0, err
	}
	return signal(ctx, name, payload, store.Signal)
}

func signal(ctx context.Context, name string, payload any, send func(context.Context, string, []byte) (SignalReport, error)) (int, error) {
	if err := CheckText("signal", name, MaxStepName); err != nil {
		return 0, err
	}
	encoded, err := json.Marshal(payload)
	if err != nil {
		return 0, invalid("signal", "the payload of type %T cannot be written as JSON: %v", payload, err)
	}
	if len(encoded) > MaxResult {
		return 0, invalid("signal", "%d bytes of JSON are more than the limit of %d", len(encoded), MaxResult)
	}
	report, err := send(ctx, name, encoded)
	return report.Woken, err
}

// EnqueueChild enqueues a job from inside the handler of another, once: its id is
// remembered as a step of this name, in the transaction that stores the job, and
// later attempts get the receipt of the same job. Give the receipt to [Await] to
// wait for its end without holding a slot. The names and errors are those of
// [Step]; a unique job is refused.
func (c *Client) EnqueueChild(ctx context.Context, name string, args Args, options ...Option) (*Receipt, error) {
	m, err := memoryOf(ctx, name)
	if err != nil {
		return nil, err
	}
	known, err := m.begin(ctx, name, StepChild)
	if err != nil {
		return nil, err
	}
	if known != nil {
		id, err := decodeStep[ID](m, known)
		return &Receipt{ID: id, Existed: true, client: c, parent: m.hold.Job}, err
	}
	ended := stepUse(0)
	defer func() { m.quit(name, ended) }()
	receipt, err := c.enqueue(ctx, childInserter{m, name}, args, options)
	if err != nil {
		return nil, err
	}
	ended, receipt.parent = stepEnded, m.hold.Job
	return receipt, nil
}

// childInserter stores a job as a child.
type childInserter struct {
	memory *Memory
	name   string
}

// Insert stores the one job.
func (i childInserter) Insert(ctx context.Context, jobs []NewJob) ([]Inserted, error) {
	job := jobs[0]
	if job.Unique != nil {
		return nil, invalid("unique", "a child cannot be unique: it is there once anyway")
	}
	job.Parent = i.memory.hold.Job
	id, err := i.memory.rememberChild(ctx, i.name, job)
	return []Inserted{{ID: id}}, err
}

// InsertFlow refuses.
func (childInserter) InsertFlow(context.Context, NewJob) (Inserted, error) {
	return Inserted{}, invalid("then", "a child has no follower and no request; wait for it and go on")
}

func (m *Memory) rememberChild(ctx context.Context, name string, job NewJob) (id ID, err error) {
	m.mu.Lock()
	raise := !m.raised
	m.mu.Unlock()
	err = insist(ctx, func(ctx context.Context) (err error) {
		id, err = m.store.RememberChild(ctx, m.hold, name, job, raise)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("offstage: child %q of job %d could not be enqueued: %w", name, m.hold.Job, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raised, m.saved = true, true
	return id, nil
}

// awaitChild returns how a child of the running job has ended, and remembers it;
// the error of one that has not is for the handler to return.
func (r *Receipt) awaitChild(ctx context.Context, m *Memory) (Ended, error) {
	name := EndKey(r.ID)
	known, err := m.begin(ctx, name, StepWait)
	if err != nil {
		return Ended{}, err
	}
	if known != nil {
		return decodeStep[Ended](m, known)
	}
	use := stepUse(0)
	defer func() { m.quit(name, use) }()
	var found []Ended
	err = insist(ctx, func(ctx context.Context) (err error) {
		found, err = m.store.EndedOf(ctx, []ID{r.ID})
		return err
	})
	if err != nil {
		return Ended{}, err
	}
	if len(found) == 0 {
		return Ended{}, m.suspend(&control{next: Blocked, key: name, err: fmt.Errorf("waiting for the end of job %d", r.ID)})
	}
	value, err := json.Marshal(found[0])
	if err != nil {
		return Ended{}, err
	}
	if err := m.remember(ctx, NewStep{Name: name, Kind: StepWait, Tries: 1, Value: value}); err != nil {
		return Ended{}, err
	}
	use = stepEnded
	return found[0], nil
}
