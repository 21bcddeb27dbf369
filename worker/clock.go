package worker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/offstagehq/offstage"
)

// moment is a point in time by two clocks: the monotonic one, which stands
// still while the machine is suspended, and the wall clock, which does not but
// can be set.
type moment struct {
	mono time.Time
	wall time.Time // without a monotonic part
}

func now() moment {
	t := time.Now()
	return moment{mono: t, wall: t.Round(0)}
}

// since is the time from an earlier moment by the clock that says more: whoever
// asks wants to stop trusting early rather than late.
func (m moment) since(earlier moment) time.Duration {
	return max(m.mono.Sub(earlier.mono), m.wall.Sub(earlier.wall))
}

// signal wakes one goroutine. What is signalled while it is busy is not lost,
// and counts once.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// pause waits for d, the signal (may be nil) or the context's end, and reports
// whether the context still lives. A signal that has come is heeded by returning,
// also where there is nothing to wait for. A timer that is due when it is made is
// avoided: with the race detector, two at once in one bubble of virtual time can
// crash Go 1.26 (its timers of a bubble share one context of the detector).
func pause(ctx context.Context, d time.Duration, wake signal) bool {
	if d <= 0 {
		select {
		case <-wake:
		default:
		}
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-wake:
	}
	return ctx.Err() == nil
}

// pauseLeast is pause for d, of which the signal can cut short only what is longer
// than least: signals bring forward what follows, and a storm of them no more.
func pauseLeast(ctx context.Context, least, d time.Duration, wake signal) bool {
	began := time.Now()
	return pause(ctx, d, wake) && pause(ctx, min(least, d)-time.Since(began), nil)
}

// together shortens a wait of about a second or more, by half of it at most, so
// that it ends whole seconds after the engine began. To wake an idle process costs
// more than what its goroutines then do, so those that come back every second
// come back at once.
func (e *engine) together(d time.Duration) time.Duration {
	if d < 9*time.Second/10 {
		return d
	}
	return d - min((time.Since(e.began)+d)%time.Second, d/2)
}

// backoff spaces tries: the waits double from first to last, each shortened by
// up to a quarter at random so that processes do not move in step.
type backoff struct {
	first, last time.Duration
	wait        time.Duration
}

func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, b.first), b.last)
	return b.wait - rand.N(b.wait/4+1)
}

func (b *backoff) reset() { b.wait = 0 }

// trouble tells the log when something begins to fail and when it works again,
// and keeps quiet in between. It belongs to one goroutine.
type trouble struct {
	log   *slog.Logger
	what  string
	since time.Time // zero: all is well
}

func (t *trouble) note(err error) {
	switch {
	case err != nil && t.since.IsZero():
		t.since = time.Now()
		t.log.Warn("offstage: cannot "+t.what+"; trying again", "error", err, "fault", offstage.ClassOf(err).String())
	case err == nil && !t.since.IsZero():
		t.log.Info("offstage: can "+t.what+" again", "after", time.Since(t.since))
		t.since = time.Time{}
	}
}
