package offstage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Memory is what one attempt knows of its job's steps. Engines make one for each
// attempt and offer it through its [Execution]; handlers call [Step] and its
// family. It is safe for concurrent use.
type Memory struct {
	store Store
	hold  Hold
	facts Facts
	turn  chan struct{} // held while the steps are recalled

	mu        sync.Mutex
	recalled  bool                // guarded by mu: known is complete
	raised    bool                // guarded by mu: the epoch is this run's
	saved     bool                // guarded by mu: this run has remembered something
	suspended error               // guarded by mu: what the handler was told to return, to wait
	known     map[string]StepInfo // guarded by mu: what earlier runs remembered and this one has not come to
	used      map[string]stepUse  // guarded by mu: the names that this run has used
}

// stepUse says how far this run is with a step.
type stepUse uint8

const (
	stepOpen  stepUse = iota + 1 // it is under way
	stepTxed                     // it was done in a transaction that may yet be rolled back
	stepEnded                    // it is remembered
)

// NewMemory returns the memory of an attempt that begins.
func NewMemory(store Store, hold Hold, facts Facts) *Memory {
	return &Memory{
		store: store, hold: hold, facts: facts, turn: make(chan struct{}, 1),
		recalled: hold.Run == 1, // nobody was there before
		known:    map[string]StepInfo{}, used: map[string]stepUse{},
	}
}

// Progressed reports whether this attempt has remembered anything, so that its
// death would not count as one without progress.
func (m *Memory) Progressed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saved
}

type stepKey struct{}

// memoryOf returns the memory of the running job, for a call that must not be
// made inside a step.
func memoryOf(ctx context.Context, name string) (*Memory, error) {
	execution := ExecutionFrom(ctx)
	if execution == nil || execution.Memory() == nil {
		return nil, ErrNotRunning
	}
	if outer, inside := ctx.Value(stepKey{}).(string); inside {
		return nil, fmt.Errorf("offstage: step %q inside step %q: steps cannot be nested", name, outer)
	}
	if err := CheckText("step", name, MaxStepName); err != nil {
		return nil, err
	}
	return execution.Memory(), nil
}

