package offstage

import (
	"sync"
	"time"
)

// crowd is who waits for news of jobs, each by a value of his own. They share one
// loop of looks, which runs only while there is anybody.
type crowd[M comparable] struct {
	mu      sync.Mutex
	byJob   map[ID][]M    // guarded by mu
	looking bool          // guarded by mu: the loop runs
	changed chan struct{} // tells the loop that byJob has changed
}

// join adds somebody, and starts the loop if nobody looks.
func (c *crowd[M]) join(id ID, member M, loop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byJob == nil {
		c.byJob, c.changed = map[ID][]M{}, make(chan struct{}, 1)
	}
	c.byJob[id] = append(c.byJob[id], member)
	if !c.looking {
		c.looking = true
		go loop()
	}
	c.tell()
}

func (c *crowd[M]) tell() {
	select {
	case c.changed <- struct{}{}:
	default: // it is told already
	}
}

// leave removes somebody who joined.
func (c *crowd[M]) leave(id ID, member M) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.byJob[id][:0]
	for _, other := range c.byJob[id] {
		if other != member {
			rest = append(rest, other)
		}
	}
	if c.byJob[id] = rest; len(rest) == 0 {
		delete(c.byJob, id)
	}
	if c.changed != nil {
		c.tell()
	}
}

// ids returns who is waited for; nil ends the loop.
func (c *crowd[M]) ids() []ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byJob) == 0 {
		c.looking = false
		return nil
	}
	ids := make([]ID, 0, len(c.byJob))
	for id := range c.byJob {
		ids = append(ids, id)
	}
	return ids
}

func (c *crowd[M]) anybody() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byJob) > 0
}

// pause waits for an interval, or until nobody waits. Somebody new brings the
// next look forward to soon from now, but never makes one of his own; news, which
// may be nil, to soon after the pause began. It reports whether somebody was new.
func (c *crowd[M]) pause(interval, soon time.Duration, news <-chan struct{}) (hurried bool) {
	began := time.Now()
	next := began.Add(interval)
	earlier := func(at time.Time) {
		if at.Before(next) {
			next = at
		}
	}
	for c.anybody() {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
			return hurried
		case <-c.changed:
			hurried = true
			earlier(time.Now().Add(soon))
		case <-news:
			earlier(began.Add(soon))
		}
		timer.Stop()
	}
	return hurried
}
