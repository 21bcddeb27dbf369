package worker

import (
	"context"
	"sync"
	"sync/atomic"
)

// hands is goroutines that wait for something to do, a few of them: their stacks have
// grown to what handlers and calls of the store need, which takes a new goroutine
// longer than a short handler.
type hands struct {
	running sync.WaitGroup
	tasks   chan func()   // not buffered: only who waits takes one
	waiting atomic.Int32  // that do
	over    chan struct{} // closed when they need not any more
}

// mostWaiting is how many goroutines wait; the others end.
const mostWaiting = 8

func newHands() *hands { return &hands{tasks: make(chan func()), over: make(chan struct{})} }

// Go runs do on a goroutine that waits or, if none does, on a new one. do may end it by
// runtime.Goexit.
func (h *hands) Go(do func()) {
	select {
	case h.tasks <- do:
	default:
		h.running.Go(func() {
			for task := do; task != nil; task = h.next() { // who waits keeps nothing of the last
				task()
			}
		})
	}
}

// next waits for the next task; nil ends the goroutine.
func (h *hands) next() (do func()) {
	if h.waiting.Add(1) <= mostWaiting {
		select {
		case do = <-h.tasks:
		case <-h.over:
		}
	}
	h.waiting.Add(-1)
	return do
}

// crew is the goroutines that execute attempts. Whoever takes an attempt first
// sees to it that somebody is there for the next one, so that no attempt waits
// for another's handler; and goes on with the one after that when its own has
// ended. So handlers that wait have a goroutine each, while short ones share a
// few.
type crew struct {
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
	e.hands.Go(func() {
		base := context.WithoutCancel(work)
		for again := false; ; again = true {
			a, more := e.crew.take(again)
			if more {
				e.enlist(work)
			}
			if a == nil {
				return
			}
			e.execute(base, work, a)
		}
	})
}

// take returns the next attempt, nil if there is none, and whether another
// goroutine is needed for those after it. The caller was ready, unless it takes again.
func (c *crew) take(again bool) (a *attempt, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !again {
		c.ready--
	}
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
