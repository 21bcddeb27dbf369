package offstage

import (
	"context"
	"time"
)

// Observer answers those who look at jobs again and again while they wait: what
// it does costs no more than it must, and never counts a whole queue.
type Observer interface {
	// Look returns what [Inspector.Get] would of those jobs that exist, in the
	// order of ids, but for the arguments, what is carried beside them, the
	// result and the history. It is one query, however many jobs there are.
	Look(ctx context.Context, ids []ID) ([]JobInfo, error)
	// Place says how many jobs of its queue will be claimed before a ready job,
	// and stops counting at limit.
	Place(ctx context.Context, id ID, limit int) (Place, error)
	// Line says how many jobs of a queue are ready now, and stops counting at
	// limit. A queue that nobody knows is empty.
	Line(ctx context.Context, queue string, limit int) (Line, error)
}

// Place is where a job stands in its queue. The zero value is that of a job
// which is not ready, or does not exist.
type Place struct {
	Ready bool
	Ahead int  // jobs that are before it
	More  bool // there are more than Ahead
}

// Line is how long a queue is.
type Line struct {
	Ready  int           // jobs that may be claimed
	More   bool          // there are more than Ready
	Oldest time.Duration // how long the one that has waited longest of them has been ready
}

// Look returns what the store knows of those jobs that exist, in the order of
// ids, without their arguments, results and histories.
func (c *Client) Look(ctx context.Context, ids []ID) ([]JobInfo, error) {
	return c.store.Look(ctx, ids)
}

// Place says how many jobs of its queue will start before a ready job; it
// counts no further than limit.
func (c *Client) Place(ctx context.Context, id ID, limit int) (Place, error) {
	return c.store.Place(ctx, id, limit)
}

// Line says how many jobs of a queue are ready; it counts no further than limit.
func (c *Client) Line(ctx context.Context, queue string, limit int) (Line, error) {
	return c.store.Line(ctx, queue, limit)
}

// Setting returns the bytes that the store keeps under a name, after storing
// value if there were none: every process gets the same, as with a key that
// signs links. Names that begin with the name of a package and a slash belong
// to that package.
func (c *Client) Setting(ctx context.Context, name string, value []byte) ([]byte, error) {
	return c.store.Setting(ctx, name, value)
}
