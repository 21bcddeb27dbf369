package offstage

import (
	"fmt"
	"slices"
)

// State says where in its life a job is. The zero value is not a state.
//
// The numbers are stored by the SQL stores and never change.
type State uint8

// The states of a job.
const (
	Scheduled State = 1 // waits for its time
	Ready     State = 2 // may be claimed
	Running   State = 3 // claimed by a worker
	Retrying  State = 4 // waits for its time after a failure
	Blocked   State = 5 // waits for something other than time
	Completed State = 6 // its handler returned nil
	Failed    State = 7 // gave up: needs a person
	Cancelled State = 8 // somebody, or its handler, called it off
)

var stateNames = []string{"", "scheduled", "ready", "running", "retrying", "blocked", "completed", "failed", "cancelled"}

// States lists every state in the order of a job's life.
func States() []State {
	return []State{Scheduled, Ready, Running, Retrying, Blocked, Completed, Failed, Cancelled}
}

// Terminal reports whether a job in this state has ended. Only an operator's
// retry opens it again.
func (s State) Terminal() bool { return s == Completed || s == Failed || s == Cancelled }

// Waiting reports whether a job in this state has neither ended nor is running.
func (s State) Waiting() bool {
	return s == Scheduled || s == Ready || s == Retrying || s == Blocked
}

// String returns the state's name as it stands in JSON, the CLI and the pages.
func (s State) String() string { return nameOf(stateNames, uint8(s), "state") }

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name; any other text is an [InvalidError].
func (s *State) UnmarshalText(text []byte) error {
	state, err := ParseState(string(text))
	if err != nil {
		return err
	}
	*s = state
	return nil
}

// ParseState returns the state with this name, or an [InvalidError] that lists
// the names there are.
func ParseState(name string) (State, error) {
	n, err := parseName(stateNames, name, "state")
	return State(n), err
}

// Outcome says how one attempt ended. The zero value means that it has not.
//
// The numbers are stored by the SQL stores and never change.
type Outcome uint8

// The outcomes of an attempt.
const (
	OutcomeCompleted   Outcome = 1 // the handler returned nil
	OutcomeErrored     Outcome = 2 // the handler returned an error or panicked
	OutcomeTimedOut    Outcome = 3 // the handler failed after its time was up
	OutcomeCancelled   Outcome = 4 // the job was called off, before or during the attempt
	OutcomeSnoozed     Outcome = 5 // the handler asked to be run later; costs no attempt
	OutcomeInterrupted Outcome = 6 // handed back, as at a deploy; costs no attempt
	OutcomeLost        Outcome = 7 // the worker died; counted apart
)

var outcomeNames = []string{"", "completed", "errored", "timed_out", "cancelled", "snoozed", "interrupted", "lost"}

// String returns the outcome's name as it stands in JSON, the CLI and the pages.
func (o Outcome) String() string { return nameOf(outcomeNames, uint8(o), "outcome") }

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an outcome's name; any other text is an [InvalidError].
func (o *Outcome) UnmarshalText(text []byte) error {
	n, err := parseName(outcomeNames, string(text), "outcome")
	if err != nil {
		return err
	}
	*o = Outcome(n)
	return nil
}

func nameOf(names []string, n uint8, what string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", what, n)
}

func parseName(names []string, name, field string) (int, error) {
	if n := slices.Index(names, name); n > 0 {
		return n, nil
	}
	return 0, invalid(field, "%q is not one of %v", name, names[1:])
}
