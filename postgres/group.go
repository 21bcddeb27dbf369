package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

const (
	// groupRows bounds what one statement of a group stores.
	groupRows = 2000
	// groupWait is how long a group waits for as many members as the group
	// before it had. A member that comes alone never waits.
	groupWait = 100 * time.Microsecond
)

// inserts commits the inserts of many callers together: while one group is on
// its way to the server, the next gathers.
type inserts struct {
	store   *Store
	running sync.WaitGroup // the goroutine that sends groups, while there are any

	mu      sync.Mutex // guards the rest
	stopped bool
	sending bool
	waiting []*member
	want    int           // members for which the next group waits; 0: it does not
	full    chan struct{} // takes a token when want have come
}

// member is one caller's jobs in a group.
type member struct {
	rows []row
	done chan error // of capacity 1
}

func (g *inserts) start(s *Store) {
	g.store, g.full = s, make(chan struct{}, 1)
}

// stop refuses new members and waits until all others have their answer.
func (g *inserts) stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.running.Wait()
}

// join stores rows with others'. When ctx ends first, they may still be stored.
func (g *inserts) join(ctx context.Context, rows []row) error {
	m := &member{rows: rows, done: make(chan error, 1)}
	if !g.enter(m) {
		return closedError("insert jobs")
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return fault(ctx, "insert jobs", ctx.Err(), true)
	}
}

func (g *inserts) enter(m *member) bool {
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
func (g *inserts) run() {
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
func (g *inserts) next() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, rows := 0, 0
	for n < len(g.waiting) && (n == 0 || rows+len(g.waiting[n].rows) <= groupRows) {
		rows += len(g.waiting[n].rows)
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
func (g *inserts) gather(n int) {
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

// flush stores a group and answers its members. If the data of one of them
// cannot be stored, each is tried alone.
func (g *inserts) flush(group []*member) {
	ctx := context.Background() // of many callers: none can call it off
	if len(group) == 1 {
		group[0].done <- g.store.store(ctx, group[0].rows, 0)
		return
	}
	var rows []row
	for _, m := range group {
		rows = append(rows, m.rows...)
	}
	err := g.store.store(ctx, rows, 0)
	if err != nil && offstage.ClassOf(err) == offstage.FaultData {
		for _, m := range group {
			m.done <- g.store.store(ctx, m.rows, 0)
		}
		return
	}
	for _, m := range group {
		for i := range m.rows {
			m.rows[i].id = rows[i].id // they may have been renumbered
		}
		rows = rows[len(m.rows):]
		m.done <- err
	}
}
