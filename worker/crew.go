package worker

import (
	"context"
	"sync"
)

// crew is the goroutines that execute attempts. Whoever takes an attempt first
// sees to it that somebody is there for the next one, so that no attempt waits
// for another's handler; and goes on with the one after that when its own has
// ended. So handlers that wait have a goroutine each, while short ones share a
// few, whose stacks have grown to what handlers need.
type crew struct {
	running sync.WaitGroup

	mu      sync.Mutex
	waiting []*attempt // guarded by mu: in the order in which they start
	taken   int        // guarded by mu: of waiting, from its start
	ready   int        // guarded by mu: goroutines that are about to take one
}

// man adds attempts, which begin at once and in this order.
func (e *engine) man(work context.Context, attempts []*attempt) {
	if len(attempts) == 0 {
		return
	}
	c := &e.crew
	c.mu.Lock()
	c.waiting, c.taken = append(c.waiting[:0], c.waiting[c.taken:]...), 0
	c.waiting = append(c.waiting, attempts...)
	more := c.ready == 0
	if more {
		c.ready = 1
	}
	c.mu.Unlock()
	if more {
		e.enlist(work)
	}
}

// enlist starts a goroutine that executes attempts until none waits. A handler
// may end it by runtime.Goexit.
func (e *engine) enlist(work context.Context) {
	e.crew.running.Go(func() {
		base := context.WithoutCancel(work)
		for {
			a, more := e.crew.take()
			if more {
				e.enlist(work)
			}
			if a == nil {
				return
			}
			e.execute(base, work, a)
			e.crew.back()
		}
	})
}

// take returns the next attempt, nil if there is none, and whether another
// goroutine is needed for those after it.
func (c *crew) take() (a *attempt, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready--
	if c.taken == len(c.waiting) {
		c.waiting, c.taken = c.waiting[:0], 0
		return nil, false
	}
	a = c.waiting[c.taken]
	c.waiting[c.taken] = nil
	c.taken++
	if more = c.taken < len(c.waiting) && c.ready == 0; more {
		c.ready = 1
	}
	return a, more
}

// back says that the caller is about to take the next one.
func (c *crew) back() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready++
}
