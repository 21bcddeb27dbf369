package offstage

import (
	"context"
	"encoding/json"
	"time"
)

// Rememberer keeps what running jobs have done so far: their steps. It is a
// part of the [Store] contract.
//
// A job's steps are fenced by its epoch, the number of the run that may write
// to them. Once a later run has raised it, nothing that an earlier one sends is
// kept, so what a run has read stays true until it writes itself.
type Rememberer interface {
	// Recall raises the job's epoch to this run and returns all its steps, the
	// oldest first. ErrLeaseLost means that the claim is gone, the attempt has
	// ended, or a later run has raised the epoch. A repeat is safe.
	Recall(ctx context.Context, hold Hold) ([]StepInfo, error)
	// Remember stores a step, durably. With raise, the epoch is raised first, as
	// by Recall; else it must be this run's. ErrLeaseLost is as in Recall, and
	// then nothing is stored. A cursor takes the place of the one before; any
	// other step that is there already stays as it is. A repeat is safe.
	Remember(ctx context.Context, hold Hold, step NewStep, raise bool) error
}

// TxRememberer is the part of a [TxStore] that keeps steps.
type TxRememberer interface {
	// Recall raises the job's epoch to this run if need be, and keeps later runs
	// from raising it until the transaction ends. It returns the step of this
	// name, nil if there is none. ErrLeaseLost is as in [Rememberer.Recall].
	Recall(ctx context.Context, hold Hold, name string) (*StepInfo, error)
	// Remember is [Rememberer.Remember] in this transaction, without raising;
	// Recall comes before it.
	Remember(ctx context.Context, hold Hold, step NewStep) error
	// Once takes a key and reports whether it was free. Another transaction that
	// has taken it and not ended is waited for. Keys are kept for [KeepOnce].
	Once(ctx context.Context, key string) (first bool, err error)
	// Signal is [Waiter.Signal] in this transaction.
	Signal(ctx context.Context, name string, payload []byte) (SignalReport, error)
}

// KeepOnce is how long the keys of [Once] are remembered.
const KeepOnce = 90 * 24 * time.Hour

// KeepSignals is how long a signal is remembered.
const KeepSignals = 90 * 24 * time.Hour

// Hold names a running attempt and the claim under which it was started.
type Hold struct {
	Worker WorkerID
	Claim  int64 // the Seq of the claim
	Job    ID
	Run    int
}

// StepKind says what a step is. The zero value is not a kind.
//
// The numbers are stored by the SQL stores and never change.
type StepKind uint8

// The kinds of steps.
const (
	StepDone   StepKind = 1 // it was done, and Value is its result
	StepCursor StepKind = 2 // Value is how far a loop has come
	StepSleep  StepKind = 3 // the job sleeps until a time
	StepWait   StepKind = 4 // the job has waited for a signal; Value is what it brought
	StepChild  StepKind = 5 // Value is the id of a job that this one has enqueued
)

var stepKindNames = []string{"", "step", "cursor", "sleep", "wait", "child"}

// String returns the kind's name as it stands in JSON, the CLI and the pages.
func (k StepKind) String() string { return nameOf(stepKindNames, uint8(k), "step kind") }

// MarshalText returns the kind's name.
func (k StepKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind's name; any other text is an [InvalidError].
func (k *StepKind) UnmarshalText(text []byte) error {
	n, err := parseName(stepKindNames, string(text), "step kind")
	if err != nil {
		return err
	}
	*k = StepKind(n)
	return nil
}

// NewStep is a step to be remembered.
type NewStep struct {
	Name  string
	Kind  StepKind
	Tries int             // how often it was tried until it succeeded; at least 1
	Took  time.Duration   // the last try
	Wait  time.Duration   // StepSleep: from the store's now
	Value json.RawMessage // nil: none
}

// Limits of steps.
const (
	MaxStepName = 200    // bytes of a step's name, or of a key of Once
	MaxSteps    = 10_000 // steps of a job
)

// StepInfo is a step as the store has it.
type StepInfo struct {
	Name       string          `json:"name"`
	Kind       StepKind        `json:"kind"`
	Run        int             `json:"attempt"` // the one that remembered it last
	Tries      int             `json:"tries"`
	StartedAt  time.Time       `json:"started_at"` // of the last try
	FinishedAt time.Time       `json:"finished_at"`
	Value      json.RawMessage `json:"value,omitempty"`
	// WakeAt is when a StepSleep is over, and Left how long that is from now, by
	// the store's clock.
	WakeAt time.Time     `json:"wake_at,omitzero"`
	Left   time.Duration `json:"-"`
}
