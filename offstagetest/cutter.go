package offstagetest

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/offstagehq/offstage"
)

// cutter is a store that cuts a handler off at one of the moments that it passes:
// the goroutine that comes there ends, and all that others of the attempt want of
// the store is refused.
type cutter struct {
	offstage.Store
	at int // the number of the moment, from 1; 0: none

	mu     sync.Mutex
	passed []string // guarded by mu: the moments so far, of all attempts
	dead   bool     // guarded by mu
	kill   func()   // guarded by mu: ends the attempt's context
}

// begin says how the attempt that begins is ended.
func (c *cutter) begin(kill func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill = kill
}

// dies passes a moment, and reports whether the attempt is dead.
func (c *cutter) dies(moment string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return true
	}
	c.passed = append(c.passed, moment)
	if c.dead = len(c.passed) == c.at; c.dead {
		c.kill()
	}
	return c.dead
}

func (c *cutter) isDead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// revive lets the next attempt live.
func (c *cutter) revive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = false
}

// around does a write of the handler's between two moments.
func (c *cutter) around(step offstage.NewStep, do func() error) error {
	if c.isDead() {
		return offstage.ErrLeaseLost
	}
	what := fmt.Sprintf("%s %q is remembered", step.Kind, step.Name)
	if c.dies("before " + what) {
		runtime.Goexit()
	}
	if err := do(); err != nil {
		return err
	}
	if c.dies("after " + what) {
		runtime.Goexit()
	}
	return nil
}

// Remember is the store's.
func (c *cutter) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	return c.around(step, func() error { return c.Store.Remember(ctx, hold, step, raise) })
}

// Recall is the store's, but that all sleeps are over.
func (c *cutter) Recall(ctx context.Context, hold offstage.Hold) ([]offstage.StepInfo, error) {
	if c.isDead() {
		return nil, offstage.ErrLeaseLost
	}
	steps, err := c.Store.Recall(ctx, hold)
	for i := range steps {
		steps[i].Left = 0
	}
	return steps, err
}

// Within is the store's.
func (c *cutter) Within(tx offstage.Tx) (offstage.TxStore, error) {
	within, err := c.Store.Within(tx)
	if err != nil {
		return nil, err
	}
	return cutterTx{within, c}, nil
}

// cutterTx is a cutter in a transaction.
type cutterTx struct {
	offstage.TxStore
	cutter *cutter
}

// Remember is the store's.
func (t cutterTx) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep) error {
	return t.cutter.around(step, func() error { return t.TxStore.Remember(ctx, hold, step) })
}
