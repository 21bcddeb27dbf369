package offstage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// DefaultMaxAttempts is how often a job is tried when neither it nor its kind
// says otherwise.
const DefaultMaxAttempts = 25

// RetryPolicy says what happens to a job of a kind whose attempt failed. The
// zero value is the default policy. It is read by many goroutines: do not change
// it once a worker has it.
type RetryPolicy struct {
	// MaxAttempts counts attempts that fail; 0 means DefaultMaxAttempts. A job's
	// own limit comes first.
	MaxAttempts int
	// Backoff returns the wait before the next attempt, given how many failed,
	// from 1. nil means DefaultBackoff. Negative waits count as 0.
	Backoff func(failed int) time.Duration
	// Budget is how long after its enqueue a job may still be retried: if the
	// next attempt would begin later, it fails. 0 means without end.
	Budget time.Duration
	// Rules treat certain errors apart; the first that matches counts.
	Rules []ErrorRule
}

// ErrorRule treats errors of a kind's handler apart.
type ErrorRule struct {
	// Match reports whether the rule is for this error; use errors.Is or
	// errors.As in it, or [Is] and [As].
	Match func(error) bool
	// Then is what the job becomes: Failed, Cancelled (the job is discarded) or
	// Retrying (by Backoff and MaxAttempts below).
	Then        State
	Backoff     func(failed int) time.Duration // nil: the policy's
	MaxAttempts int                            // 0: the policy's
}

// Is returns a Match for errors that are target, by errors.Is.
func Is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// As returns a Match for errors of type E, by errors.As.
func As[E error]() func(error) bool {
	return func(err error) bool { var e E; return errors.As(err, &e) }
}

// DefaultBackoff waits n⁴ + 15 seconds and a random part of up to 10·(n+1)
// seconds, where n is how many attempts failed before the latest: 15 to 25 s
// first, about 17 days over 25 attempts. The formula is Sidekiq's.
func DefaultBackoff(failed int) time.Duration {
	n := float64(max(failed-1, 0))
	seconds := n*n*n*n + 15 + rand.Float64()*10*(n+1)
	return time.Duration(min(seconds, MaxDelay.Seconds()) * float64(time.Second))
}

// Check reports what is wrong with a policy, as an [InvalidError].
func (p RetryPolicy) Check() error {
	if p.MaxAttempts < 0 {
		return invalid("retry max attempts", "%d is negative", p.MaxAttempts)
	}
	if p.Budget < 0 {
		return invalid("retry budget", "%s is negative", p.Budget)
	}
	for i, rule := range p.Rules {
		if rule.Match == nil {
			return invalid(fmt.Sprintf("retry rule %d", i+1), "Match is nil")
		}
		if rule.Then != Failed && rule.Then != Cancelled && rule.Then != Retrying {
			return invalid(fmt.Sprintf("retry rule %d", i+1), "Then is %s; allowed are failed, cancelled, retrying", rule.Then)
		}
	}
	return nil
}

// Ending is how one attempt's handler returned: what [Conclude] needs to know.
type Ending struct {
	Facts
	Run     int
	Errors  int // attempts that failed before this one
	Lost    int // workers that died in a row before this attempt
	Err     error
	Cause   error     // why the handler's context was cancelled, if it was: ErrTimeout, ErrCancelled, ErrShutdown, ErrLeaseLost
	Now     time.Time // by the store's clock, as near as is known
	Started bool
}

// Conclude turns the end of an attempt into what becomes of its job. It is the
// one retry rule: it reads no clock and stores nothing (only the default backoff
// is random).
//
// A handler that returned nil completed its job, whatever happened to its
// context meanwhile. After a cancel or a shutdown, any other error is taken as
// the answer to it: the job is cancelled, or handed back without charge.
func Conclude(end Ending, policy RetryPolicy) Result {
	result := Result{Job: end.ID, Run: end.Run, Errors: end.Errors, Started: end.Started, UniqueKey: end.UniqueKey, Parent: end.Facts.Parent}
	if end.Err == nil {
		result.Outcome, result.Next = OutcomeCompleted, Completed
		return result
	}
	result.Error = end.Err.Error()
	var c *control
	switch {
	case errors.As(end.Err, &c) && c.next != Retrying:
		result.Outcome, result.Next, result.Wait = c.outcome, c.next, c.wait
		result.WaitKey, result.Waits = c.key, c.key
		switch c.next {
		case Failed:
			result.Errors++
		case Ready:
			result.Lost = end.Lost
		}
	case errors.Is(end.Cause, ErrCancelled):
		result.Outcome, result.Next = OutcomeCancelled, Cancelled
	case errors.Is(end.Cause, ErrShutdown), errors.Is(end.Cause, ErrLeaseLost):
		result.Outcome, result.Next, result.Lost = OutcomeInterrupted, Ready, end.Lost
	default:
		policy.retry(&result, end)
	}
	return result
}

// retry decides about an attempt that failed.
func (p RetryPolicy) retry(result *Result, end Ending) {
	result.Outcome = OutcomeErrored
	if errors.Is(end.Cause, ErrTimeout) {
		result.Outcome = OutcomeTimedOut
	}
	result.Errors++
	limit, backoff := p.limits(end)
	if rule, ok := p.rule(end.Err); ok {
		if rule.Then != Retrying {
			result.Next = rule.Then
			return
		}
		if rule.MaxAttempts > 0 {
			limit = rule.MaxAttempts
		}
		if rule.Backoff != nil {
			backoff = rule.Backoff
		}
	}
	if result.Errors >= limit {
		result.Next = Failed
		return
	}
	wait, asked := retryAfter(end.Err)
	if !asked {
		wait = backoff(result.Errors)
	}
	result.Next, result.Wait = Retrying, min(max(wait, 0), MaxDelay)
	if p.Budget > 0 && end.Now.Add(result.Wait).After(end.CreatedAt.Add(p.Budget)) {
		result.Next, result.Wait = Failed, 0
		result.Error += fmt.Sprintf(" (the time budget of %s for retries is used up)", p.Budget)
	}
}

func (p RetryPolicy) limits(end Ending) (limit int, backoff func(int) time.Duration) {
	limit, backoff = DefaultMaxAttempts, DefaultBackoff
	if p.MaxAttempts > 0 {
		limit = p.MaxAttempts
	}
	if end.MaxAttempts > 0 {
		limit = end.MaxAttempts
	}
	if p.Backoff != nil {
		backoff = p.Backoff
	}
	return limit, backoff
}

func (p RetryPolicy) rule(err error) (ErrorRule, bool) {
	for _, rule := range p.Rules {
		if rule.Match(err) {
			return rule, true
		}
	}
	return ErrorRule{}, false
}
