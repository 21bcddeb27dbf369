package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
)

// reign is one time of leading, with its term and the goroutines that do the
// chores.
type reign struct {
	session *session
	term    int64
	end     context.CancelFunc
	over    <-chan struct{} // closed when the chores found that the term is over
	chores  sync.WaitGroup
}

// stop ends the reign and waits for its goroutines.
func (r *reign) stop() {
	r.end()
	r.chores.Wait()
}

// leadership says whether this process leads, to those that only want to know.
type leadership struct{ leads atomic.Bool }

func (e *engine) leading() bool { return e.leadership.leads.Load() }

// keepLeading asks for the leadership, and leads when it has got it, until ctx
// ends; then it resigns. Leading only saves work: each chore carries its term.
func (e *engine) keepLeading(ctx, work context.Context) {
	ttl := 2 * e.config.Lease
	trouble := trouble{log: e.log, what: "ask for the leadership"}
	var r *reign
	var renewed moment
	for ctx.Err() == nil {
		s, sent := e.lease.current(), e.clock()
		if s != nil {
			call, cancel := context.WithTimeout(ctx, min(callTime, e.config.Lease))
			term, err := e.store.Lead(call, s.id, ttl)
			cancel()
			trouble.note(err)
			if err == nil {
				renewed = sent
				r = e.crown(ctx, r, s, term)
			}
		}
		if r != nil && e.clock().since(renewed) >= ttl {
			r = e.dethrone(r)
		}
		r = e.waitLeading(ctx, r)
	}
	if r != nil {
		e.dethrone(r)
		if _, err := e.store.Lead(work, r.session.id, 0); err != nil {
			e.log.Debug("offstage: the leadership was not resigned; it runs out", "error", err)
		}
	}
}

// crown begins, goes on with or ends a reign as the term says.
func (e *engine) crown(ctx context.Context, r *reign, s *session, term int64) *reign {
	if r != nil && (r.term != term || r.session != s) {
		r = e.dethrone(r)
	}
	if r != nil || term == 0 {
		return r
	}
	rule, end := context.WithCancel(ctx)
	r = &reign{session: s, term: term, end: end, over: rule.Done()}
	e.leadership.leads.Store(true)
	e.fetcher.looks.set(true) // whoever led before may have died
	e.wake()
	r.chores.Go(func() { defer end(); e.keepPromoting(rule, term) })
	r.chores.Go(func() { defer end(); e.keepTidying(rule, term) })
	r.chores.Go(func() { e.keepFiring(rule) })
	r.chores.Go(func() { e.keepStarting(rule) })
	return r
}

func (e *engine) dethrone(r *reign) *reign {
	e.leadership.leads.Store(false)
	r.stop()
	return nil
}

// waitLeading waits until it is time to ask again: after half of the time for
// which the leadership was asked, or at once when a peer has died.
func (e *engine) waitLeading(ctx context.Context, r *reign) *reign {
	var over <-chan struct{}
	if r != nil {
		over = r.over
	}
	timer := time.NewTimer(e.together(e.config.Lease))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-over:
		r = e.dethrone(r)
		pause(ctx, e.config.Beat, nil)
	case <-e.peerDied:
		if r != nil {
			e.fetcher.looks.set(true)
			e.wake()
		}
	}
	return r
}

// notLeading reports whether a chore's error says that the term is over.
func notLeading(err error) bool { return errors.Is(err, offstage.ErrNotLeading) }
