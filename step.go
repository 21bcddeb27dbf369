package offstage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"
)

// Errors of steps.
var (
	// ErrStepTwice means that one attempt came twice to a step of the same name.
	// Names of steps in a loop need a part that differs.
	ErrStepTwice = errors.New("offstage: this attempt has had a step of this name")
	// errStepTimeout is the cause when a step's own time is up.
	errStepTimeout = errors.New("offstage: the step's timeout has passed")
)

// Step does a part of a job whose success is remembered: its result, as JSON, is
// stored durably the moment do succeeds, and later attempts of the job get it
// back without doing it again. Only the success is remembered; an error is
// returned, with the step's name, for the handler to return.
//
// If the process dies inside do, or after it and before its result is stored,
// the step is done again. What it does to others then needs a key: see
// [IdempotencyKey]. What it writes to the same database needs [StepTx].
//
// The name is the step's identity: 1 to 200 bytes, different for each step of an
// attempt ([ErrStepTwice]), the same in each attempt. The code around steps runs
// in every attempt. Steps may be added, removed and reordered while jobs are
// under way; a step whose result changes its type needs another name. Steps
// cannot be nested; different ones may run at the same time.
//
// ErrLeaseLost means that the job is somebody else's by now; ErrNotRunning that
// ctx is not a handler's.
func Step[T any](ctx context.Context, name string, do func(context.Context) (T, error), options ...StepOption) (T, error) {
	var none T
	m, err := memoryOf(ctx, name)
	if err != nil {
		return none, err
	}
	config, err := stepOptions(options)
	if err != nil {
		return none, err
	}
	known, err := m.begin(ctx, name, StepDone)
	if err != nil {
		return none, err
	}
	if known != nil {
		return decodeStep[T](m, known)
	}
	ended := stepUse(0)
	defer func() { m.quit(name, ended) }()
	value, step, err := doStep(ctx, name, config, do)
	if err != nil {
		return none, err
	}
	if err := m.remember(ctx, step); err != nil {
		return none, err
	}
	ended = stepEnded
	return value, nil
}

// StepTx is [Step] for effects in the store's own database: what do writes in the
// caller's transaction and the memory that it was done are committed together,
// so that it is done exactly once, whenever the process dies. The caller begins
// the transaction before the call and commits after it; after an error it rolls
// back. do gets the step's context, and uses the transaction that it closes over.
//
// If the transaction is rolled back, the step may be done again in this attempt,
// in another transaction. Between StepTx and the commit, do nothing else of the
// job's: other steps would wait for the transaction.
//
// ErrForeignTx means that the transaction is not one of the job's store.
func StepTx[T any](ctx context.Context, tx Tx, name string, do func(context.Context) (T, error), options ...StepOption) (T, error) {
	var none T
	m, err := memoryOf(ctx, name)
	if err != nil {
		return none, err
	}
	config, err := stepOptions(options)
	if err != nil {
		return none, err
	}
	store, err := m.store.Within(tx)
	if err != nil {
		return none, err
	}
	known, err := m.beginTx(ctx, store, name)
	if err != nil {
		return none, err
	}
	if known != nil {
		return decodeStep[T](m, known)
	}
	ended := stepUse(0)
	defer func() { m.quit(name, ended) }()
	value, step, err := doStep(ctx, name, config, do)
	if err != nil {
		return none, err
	}
	if err := store.Remember(ctx, m.hold, step); err != nil {
		return none, err
	}
	ended = stepTxed
	return value, nil
}

// beginTx is begin in a transaction, where it looks for itself: this attempt may
// have done the step before, in a transaction that it knows nothing more of.
func (m *Memory) beginTx(ctx context.Context, store TxStore, name string) (*StepInfo, error) {
	m.mu.Lock()
	use, err := m.used[name], m.mayBegin(name)
	if err == nil {
		m.used[name] = stepOpen
	}
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	info, err := store.Recall(ctx, m.hold, name)
	if err != nil {
		m.quit(name, use)
		return nil, err
	}
	if info == nil {
		return nil, nil
	}
	m.quit(name, stepEnded)
	if info.Run == m.hold.Run {
		return nil, m.twice(name)
	}
	return info, m.mustBe(info, StepDone)
}

// doStep tries a step until it succeeds or may not be tried again here, and
// makes what is to be remembered.
func doStep[T any](ctx context.Context, name string, config stepConfig, do func(context.Context) (T, error)) (value T, step NewStep, err error) {
	for try := 1; ; try++ {
		begun := time.Now()
		value, err = tryStep(ctx, name, config.timeout, do)
		if err == nil {
			step = NewStep{Name: name, Kind: StepDone, Tries: try, Took: time.Since(begun)}
			step.Value, err = encodeStep(name, value)
			return value, step, err
		}
		if wait, again := config.again(err, try); !again || !pauseStep(ctx, wait) {
			return value, step, fmt.Errorf("step %q: %w", name, err)
		}
		if err := Interrupted(ctx); err != nil {
			return value, step, err
		}
	}
}

