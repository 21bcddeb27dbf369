package sqlite

import "time"

// looks are the times at which the writer looks for commits of others. A
// transaction is written to the log, then synced, and only then can others see
// it; this last step takes place in shared memory and raises no event. So one
// look is not enough after the log was written to.
type looks struct {
	store  *Store
	timer  *time.Timer     // runs while there are pauses
	at     time.Time       // when it ends
	pauses []time.Duration // the one under way, and those that are still to come
	quiet  int             // looks since the log was last written to
	heard  int64           // changes heard of before the latest look
}

var (
	othersPauses = []time.Duration{
		0, 1500 * time.Microsecond, 1500 * time.Microsecond, 2 * time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond,
		8 * time.Millisecond, 12 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond,
		160 * time.Millisecond, 320 * time.Millisecond,
	}
	// When this store itself has just written, it is hardly another's doing.
	ownPauses = []time.Duration{10 * time.Millisecond, 30 * time.Millisecond}
)

// written is called for each event; those of one transaction come as one burst.
// A look that is due soon anyway stays where it is, so that a steady stream of
// events neither puts it off nor hurries it.
func (l *looks) written() {
	pauses := othersPauses
	if l.store.wroteLately() {
		pauses = ownPauses
	}
	l.quiet = 0
	switch {
	case len(l.pauses) == 0:
		l.pauses = pauses
		l.pause(pauses[0])
	case len(l.pauses) < len(pauses):
		l.pauses = pauses
		if soon := pauses[1]; time.Until(l.at) > soon {
			l.pause(soon)
		}
	}
}

func (l *looks) pause(d time.Duration) {
	l.at = time.Now().Add(d)
	l.timer.Reset(d)
}

// look has the writer look, unless the look before has found what was written:
// that is so if it found something new and no event has come since the look
// before that.
func (l *looks) look() {
	heard := l.store.changes.Load()
	if l.quiet >= 2 && heard != l.heard {
		l.pauses = nil
		return
	}
	l.heard = heard
	l.quiet++
	l.store.poke()
	if l.pauses = l.pauses[1:]; len(l.pauses) > 0 {
		l.pause(l.pauses[0])
	}
}

// wroteLately reports whether this store is writing or has done so in the last
// milliseconds.
func (s *Store) wroteLately() bool {
	return s.writing.Load() || time.Now().UnixNano()-s.wroteAt.Load() < int64(5*time.Millisecond)
}
