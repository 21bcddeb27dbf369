package offstage

import (
	"errors"
	"fmt"
	"time"
)

// control is an error by which a handler says more than that it failed.
type control struct {
	outcome Outcome
	next    State
	wait    time.Duration
	key     string // for Blocked: what is waited for
	err     error
}

func (c *control) Error() string {
	if c.err != nil {
		return c.err.Error()
	}
	switch c.next {
	case Scheduled:
		return fmt.Sprintf("snoozed for %s", c.wait)
	case Retrying:
		return fmt.Sprintf("to be retried after %s", c.wait)
	}
	return c.next.String()
}

func (c *control) Unwrap() error { return c.err }

// Cancel returns an error for a handler to return: the job ends cancelled, with
// err (may be nil) as the reason. It is not retried.
func Cancel(err error) error {
	return &control{outcome: OutcomeCancelled, next: Cancelled, err: err}
}

// Fail returns an error for a handler to return: the job ends failed with err
// (may be nil) as the reason, though attempts are left.
func Fail(err error) error {
	return &control{outcome: OutcomeErrored, next: Failed, err: err}
}

// Snooze returns an error for a handler to return: the job runs again after d,
// and this attempt counts neither as a success nor as a failure.
func Snooze(d time.Duration) error {
	return &control{outcome: OutcomeSnoozed, next: Scheduled, wait: max(d, 0)}
}

// RetryAfter returns an error for a handler to return: the attempt failed, for
// the reason given if any, and if attempts are left the next one comes after d
// instead of the policy's wait, as when a server answered Retry-After.
//
// An error of another package has the same effect if it, or one that it wraps,
// has a method RetryAfter() time.Duration with a positive answer.
func RetryAfter(d time.Duration, reason ...error) error {
	return &control{outcome: OutcomeErrored, next: Retrying, wait: max(d, 0), err: errors.Join(reason...)}
}

// retryAfter finds the wait that an error asks for.
func retryAfter(err error) (time.Duration, bool) {
	var c *control
	if errors.As(err, &c) && c.next == Retrying {
		return c.wait, true
	}
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) && asks.RetryAfter() > 0 {
		return asks.RetryAfter(), true
	}
	return 0, false
}
