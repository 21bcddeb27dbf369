package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// caller is a member that does nothing.
type caller struct{ done chan error }

func (c *caller) weight() int          { return 1 }
func (c *caller) answer() <-chan error { return c.done }

// crowd runs groups that take a while each, and returns how many members each had.
func crowd(t *testing.T, takes time.Duration, callers func(join func())) (sizes []int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newGroups(func(_ context.Context, group []*caller) func() {
			sizes = append(sizes, len(group))
			<-time.After(takes)
			return func() {
				for _, c := range group {
					c.done <- nil
				}
			}
		})
		callers(func() {
			if err := g.join(t.Context(), "join", &caller{make(chan error, 1)}); err != nil {
				t.Error(err)
			}
		})
		g.stop()
	})
	return sizes
}

// Callers that come back when they are answered have one group together, though they
// began in two halves.
func TestCallersThatComeBackShareAGroup(t *testing.T) {
	const takes, each = 300 * time.Microsecond, 20
	sizes := crowd(t, takes, func(join func()) {
		var callers sync.WaitGroup
		for n := range 16 {
			callers.Go(func() {
				<-time.After(time.Duration(n/8) * takes / 2) // the second half comes while the first is on its way
				for range each {
					join()
				}
			})
		}
		callers.Wait()
	})
	whole := 0
	for _, size := range sizes {
		if size == 16 {
			whole++
		}
	}
	if whole < each-3 {
		t.Errorf("groups of %v; want nearly all of 16", sizes)
	}
}

// Where callers do not come back, hardly any group waits for them.
func TestGroupsDoNotWaitInVain(t *testing.T) {
	const takes, every, n = 300 * time.Microsecond, 50 * time.Microsecond, 2000
	var took atomic.Int64
	crowd(t, takes, func(join func()) {
		var callers sync.WaitGroup
		for range n {
			callers.Go(func() {
				began := time.Now()
				join()
				took.Add(int64(time.Since(began)))
			})
			<-time.After(every)
		}
		callers.Wait()
	})
	// Who comes in the middle of a group waits for half of it, and all of the next.
	if mean, usual := time.Duration(took.Load()/n), takes*3/2; mean > usual+groupWait/8 {
		t.Errorf("a caller waits for %v, not %v", mean, usual)
	}
}
