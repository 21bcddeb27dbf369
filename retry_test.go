package offstage_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

type busyError struct{ wait time.Duration }

func (busyError) Error() string               { return "busy" }
func (e busyError) RetryAfter() time.Duration { return e.wait }

func TestConclude(t *testing.T) {
	boom := errors.New("boom")
	minute := func(int) time.Duration { return time.Minute }
	policy := offstage.RetryPolicy{MaxAttempts: 3, Backoff: minute, Rules: []offstage.ErrorRule{
		{Match: offstage.Is(io.EOF), Then: offstage.Cancelled},
		{Match: offstage.As[*offstage.InvalidError](), Then: offstage.Failed},
		{Match: offstage.Is(io.ErrShortWrite), Then: offstage.Retrying, MaxAttempts: 10, Backoff: func(int) time.Duration { return time.Hour }},
	}}
	wrap := func(err error) error { return fmt.Errorf("handler: %w", err) }
	cases := []struct {
		name    string
		err     error
		cause   error
		errors  int
		outcome offstage.Outcome
		next    offstage.State
		wait    time.Duration
		carried int
	}{
		{"nil", nil, nil, 1, offstage.OutcomeCompleted, offstage.Completed, 0, 1},
		{"nil after a cancel", nil, offstage.ErrCancelled, 0, offstage.OutcomeCompleted, offstage.Completed, 0, 0},
		{"error", boom, nil, 0, offstage.OutcomeErrored, offstage.Retrying, time.Minute, 1},
		{"last error", boom, nil, 2, offstage.OutcomeErrored, offstage.Failed, 0, 3},
		{"timeout", boom, offstage.ErrTimeout, 0, offstage.OutcomeTimedOut, offstage.Retrying, time.Minute, 1},
		{"cancelled", boom, offstage.ErrCancelled, 0, offstage.OutcomeCancelled, offstage.Cancelled, 0, 0},
		{"shutdown", boom, offstage.ErrShutdown, 2, offstage.OutcomeInterrupted, offstage.Ready, 0, 2},
		{"lease lost", boom, offstage.ErrLeaseLost, 2, offstage.OutcomeInterrupted, offstage.Ready, 0, 2},
		{"Cancel", wrap(offstage.Cancel(boom)), nil, 0, offstage.OutcomeCancelled, offstage.Cancelled, 0, 0},
		{"Fail", wrap(offstage.Fail(boom)), nil, 0, offstage.OutcomeErrored, offstage.Failed, 0, 1},
		{"Snooze", offstage.Snooze(time.Second), nil, 2, offstage.OutcomeSnoozed, offstage.Scheduled, time.Second, 2},
		{"Snooze at shutdown", offstage.Snooze(time.Second), offstage.ErrShutdown, 0, offstage.OutcomeSnoozed, offstage.Scheduled, time.Second, 0},
		{"RetryAfter", wrap(offstage.RetryAfter(time.Second, boom)), nil, 0, offstage.OutcomeErrored, offstage.Retrying, time.Second, 1},
		{"RetryAfter of nothing", offstage.RetryAfter(time.Second), nil, 2, offstage.OutcomeErrored, offstage.Failed, 0, 3},
		{"another's RetryAfter", wrap(busyError{7 * time.Second}), nil, 0, offstage.OutcomeErrored, offstage.Retrying, 7 * time.Second, 1},
		{"rule discards", wrap(io.EOF), nil, 0, offstage.OutcomeErrored, offstage.Cancelled, 0, 1},
		{"rule fails", wrap(&offstage.InvalidError{}), nil, 0, offstage.OutcomeErrored, offstage.Failed, 0, 1},
		{"rule retries otherwise", wrap(io.ErrShortWrite), nil, 5, offstage.OutcomeErrored, offstage.Retrying, time.Hour, 6},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := offstage.Conclude(offstage.Ending{Errors: c.errors, Err: c.err, Cause: c.cause, Started: true}, policy)
			if got.Outcome != c.outcome || got.Next != c.next || got.Wait != c.wait || got.Errors != c.carried {
				t.Errorf("got %v %v wait %v errors %d; want %v %v %v %d",
					got.Outcome, got.Next, got.Wait, got.Errors, c.outcome, c.next, c.wait, c.carried)
			}
		})
	}
}

func TestConcludeLimits(t *testing.T) {
	boom := errors.New("boom")
	end := offstage.Ending{Errors: 24, Err: boom}
	if got := offstage.Conclude(end, offstage.RetryPolicy{}); got.Next != offstage.Failed {
		t.Errorf("the 25th failure leaves the job %v", got.Next)
	}
	end.MaxAttempts = 30
	if got := offstage.Conclude(end, offstage.RetryPolicy{MaxAttempts: 1}); got.Next != offstage.Retrying {
		t.Errorf("the job's own limit does not come first: %v", got.Next)
	}
	end.Errors, end.CreatedAt = 0, time.Unix(0, 0)
	end.Now = time.Unix(3590, 0)
	got := offstage.Conclude(end, offstage.RetryPolicy{Budget: time.Hour})
	if got.Next != offstage.Failed || !strings.Contains(got.Error, "budget") {
		t.Errorf("a retry past the budget: %v %q", got.Next, got.Error)
	}
}

func TestDefaultBackoffGrows(t *testing.T) {
	var total time.Duration
	for failed := 1; failed < offstage.DefaultMaxAttempts; failed++ {
		n := time.Duration(failed - 1)
		least := (n*n*n*n + 15) * time.Second
		wait := offstage.DefaultBackoff(failed)
		if wait < least || wait >= least+10*(n+1)*time.Second {
			t.Errorf("after %d failures %v; want from %v, less than %v more", failed, wait, least, 10*(n+1)*time.Second)
		}
		total += wait
	}
	if days := total.Hours() / 24; days < 16 || days > 18 {
		t.Errorf("25 attempts take %.1f days; the documentation says about 17", days)
	}
}
