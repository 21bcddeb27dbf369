package postgres

import (
	"context"
	"sync"
	"time"
)

const (
	// groupRows bounds what one statement of a group stores.
	groupRows = 2000
	// groupWait is how long a group waits for those who had a part in the group
	// before it, beside those who waited meanwhile. Who comes alone never waits.
	groupWait = 100 * time.Microsecond
	// restAfterVain is how many groups wait for no more than the one before them had,
	// after one has waited in vain.
	restAfterVain = 16
)

// groups commits the work of many callers together: while one group is on its way
// to the server, the next gathers. Who comes while none is on its way is stored alone,
// at once, and on the caller's own goroutine: to wake another takes longer than much of
// what it would do.
//
// Callers that do one thing after the other come back when they are answered. If the
// next group did not wait for them, they would have the group after it, in turns with
// those who came meanwhile: two groups of half the size, each of which costs nearly
// as much.
type groups[M member] struct {
	flush   func(ctx context.Context, group []M) (answer func()) // stores a group; answer tells its members
	running sync.WaitGroup                                       // who sends groups, while there are any

	mu      sync.Mutex // guards the rest
	stopped bool
	sending bool
	waiting []M
	rest    int           // groups that do not wait for all, since one did in vain
	want    int           // members for which the next group waits; 0: it does not
	full    chan struct{} // takes a token when want have come
}

// member is one caller's part of a group.
type member interface {
	weight() int          // in rows
	answer() <-chan error // gets one error, or nil
}

func newGroups[M member](flush func(context.Context, []M) func()) *groups[M] {
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
	alone, err := g.enter(op, m)
	if err != nil {
		return err
	}
	if alone {
		g.lead(ctx, m)
	}
	select {
	case err := <-m.answer():
		return err
	case <-ctx.Done():
		return fault(ctx, op, ctx.Err(), true)
	}
}

// enter has m wait for the next group or, if none is on its way, tells its caller to
// send it alone.
func (g *groups[M]) enter(op string, m M) (alone bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false, closedError(op)
	}
	if !g.sending {
		g.sending = true
		g.running.Add(1)
		return true, nil
	}
	g.waiting = append(g.waiting, m)
	if len(g.waiting) == g.want {
		g.want = 0
		g.full <- struct{}{}
	}
	return false, nil
}

// lead sends m alone, and leaves those who came meanwhile to run.
func (g *groups[M]) lead(ctx context.Context, m M) {
	defer g.running.Done()
	g.flush(ctx, []M{m})()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		g.running.Go(g.run)
	} else {
		g.sending = false
	}
}

// run sends group after group until nobody waits. Of many callers none can call it off.
func (g *groups[M]) run() {
	for {
		group := g.next()
		if len(group) == 0 {
			return
		}
		answer := g.flush(context.Background(), group)
		n := g.comeBack(len(group))
		answer()
		if len(group) > 1 {
			g.gather(n)
		}
	}
}

// comeBack returns how many members the next group may have, if those of this one come
// back that are about to be answered.
func (g *groups[M]) comeBack(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rest > 0 {
		g.rest--
		return n
	}
	return n + len(g.waiting)
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
	} else {
		g.rest = restAfterVain
	}
	g.want = 0
}
