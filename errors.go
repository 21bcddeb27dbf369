package offstage

import (
	"cmp"
	"errors"
	"fmt"
)

// Errors of the things that a caller asks for.
var (
	// ErrNotFound means that there is no such job, or none any more.
	ErrNotFound = errors.New("offstage: no such job")
	// ErrNoSchedule means that there is no such schedule.
	ErrNoSchedule = errors.New("offstage: no such schedule")
	// ErrForeignTx means that a transaction of one kind of database was given
	// to a store of another kind, or to another database.
	ErrForeignTx = errors.New("offstage: this transaction does not belong to this store")
	// ErrNotRunning means that a function which needs a running job was called
	// with a context that is not a handler's, or whose attempt has ended.
	ErrNotRunning = errors.New("offstage: not called from a running job's handler")
	// ErrLeaseLost means that the store no longer holds the claim under which
	// this attempt was started: somebody else has, or will have, the job.
	ErrLeaseLost = errors.New("offstage: the claim on this job is gone")
	// ErrClosed means that the store has been closed.
	ErrClosed = errors.New("offstage: the store is closed")
	// ErrNotLeading means that the term under which a chore was asked for is over.
	ErrNotLeading = errors.New("offstage: this term of leadership is over")
	// ErrNewerSchema means that the database was migrated by a later version
	// of Offstage than this program contains.
	ErrNewerSchema = errors.New("offstage: the database has a newer schema than this program knows")
)

// Errors of the worker's conversation with its store.
var (
	// ErrGone means that the store no longer knows this worker: it was taken
	// for dead. The worker cancels what it runs and registers anew.
	ErrGone = errors.New("offstage: the store no longer knows this worker")
)

// The causes with which a handler's context is cancelled; see [context.Cause].
var (
	// ErrTimeout is the cause when the attempt's time is up.
	ErrTimeout = errors.New("offstage: the job's timeout has passed")
	// ErrCancelled is the cause when somebody cancelled the job.
	ErrCancelled = errors.New("offstage: the job was cancelled")
	// ErrShutdown is the cause when the worker stops and the grace period is over.
	ErrShutdown = errors.New("offstage: the worker is shutting down")
)

// InvalidError says which field of a request is wrong, and why. Nothing was
// stored.
type InvalidError struct {
	Field   string // as the caller knows it: "args", "queue", "priority", …
	Problem string // what is wrong and what is allowed
}

// Error returns "offstage: field: problem".
func (e *InvalidError) Error() string { return "offstage: " + e.Field + ": " + e.Problem }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// StateError says that a job cannot be changed as asked because of the state
// that it is in. Nothing was changed.
type StateError struct {
	ID    ID
	State State  // the state that the job is in
	Verb  Verb   // what was asked
	Hint  string // what to do instead, or when it is allowed; may be empty
}

// Error names the job, its state, and what to do.
func (e *StateError) Error() string {
	text := fmt.Sprintf("offstage: job %d is %s: cannot %s it", e.ID, e.State, e.Verb)
	if hint := cmp.Or(e.Hint, whenAllowed[e.Verb]); hint != "" {
		text += "; " + hint
	}
	return text
}

// whenAllowed says in which states each verb is allowed, as a hint for people.
var whenAllowed = map[Verb]string{
	VerbCancel:     "only jobs that wait or run can be cancelled",
	VerbRetry:      "only ended and retrying jobs can be retried; run it now instead",
	VerbDelete:     "cancel it first, and wait for its end",
	VerbRunNow:     "only scheduled, retrying and ready jobs can be run now",
	VerbReschedule: "only scheduled, retrying and ready jobs have a time",
	VerbPrioritize: "only waiting jobs have a place to change",
}

// EndedError is the error of waiting for a job that ended otherwise than
// completed.
type EndedError struct {
	ID      ID
	State   State  // Failed or Cancelled
	Message string // the last attempt's error; may be empty
}

// Error names the job, how it ended and why.
func (e *EndedError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("offstage: job %d ended %s", e.ID, e.State)
	}
	return fmt.Sprintf("offstage: job %d ended %s: %s", e.ID, e.State, e.Message)
}

// FaultClass says what a store's failure means for the one who called.
type FaultClass uint8

// The classes of a store's faults.
const (
	// FaultUnknown: the answer was lost; the call may or may not have been
	// carried out. It is the zero value, since it is the safe assumption.
	FaultUnknown FaultClass = iota
	// FaultDown: the server said, or its absence proves, that it is not
	// serving; the call was not carried out.
	FaultDown
	// FaultBusy: the call was not carried out because of others (a lock, a
	// deadlock, a serialization failure, too many connections); the same call
	// may succeed soon.
	FaultBusy
	// FaultData: the call was not carried out and never will be: what it
	// carries cannot be stored.
	FaultData
)

var faultNames = []string{"answer lost", "server down", "busy", "bad data"}

// String returns a short name for the class.
func (c FaultClass) String() string { return nameOf(faultNames, uint8(c), "fault") }

// StoreError is a failure of the store itself, with its class. Stores return
// it, wrapped or bare, for everything that is neither the caller's mistake nor
// the end of the caller's context.
type StoreError struct {
	Class FaultClass
	Op    string // what was being done, in lower case: "claim jobs"
	Err   error  // the driver's error
}

// Error returns "offstage: op: cause".
func (e *StoreError) Error() string { return "offstage: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the driver's error.
func (e *StoreError) Unwrap() error { return e.Err }

// ClassOf returns the class of a store's error, FaultUnknown when it has none.
func ClassOf(err error) FaultClass {
	var fault *StoreError
	if errors.As(err, &fault) {
		return fault.Class
	}
	return FaultUnknown
}