func tryStep[T any](ctx context.Context, name string, timeout time.Duration, do func(context.Context) (T, error)) (T, error) {
	ctx = context.WithValue(ctx, stepKey{}, name)
	if timeout <= 0 {
		return do(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errStepTimeout)
	defer cancel()
	value, err := do(ctx)
	if err != nil && context.Cause(ctx) == errStepTimeout {
		err = fmt.Errorf("it ran past its timeout of %s: %w", timeout, err)
	}
	return value, err
}

// pauseStep waits; false: the attempt ended first.
func pauseStep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// StepOption changes how a step is done.
type StepOption func(*stepConfig) error

type stepConfig struct {
	tries   int
	backoff func(failed int) time.Duration
	timeout time.Duration // 0: none
}

// StepTimeout limits each try of a step: when it is over, the step's context
// ends. Without it only the attempt's own timeout counts.
func StepTimeout(d time.Duration) StepOption {
	return func(c *stepConfig) error {
		if d <= 0 || d > MaxDelay {
			return invalid("step timeout", "%s is not from 0 to 100 years", d)
		}
		c.timeout = d
		return nil
	}
}

// MaxStepWait is the longest wait between two tries of a step inside one attempt.
// An error that asks for more, by [RetryAfter], ends the attempt instead, so that
// nobody holds a slot by waiting.
const MaxStepWait = 10 * time.Second

// StepRetry tries a step up to so many times (1 to 100) inside one attempt, while
// the job holds its slot. backoff returns the wait after so many failures, from 1;
// nil is 100 ms, doubled each time, with a random part. Waits are at most
// [MaxStepWait]. A step that has failed that often fails the attempt; the next
// one begins with this step again and with none before it. Errors made by
// [Cancel], [Fail] or [Snooze] are not tried again.
func StepRetry(tries int, backoff func(failed int) time.Duration) StepOption {
	return func(c *stepConfig) error {
		if tries < 1 || tries > 100 {
			return invalid("step retry", "%d is not from 1 to 100", tries)
		}
		c.tries = tries
		if backoff != nil {
			c.backoff = backoff
		}
		return nil
	}
}

func stepOptions(options []StepOption) (stepConfig, error) {
	config := stepConfig{tries: 1, backoff: stepBackoff}
	for _, option := range options {
		if err := option(&config); err != nil {
			return config, err
		}
	}
	return config, nil
}

// stepBackoff waits about 100 ms at first, and twice as long each time.
func stepBackoff(failed int) time.Duration {
	wait := 100 * time.Millisecond << min(failed-1, 7)
	return wait/2 + rand.N(wait)
}

// again decides whether a try that failed is followed by another, and when.
func (c stepConfig) again(err error, failed int) (time.Duration, bool) {
	var said *control
	if failed >= c.tries || errors.As(err, &said) && said.next != Retrying {
		return 0, false
	}
	if wait, asked := retryAfter(err); asked {
		return wait, wait <= MaxStepWait
	}
	return min(max(c.backoff(failed), 0), MaxStepWait), true
}

// Interrupted returns nil while the attempt may go on, and otherwise an error for
// the handler to return. Call it between the parts of a long loop: when the
// worker is stopping, as at a deploy, an attempt that ends by this error costs
// nothing, and the job goes on elsewhere at once; one that does not heed it is
// cancelled when the grace period is over. When the attempt's context has ended,
// the error is the cause.
//
// Outside a handler it returns the cause of the context's end, or nil.
func Interrupted(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ErrShutdown) {
		return cause
	} else if r := ExecutionFrom(ctx); cause == nil && (r == nil || !r.Stopping()) {
		return nil
	}
	return &control{outcome: OutcomeInterrupted, next: Ready, err: ErrShutdown}
}

// Once reports whether this is the first time that anybody takes the key, in the
// transaction of the effect that must happen once: if it is not, skip the effect
// and commit. It works for effects that are no step of their own, such as those
// of many jobs that mean the same thing. If the transaction is rolled back, the
// key is free again. Keys are of 1 to 200 bytes, shared by all kinds, and kept for
// [KeepOnce].
//
// Outside a handler, use [TxClient.Once].
func Once(ctx context.Context, tx Tx, key string) (first bool, err error) {
	execution := ExecutionFrom(ctx)
	if execution == nil || execution.Memory() == nil {
		return false, ErrNotRunning
	}
	return once(ctx, execution.Memory().store, tx, key)
}

// Once is [Once] outside a handler, as for a webhook that may come twice.
func (t *TxClient) Once(ctx context.Context, key string) (first bool, err error) {
	return once(ctx, t.client.store, t.tx, key)
}

func once(ctx context.Context, store Store, tx Tx, key string) (bool, error) {
	if err := CheckText("once", key, MaxStepName); err != nil {
		return false, err
	}
	within, err := store.Within(tx)
	if err != nil {
		return false, err
	}
	return within.Once(ctx, key)
}

// checkValue names an unexported field that JSON would drop.
func checkValue(value any) error {
	if value == nil {
		return nil
	}
	return checkFields(reflect.ValueOf(value), "value")
}
