package status

import (
	"strings"

	"github.com/offstagehq/offstage"
)

// forUser begins the stored text of every error that was written for the user.
const forUser = "for the user: "

// told is an error whose text its user may read.
type told struct {
	text  string
	cause error
}

// Tell returns an error for a handler to return, bare or in [offstage.Fail],
// [offstage.Cancel] or [offstage.RetryAfter]: its text is shown to the job's user
// as the reason. The cause, which may be nil, stays with the operators' programs.
// All other errors are for operators only.
func Tell(text string, cause error) error { return &told{text, cause} }

// Error returns the text, marked so that it is known again when it comes back
// from the store.
func (t *told) Error() string { return forUser + t.text }

// Unwrap returns the cause.
func (t *told) Unwrap() error { return t.cause }

// Untold returns a stored error's text for operators, who may read all, without
// the mark of [Tell].
func Untold(text string) string { return strings.TrimPrefix(text, forUser) }

// Message returns what a job's user should know of its trouble; "" is none.
func Message(job offstage.JobInfo) string {
	switch job.State {
	case offstage.Cancelled, offstage.Failed, offstage.Retrying:
		return messageOf(job.State, job.Outcome, job.Error)
	}
	return ""
}

// messageOf says what an attempt's end means for the job's user.
func messageOf(became offstage.State, outcome offstage.Outcome, text string) string {
	if text, ok := strings.CutPrefix(text, forUser); ok {
		return text
	}
	switch {
	case became == offstage.Cancelled:
		return "this was cancelled"
	case became == offstage.Retrying:
		return "the last attempt did not work; it is tried again by itself"
	case became != offstage.Failed:
		return ""
	case outcome == offstage.OutcomeTimedOut:
		return "this took too long and was given up"
	}
	return "something went wrong on our side; it has been noted"
}
