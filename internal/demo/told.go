package demo

import (
	"strings"

	"github.com/offstagehq/offstage"
)

// forUser begins the stored text of every error that was written for the user.
// All other errors are for operators, who see them on the jobs page.
const forUser = "for the user: "

// told is an error whose text its user may read.
type told struct {
	text  string
	cause error
}

// tell returns an error with a text for the user; the cause, which may be nil,
// is for programs.
func tell(text string, cause error) error { return &told{text, cause} }

// Error returns the text, marked so that it is known again when it comes back
// from the store.
func (t *told) Error() string { return forUser + t.text }

// Unwrap returns the cause.
func (t *told) Unwrap() error { return t.cause }

// untold returns a stored error's text for operators, who may read all.
func untold(text string) string { return strings.TrimPrefix(text, forUser) }

// userError returns what a job's user should know of its trouble; "" is none.
func userError(job offstage.JobInfo) string {
	switch job.State {
	case offstage.Cancelled, offstage.Failed, offstage.Retrying:
	default:
		return ""
	}
	if text, ok := strings.CutPrefix(job.Error, forUser); ok {
		return text
	}
	switch {
	case job.State == offstage.Cancelled:
		return "this was cancelled"
	case job.State == offstage.Retrying:
		return "the last attempt did not work; it is tried again by itself"
	case job.Outcome == offstage.OutcomeTimedOut:
		return "this took too long and was given up"
	}
	return "something went wrong on our side; it has been noted"
}
