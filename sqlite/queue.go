package sqlite

import (
	"sync"

	"github.com/offstagehq/offstage"
)

// op is one call's part of a transaction.
type op struct {
	run    func(*tx) error // may be run again after a rollback
	weight int             // about how many rows it writes
	mine   bool            // the writer has taken it
	err    error
	done   chan struct{} // closed when err is final

	// Of an insert, which may be carried out with others instead of run:
	jobs     []offstage.NewJob
	inserted []offstage.Inserted
}

// opQueue is what waits for the writer.
type opQueue struct {
	mu     sync.Mutex
	ops    []*op // guarded by mu, like closed
	closed bool
	signal chan struct{} // something is new; holds one
}

// maxWeight bounds the rows of a group: what a commit holds up.
const maxWeight = 5_000

func (q *opQueue) push(o *op) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.ops = append(q.ops, o)
	q.wake()
	return true
}

// wake tells the writer to look.
func (q *opQueue) wake() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// giveUp takes an op back that the writer has not taken yet.
func (q *opQueue) giveUp(o *op) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if o.mine {
		return false
	}
	for i := range q.ops {
		if q.ops[i] == o {
			q.ops = append(q.ops[:i], q.ops[i+1:]...)
			break
		}
	}
	return true
}

// take gives the writer its next group.
func (q *opQueue) take() (group []*op) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, weight := 0, 0
	for n < len(q.ops) && weight < maxWeight {
		q.ops[n].mine = true
		weight += q.ops[n].weight
		n++
	}
	group, q.ops = q.ops[:n:n], q.ops[n:]
	return group
}

func (q *opQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops)
}

// ended reports whether the queue is closed and nothing is left.
func (q *opQueue) ended() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed && len(q.ops) == 0
}

func (q *opQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}
