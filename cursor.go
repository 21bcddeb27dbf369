package offstage

import (
	"context"
	"errors"
	"time"
)

// Cursor is how far a loop over many things has come. It is saved now and then
// while the loop runs, and when the attempt is interrupted, so that a later
// attempt goes on from there. Make it with [OpenCursor]. It is for one goroutine.
type Cursor[C any] struct {
	memory *Memory
	name   string
	every  time.Duration
	items  int // 0: unbounded

	value C
	found bool
	saved time.Time // when
	since int       // items that are not saved
}

// CursorOption changes how a cursor is saved.
type CursorOption func(*cursorConfig) error

type cursorConfig struct {
	every time.Duration
	items int
}

// DefaultSaveEvery is how often a cursor is saved while its loop runs.
const DefaultSaveEvery = time.Second

// SaveEvery bounds what is repeated after the process has died: the cursor is
// saved at the first Set after d (0: [DefaultSaveEvery]) since it was saved last,
// or after so many items (0: any number), whichever comes first. Each save costs
// a commit.
func SaveEvery(d time.Duration, items int) CursorOption {
	return func(c *cursorConfig) error {
		if d < 0 || items < 0 {
			return invalid("save every", "%s or %d items: neither can be negative", d, items)
		}
		if c.items = items; d > 0 {
			c.every = d
		}
		return nil
	}
}

// OpenCursor returns the cursor of this name as earlier attempts of the job have
// left it. Its value must marshal to JSON; a key by which the loop can go on, such
// as the last id, is better than a number of rows. Like a step it has a name of
// its own in the job and cannot be opened twice in an attempt, or inside a step:
// [Step] has the rules and the errors.
func OpenCursor[C any](ctx context.Context, name string, options ...CursorOption) (*Cursor[C], error) {
	config := cursorConfig{every: DefaultSaveEvery}
	for _, option := range options {
		if err := option(&config); err != nil {
			return nil, err
		}
	}
	m, err := memoryOf(ctx, name)
	if err != nil {
		return nil, err
	}
	known, err := m.begin(ctx, name, StepCursor)
	if err != nil {
		return nil, err
	}
	c := &Cursor[C]{memory: m, name: name, every: config.every, items: config.items, saved: time.Now()}
	if known != nil {
		c.found = true
		if c.value, err = decodeStep[C](m, known); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Value returns how far the loop has come: what was given to Set last, by this
// attempt or an earlier one; false if nobody has yet.
func (c *Cursor[C]) Value() (C, bool) { return c.value, c.found }

// Set notes that the loop has come as far as value: all up to it is done. It
// saves when that is due, and else costs next to nothing. When the attempt is to
// end (see [Interrupted]), it saves and returns an error for the handler to
// return.
func (c *Cursor[C]) Set(ctx context.Context, value C) error {
	c.value, c.found = value, true
	c.since++
	if err := Interrupted(ctx); err != nil {
		return errors.Join(err, c.Save(ctx))
	}
	if c.items > 0 && c.since >= c.items || time.Since(c.saved) >= c.every {
		return c.Save(ctx)
	}
	return nil
}

// Save saves now, if there is anything to save: after the loop, or before
// something that must not be repeated.
func (c *Cursor[C]) Save(ctx context.Context) error {
	if c.since == 0 {
		return nil
	}
	value, err := encodeStep(c.name, c.value)
	if err != nil {
		return err
	}
	if err := c.memory.remember(ctx, NewStep{Name: c.name, Kind: StepCursor, Tries: 1, Took: time.Since(c.saved), Value: value}); err != nil {
		return err
	}
	c.saved, c.since = time.Now(), 0
	return nil
}
