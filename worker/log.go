package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/offstagehq/offstage"
)

// capture keeps the first lines that an attempt logs.
type capture struct {
	mu      sync.Mutex
	kept    []offstage.LogLine // guarded by mu
	bytes   int                // guarded by mu
	dropped int                // guarded by mu
	closed  bool               // guarded by mu: the attempt has ended
	attrs   bytes.Buffer       // guarded by mu: of the line being added
}

// lines returns what was kept so far as JSON; nil if nothing was logged.
func (c *capture) lines() json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) == 0 {
		return nil
	}
	kept := c.kept
	if c.dropped > 0 {
		last := kept[len(kept)-1]
		kept = append(kept[:len(kept):len(kept)], offstage.LogLine{
			Time: last.Time, Level: slog.LevelWarn.String(),
			Message: fmt.Sprintf("%d more lines were dropped", c.dropped),
		})
	}
	encoded, err := json.Marshal(kept)
	if err != nil { // a year beyond 9999, from a record with a time of its own
		return nil
	}
	return encoded
}

// close is lines for the last time: what is logged later is not kept.
func (c *capture) close() json.RawMessage {
	lines := c.lines()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return lines
}

// add keeps a line whose attributes are what text writes into c.attrs.
func (c *capture) add(ctx context.Context, record slog.Record, text slog.Handler) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if len(c.kept) >= maxLogLines || c.bytes >= maxText {
		c.dropped++
		return nil
	}
	c.attrs.Reset()
	err := text.Handle(ctx, record)
	line := offstage.LogLine{Time: record.Time, Level: record.Level.String(), Message: clean(record.Message, maxText)}
	line.Attrs = clean(strings.TrimSuffix(c.attrs.String(), "\n"), maxText)
	if size := len(line.Message) + len(line.Attrs); c.bytes+size <= maxText {
		c.bytes += size
		c.kept = append(c.kept, line)
	} else {
		c.bytes = maxText // the first lines are kept, not those that happen to fit
		c.dropped++
	}
	return err
}

// tee is a slog.Handler that gives each line to the worker's own handler and
// keeps it with the attempt.
type tee struct {
	own  slog.Handler
	text slog.Handler // writes a record's attributes into kept.attrs
	kept *capture
}

func newTee(own slog.Handler, kept *capture) *tee {
	text := slog.NewTextHandler(&kept.attrs, &slog.HandlerOptions{Level: slog.Level(-1 << 20), ReplaceAttr: onlyAttrs})
	return &tee{own: own, text: text, kept: kept}
}

// onlyAttrs takes out what a line's own fields say.
func onlyAttrs(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) == 0 && (attr.Key == slog.TimeKey || attr.Key == slog.LevelKey || attr.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return attr
}

// Enabled says yes from Info up, though the worker's own log may want less.
func (t *tee) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || t.own.Enabled(ctx, level)
}

// Handle keeps a line and passes it on.
func (t *tee) Handle(ctx context.Context, record slog.Record) error {
	err := t.kept.add(ctx, record, t.text)
	if t.own.Enabled(ctx, record.Level) {
		err = t.own.Handle(ctx, record)
	}
	return err
}

// WithAttrs returns the handler for lines with these attributes.
func (t *tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &tee{own: t.own.WithAttrs(attrs), text: t.text.WithAttrs(attrs), kept: t.kept}
}

// WithGroup returns the handler for lines in this group.
func (t *tee) WithGroup(name string) slog.Handler {
	return &tee{own: t.own.WithGroup(name), text: t.text.WithGroup(name), kept: t.kept}
}
