package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// session is one registration of this process. A process that was taken for
// dead gets another.
type session struct{ id offstage.WorkerID }

// lease knows how long this process may rely on what it has claimed.
//
// Two things end by it, apart: no job starts unless a beat succeeded within
// length - margin; and when the store was silent for that long, the handlers are
// cancelled, so that they are over before anybody can take their jobs. Silence
// is not the same as a server that is down: while it is, nobody can.
type lease struct {
	length, margin, beat time.Duration
	clock                func() moment

	mu       sync.Mutex
	session  *session      // guarded by mu: nil while there is none
	renewed  moment        // guarded by mu: when the last beat that succeeded was sent
	quiet    moment        // guarded by mu: since when the store may have been serving others but not us
	down     moment        // guarded by mu: the first of a series of "down" answers; zero: none
	lastDown moment        // guarded by mu: the latest of them
	jumped   moment        // guarded by mu: when the wall clock was found far ahead of the monotonic one; zero: not
	refused  bool          // guarded by mu: a start was, since the last renewal
	changed  chan struct{} // guarded by mu: closed and replaced when the lease is lost, or renewed after a start was refused
}

func newLease(config Config, clock func() moment) *lease {
	return &lease{
		length: config.Lease, margin: min(config.Lease/5, time.Second), beat: config.Beat,
		clock: clock, changed: make(chan struct{}),
	}
}

// open begins a session whose registration was sent at that moment.
func (l *lease) open(s *session, sent moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
	l.renew(sent)
}

// lose ends a session, if it is the current one.
func (l *lease) lose(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == s {
		l.session = nil
		l.tell()
	}
}

// heard notes how a beat ended that was sent at that moment. It reports whether jobs
// may start again that were refused.
func (l *lease) heard(sent moment, err error) (revived bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		return l.renew(sent)
	}
	var fault *offstage.StoreError
	if !errors.As(err, &fault) || fault.Class != offstage.FaultDown {
		l.down, l.lastDown = moment{}, moment{}
		return false
	}
	at := l.clock()
	if l.down.mono.IsZero() {
		l.down = at
	}
	l.lastDown = at
	// Down for this long, every observer has missed a beat as well and begins
	// its observation anew when the server is back.
	if sent.since(l.down) >= 2*l.beat {
		l.quiet = sent
	}
	return false
}

// renew is called with mu held. It reports whether starts were refused before.
func (l *lease) renew(sent moment) (revived bool) {
	l.renewed, l.quiet = sent, sent
	l.down, l.lastDown, l.jumped = moment{}, moment{}, moment{}
	revived, l.refused = l.refused, false
	if revived {
		l.tell()
	}
	return revived
}

// tell is called with mu held.
func (l *lease) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// current returns the session, nil while there is none.
func (l *lease) current() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// valid reports whether a job of this session may start at this moment, which is now.
// If not, changed is closed when that may have become different.
func (l *lease) valid(s *session, at moment) (ok bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok = s != nil && l.session == s && at.since(l.renewed) < l.length-l.margin
	l.refused = l.refused || !ok
	return ok, l.changed
}

// silent reports whether the handlers must be cancelled now; if not, after how
// long to ask again. With beat, a beat should be sent at once.
func (l *lease) silent() (lost, beat bool, again time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, limit := l.clock(), l.length-l.margin
	if l.session == nil {
		return false, false, limit
	}
	quiet := at.since(l.quiet)
	if quiet < limit {
		return false, false, limit - quiet
	}
	if !l.lastDown.mono.IsZero() && at.since(l.lastDown) < l.beat {
		return false, false, l.beat / 4
	}
	// Only the wall clock has moved: either it was set, which is harmless, or
	// the machine was suspended. A beat will tell, if it is answered soon.
	if at.mono.Sub(l.quiet.mono) < limit {
		if l.jumped.mono.IsZero() {
			l.jumped = at
			return false, true, l.margin
		}
		if left := l.margin - at.mono.Sub(l.jumped.mono); left > 0 {
			return false, false, left
		}
	}
	return true, false, l.length
}

