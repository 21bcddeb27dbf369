package postgres

import (
	"context"
	"sync"
	"time"
)

const (
	// groupRows bounds what one statement of a group stores.
	groupRows = 2000
	// groupWait is how long a group waits for as many members as the group
	// before it had. A member that comes alone never waits.
	groupWait = 100 * time.Microsecond
)

// groups commits the work of many callers together: while one group is on its way
// to the server, the next gathers.
type groups[M member] struct {
	flush   func(group []M) // stores a group and answers its members
	running sync.WaitGroup  // the goroutine that sends groups, while there are any

	mu      sync.Mutex // guards the rest
	stopped bool
	sending bool
	waiting []M
	want    int           // members for which the next group waits; 0: it does not
	full    chan struct{} // takes a token when want have come
}

// member is one caller's part of a group.
type member interface {
	weight() int          // in rows
	answer() <-chan error // gets one error, or nil
}

func newGroups[M member](flush func([]M)) *groups[M] {
	return &groups[M]{flush: flush, full: make(chan struct{}, 1)}
}

// stop refuses new members and waits until all others have their answer.
func (g *groups[M]) stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.running.Wait()
}

// join lets m be stored with others. When ctx ends first, it may still be stored.
func (g *groups[M]) join(ctx context.Context, op string, m M) error {
	if !g.enter(m) {
		return closedError(op)
	}
	select {
	case err := <-m.answer():
		return err
	case <-ctx.Done():
		return fault(ctx, op, ctx.Err(), true)
	}
}

func (g *groups[M]) enter(m M) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.waiting = append(g.waiting, m)
	if !g.sending {
		g.sending = true
		g.running.Go(g.run)
	}
	if len(g.waiting) == g.want {
		g.want = 0
		g.full <- struct{}{}
	}
	return true
}

// run sends group after group until nobody waits.
func (g *groups[M]) run() {
	for {
		group := g.next()
		if len(group) == 0 {
			return
		}
		g.flush(group)
		if len(group) > 1 {
			g.gather(len(group))
		}
	}
}

// next takes the members of the next group; none ends the goroutine.
func (g *groups[M]) next() []M {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, rows := 0, 0
	for n < len(g.waiting) && (n == 0 || rows+g.waiting[n].weight() <= groupRows) {
		rows += g.waiting[n].weight()
		n++
	}
	group := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	if n == 0 {
		g.waiting, g.sending = nil, false
	}
	return group
}

// gather waits a little until n members have come.
func (g *groups[M]) gather(n int) {
	g.mu.Lock()
	if len(g.waiting) >= n {
		g.mu.Unlock()
		return
	}
	g.want = n
	g.mu.Unlock()
	timer := time.NewTimer(groupWait)
	defer timer.Stop()
	select {
	case <-g.full:
		return
	case <-timer.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.want == 0 {
		<-g.full // it filled at the same moment
	}
	g.want = 0
}
