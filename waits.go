package offstage

import (
	"context"
	"strings"
)

// Waiter keeps what jobs wait for otherwise than for time: signals, and the ends
// of other jobs. It is a part of the [Store] contract.
//
// A job that waits is blocked or, if it waits for a limited time, scheduled: it
// holds no slot and no claim. That nobody is forgotten rests on one rule: whoever
// parks a job, and whoever brings what it waits for, first locks the key and then,
// in a statement of its own, looks.
type Waiter interface {
	// Signal stores a signal and makes the jobs ready that wait for it. The first
	// of a name counts; later ones change nothing.
	Signal(ctx context.Context, name string, payload []byte) (SignalReport, error)
	// FindSignal returns the payload of a signal that was given and not pruned.
	FindSignal(ctx context.Context, name string) (payload []byte, found bool, err error)
	// RememberChild stores a job and, as a step of this name and of kind
	// StepChild, its id, both or neither. It is fenced like
	// [Rememberer.Remember]. If there is a step of this name already, it answers
	// the id that this has, and stores nothing. A repeat is safe.
	RememberChild(ctx context.Context, hold Hold, name string, job NewJob, raise bool) (ID, error)
}

// SignalReport says what became of a signal.
type SignalReport struct {
	First bool // it is the first of its name, and counts
	Woken int  // jobs that it made ready
}

// What begins a Result.WaitKey.
const (
	signalKey = "signal "
	endKey    = "end of job "
)

// SignalKey is the Result.WaitKey of a job that waits for a signal.
func SignalKey(name string) string { return signalKey + name }

// SignalOf returns the name of the signal that a key is of.
func SignalOf(key string) (name string, ok bool) { return strings.CutPrefix(key, signalKey) }

// EndKey is the Result.WaitKey of a job that waits for another to end.
func EndKey(id ID) string { return endKey + id.String() }

// EndOf returns the job whose end a key is of.
func EndOf(key string) (id ID, ok bool) {
	text, ok := strings.CutPrefix(key, endKey)
	if !ok {
		return 0, false
	}
	id, err := ParseID(text)
	return id, err == nil
}
