package worker

import (
	"sync"
	"time"
)

// apartShare is what part of a lease a suspect and others are kept apart: long
// enough for what kills its process as soon as it runs, and short enough for those
// that wait.
const apartShare = 10

// ward keeps the suspect of this process apart from its other attempts: for a
// while after the start of one, the other does not start unless it has ended. So
// what kills its process within that time of its start does so with no suspect
// beside it, and a suspect that does is the one that did.
type ward struct {
	apart time.Duration
	open  func() // told when others may start again

	mu       sync.Mutex
	youngest *attempt // guarded by mu: the latest of the others that run; nil: none does
	stay     *stay    // guarded by mu: the suspect's; nil: others may start
}

// place is where an attempt stands among those that run in the ward, by their
// starts. It belongs to the ward.
type place struct {
	since          time.Time
	older, younger *attempt
}

// stay is the time of one suspect.
type stay struct {
	left  signal        // one of the others has left
	over  chan struct{} // closed when others may start
	timer *time.Timer
}

func newWard(apart time.Duration, open func()) *ward { return &ward{apart: apart, open: open} }

// enter lets an attempt start that is no suspect, and is to leave then; or it
// returns what to wait for before the next try.
func (w *ward) enter(a *attempt, at time.Time) (wait <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stay != nil {
		return w.stay.over
	}
	a.place = place{since: at, older: w.youngest}
	if w.youngest != nil {
		w.youngest.place.younger = a
	}
	w.youngest = a
	return nil
}

// leave says that the handler of one that has entered is over.
func (w *ward) leave(a *attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	older, younger := a.place.older, a.place.younger
	if older != nil {
		older.place.younger = younger
	}
	if younger != nil {
		younger.place.older = older
	} else {
		w.youngest = older
	}
	a.place = place{}
	if w.stay != nil {
		w.stay.left.set()
	}
}

// closed reports whether others may not start now.
func (w *ward) closed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stay != nil
}

// isolate begins the stay of a suspect: no other attempt starts from now on.
func (w *ward) isolate() *stay {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stay = &stay{left: newSignal(), over: make(chan struct{})}
	return w.stay
}

// young returns how long it will be until none of the others is young any more,
// unless the youngest leaves before.
func (w *ward) young(at time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.youngest == nil {
		return 0
	}
	return w.apart - at.Sub(w.youngest.place.since)
}

// begin says that the suspect starts: its stay ends after the time apart.
func (w *ward) begin(s *stay) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.timer = time.AfterFunc(w.apart, func() { w.end(s) })
}

// end ends a stay, if it has not ended.
func (w *ward) end(s *stay) {
	if s == nil {
		return
	}
	w.mu.Lock()
	current := w.stay == s
	if current {
		w.stay = nil
		close(s.over)
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	w.mu.Unlock()
	if current {
		w.open()
	}
}
