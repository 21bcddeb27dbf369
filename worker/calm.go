package worker

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
)

// calm says whether heartbeats may be twice as far apart: while this process is
// alone, holds nothing, and is told of whatever comes. What an idle process costs is
// what wakes it.
type calm struct {
	on      atomic.Bool
	stirred atomic.Bool // jobs came since the last heartbeat began
}

// stir notes that jobs came, and reports whether that ended a calm: then a heartbeat
// is due, as it would be by now without it.
func (c *calm) stir() (ended bool) {
	c.stirred.Store(true)
	return c.on.Load() && c.on.Swap(false)
}

// settle begins a calm, or ends it. One of the two sees jobs that come meanwhile.
func (c *calm) settle(on bool) {
	c.on.Store(on)
	if c.stirred.Load() {
		c.on.Store(false)
	}
}

// pace doubles a wait in a calm.
func (e *engine) pace(d time.Duration) time.Duration {
	if e.calm.on.Load() {
		return 2 * d
	}
	return d
}

// spread shortens a wait by up to an eighth, so that processes do not move in step,
// unless there is only this one.
func (e *engine) spread(d time.Duration) time.Duration {
	if e.calm.on.Load() {
		return d
	}
	return d - rand.N(d/8+1)
}

// mayCalm reports whether a calm is harmless after a heartbeat's answer: there is
// nobody to be observed and nothing to be cancelled or handed back, and one
// heartbeat may still be lost before the lease is.
func (e *engine) mayCalm(beat *offstage.Beat) bool {
	return len(beat.Peers)+len(beat.Held) == 0 && !e.book.holds() && e.knocks.working() && e.config.Lease >= beatsPer*e.config.Beat
}