// begin notes that this run comes to a step, and returns what an earlier one
// remembered of it, or nil. A step that is begun without being remembered must be
// left by quit.
func (m *Memory) begin(ctx context.Context, name string, kind StepKind) (*StepInfo, error) {
	if err := m.recall(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mayBegin(name); err != nil {
		return nil, err
	}
	info, there := m.known[name]
	if !there {
		m.used[name] = stepOpen
		return nil, nil
	}
	if err := m.mustBe(&info, kind); err != nil {
		return nil, err
	}
	delete(m.known, name)
	m.used[name] = stepEnded
	if kind == StepCursor {
		m.used[name] = stepOpen
	}
	return &info, nil
}

// mayBegin says why this run may not come to a step of this name; mu is held.
func (m *Memory) mayBegin(name string) error {
	use := m.used[name]
	_, there := m.known[name]
	switch {
	case m.suspended != nil:
		return m.suspended // nothing more is done in this attempt
	case use == stepOpen || use == stepEnded:
		return m.twice(name)
	case use == 0 && !there && len(m.known)+len(m.used) >= MaxSteps:
		return invalid("step", "%q: a job can have %d steps; use a Cursor for a loop", name, MaxSteps)
	}
	return nil
}

func (m *Memory) twice(name string) error {
	return fmt.Errorf("%w: %q in job %d, attempt %d", ErrStepTwice, name, m.hold.Job, m.hold.Run)
}

// mustBe checks that what is remembered is of the kind that the handler asks for.
func (m *Memory) mustBe(info *StepInfo, kind StepKind) error {
	if info.Kind != kind {
		return fmt.Errorf("offstage: %q of job %d is remembered as a %s, not as a %s; give it another name", info.Name, m.hold.Job, info.Kind, kind)
	}
	return nil
}

// quit says that a step that was begun is over, and how; 0: as if it had not been
// begun.
func (m *Memory) quit(name string, use stepUse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if use == 0 {
		delete(m.used, name)
		return
	}
	m.used[name] = use
	delete(m.known, name)
}

// recall reads what earlier runs have remembered, once.
func (m *Memory) recall(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	m.mu.Lock()
	recalled := m.recalled
	m.mu.Unlock()
	if recalled {
		return nil
	}
	var steps []StepInfo
	err := insist(ctx, func(ctx context.Context) (err error) {
		steps, err = m.store.Recall(ctx, m.hold)
		return err
	})
	if err != nil {
		return fmt.Errorf("offstage: the steps of job %d could not be recalled: %w", m.hold.Job, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, step := range steps {
		m.known[step.Name] = step
	}
	m.recalled, m.raised = true, true
	return nil
}

// remember stores a step that this run has begun.
func (m *Memory) remember(ctx context.Context, step NewStep) error {
	m.mu.Lock()
	raise := !m.raised
	m.mu.Unlock()
	err := insist(ctx, func(ctx context.Context) error { return m.store.Remember(ctx, m.hold, step, raise) })
	if err != nil {
		return fmt.Errorf("offstage: %s %q of job %d was done and could not be remembered: %w", step.Kind, step.Name, m.hold.Job, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raised, m.saved = true, true
	return nil
}

// The times of a call that must succeed: how long one try may take, and how long
// one that is under way may go on when the attempt's context has ended.
const (
	insistTime  = 5 * time.Second
	insistAfter = 500 * time.Millisecond
)

// insist makes a call of the store until it is answered. It is worth a try even
// when the attempt's time is over: what is not remembered is done again.
func insist(ctx context.Context, do func(context.Context) error) error {
	wait := 20 * time.Millisecond
	for {
		err := insistOnce(ctx, do)
		var fault *StoreError
		again := errors.As(err, &fault) && fault.Class != FaultData || errors.Is(err, context.DeadlineExceeded)
		if !again || ctx.Err() != nil {
			return err
		}
		pauseStep(ctx, wait) // when the attempt ends, one more try
		wait = min(2*wait, time.Second)
	}
}

func insistOnce(ctx context.Context, do func(context.Context) error) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), insistTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(insistAfter, cancel) })
	defer stop()
	return do(call)
}

// decodeStep gives a remembered value back.
func decodeStep[T any](m *Memory, info *StepInfo) (T, error) {
	var value T
	if info.Value == nil {
		return value, nil
	}
	if err := json.Unmarshal(info.Value, &value); err != nil {
		var none T
		return none, fmt.Errorf("offstage: the value of %s %q of job %d (%s), remembered by attempt %d, is not a %T: %w; if its type has changed, give the step another name",
			info.Kind, info.Name, m.hold.Job, m.facts.Kind, info.Run, none, err)
	}
	return value, nil
}

// encodeStep makes the JSON of a value and makes sure that a later attempt will
// read it back. What cannot be remembered now never can: such a job fails, since
// what it has done must not be done again.
func encodeStep[T any](name string, value T) (json.RawMessage, error) {
	refuse := func(format string, args ...any) (json.RawMessage, error) {
		return nil, Fail(fmt.Errorf("offstage: step %q was done, and its value of type %T "+format, append([]any{name, value}, args...)...))
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return refuse("cannot be written as JSON: %w", err)
	}
	if len(encoded) > MaxResult {
		return refuse("has %d bytes of JSON, more than the limit of %d; keep the data elsewhere and return a reference", len(encoded), MaxResult)
	}
	if err := checkValue(value); err != nil {
		return refuse("would be lost: %w", err)
	}
	var again T
	if err := json.Unmarshal(encoded, &again); err != nil {
		return refuse("cannot be read back: %w", err)
	}
	return encoded, nil
}