// join registers this process, again and again until it succeeds. The error is
// one that trying again cannot cure, or nil when ctx has ended.
func (e *engine) join(ctx context.Context) (*session, error) {
	trouble := trouble{log: e.log, what: "register the worker"}
	wait := backoff{first: 100 * time.Millisecond, last: 2 * time.Second}
	for ctx.Err() == nil {
		sent := e.clock()
		call, cancel := context.WithTimeout(ctx, callTime)
		id, err := e.store.Register(call, e.info())
		cancel()
		if err == nil {
			trouble.note(nil)
			s := &session{id: id}
			e.lease.open(s, sent)
			e.wake()
			return s, nil
		}
		if ctx.Err() != nil {
			break
		}
		if hopeless(err) {
			return nil, err
		}
		trouble.note(err)
		pause(ctx, wait.next(), nil)
	}
	return nil, nil
}

// hopeless reports whether an error is one that no repeat can cure.
func hopeless(err error) bool {
	var bad *offstage.InvalidError
	return errors.Is(err, offstage.ErrClosed) || errors.Is(err, offstage.ErrNewerSchema) || errors.As(err, &bad)
}

// keepBeating says that this process lives, until ctx ends.
func (e *engine) keepBeating(ctx context.Context) {
	trouble := trouble{log: e.log, what: "send the worker's heartbeat"}
	observer := observer{lease: e.config.Lease, beat: e.config.Beat}
	retry := min(e.config.Beat/4, 250*time.Millisecond)
	for {
		sent := e.clock()
		err := e.beat(ctx, sent, &observer)
		if ctx.Err() != nil {
			return
		}
		trouble.note(err)
		if hopeless(err) {
			e.fail(err)
			return
		}
		wait := e.config.Beat - e.clock().mono.Sub(sent.mono)
		if err != nil {
			observer.restart()
			wait = retry
		}
		// News brings the next beat forward, but never by a storm of them.
		if !pauseLeast(ctx, retry, e.together(wait), e.beatNow) {
			return
		}
	}
}

// beat sends one heartbeat and heeds its answer.
func (e *engine) beat(ctx context.Context, sent moment, observer *observer) error {
	s := e.lease.current()
	if s == nil {
		return e.rejoin(ctx, observer)
	}
	believed := e.book.open(s)
	call, cancel := context.WithTimeout(ctx, 2*e.config.Beat)
	beat, err := e.store.Beat(call, s.id)
	cancel()
	if errors.Is(err, offstage.ErrGone) {
		e.log.Warn("offstage: this worker was taken for dead; its jobs are cancelled and it registers anew", "worker", s.id)
		e.lease.lose(s)
		e.book.cancelAll(s, offstage.ErrLeaseLost)
		return e.rejoin(ctx, observer)
	}
	revived := e.lease.heard(sent, err)
	e.alarm.hear(sent.mono, beat.Due)
	if err != nil {
		return err
	}
	if revived {
		e.wake()
	}
	if e.recorder.failing.Load() {
		e.recordNow.set()
	}
	e.book.cancel(beat.Cancels, offstage.ErrCancelled)
	e.compare(s, believed, beat.Held)
	for _, peer := range observer.observe(sent, e.clock(), beat.Peers) {
		e.rescues.add(peer)
	}
	return nil
}

// rejoin registers again, unless the worker stops anyway.
func (e *engine) rejoin(ctx context.Context, observer *observer) error {
	observer.restart()
	if e.isStopping() {
		return nil
	}
	_, err := e.join(ctx)
	return err
}

// keepWatch cancels the handlers when the store has been silent for too long,
// and reports those that do not obey. It is a goroutine of its own, since a
// beat can hang in a way that no context ends.
func (e *engine) keepWatch(ctx context.Context) {
	silent := false
	for {
		lost, beat, again := e.lease.silent()
		if lost && !silent {
			e.log.Warn("offstage: the store has been silent for too long; the running jobs are cancelled")
			e.book.cancelAll(e.lease.current(), offstage.ErrLeaseLost)
		}
		silent = lost
		if beat {
			e.beatNow.set()
		}
		e.book.reportDeaf(e.log)
		if !pause(ctx, e.together(min(again, time.Second)), nil) {
			return
		}
	}
}
