package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// duty is a chore with how often it is done, how often while it finds nothing to
// do, and how many rows at a time.
type duty struct {
	chore offstage.Chore
	every time.Duration
	calm  time.Duration
	limit int
}

// duties are the leader's, beside promoting.
var duties = []duty{
	{offstage.Publish, 15 * time.Second, 30 * time.Second, 1000},
	{offstage.Unblock, 15 * time.Second, time.Minute, 500},
	{offstage.Sweep, 15 * time.Second, time.Minute, 500},
	{offstage.Rescan, 30 * time.Second, 30 * time.Second, 100},
	{offstage.Prune, 20 * time.Second, 2 * time.Minute, 1000},
	{offstage.Count, 5 * time.Second, 8 * time.Second, 1},
}

// The leader's times.
const (
	promoteEvery = time.Second
	promoteCalm  = 15 * time.Second // while heartbeats say that nothing is due
	promoteLimit = 1000
	promotePause = 5 * time.Millisecond  // between looks at what is due in a moment
	ringPause    = 20 * time.Millisecond // between looks that were asked for
	sweepEvery   = time.Minute           // for looks past the store's hints
	choreTime    = 10 * time.Second      // how long one call may take
)

// keepPromoting makes scheduled jobs ready when their time comes, until the term
// is over. It has a goroutine of its own, so that no other chore delays it.
func (e *engine) keepPromoting(ctx context.Context, term int64) {
	trouble := trouble{log: e.log, what: "promote scheduled jobs"}
	for {
		e.alarm.begin()
		report, err := e.chore(ctx, term, offstage.Promote, promoteLimit)
		if ctx.Err() != nil || notLeading(err) {
			return
		}
		trouble.note(err)
		wait := e.alarm.wait(e.together(promoteEvery))
		if report.Next > 0 {
			wait = min(max(report.Next, promotePause), wait)
		}
		if !report.More && !e.alarm.rest(ctx, wait) {
			return
		}
	}
}

// alarm says when the promoter looks next. A heartbeat that found nothing due puts
// it off, without waking it: an idle store is asked once a second, not twice, and an
// idle process wakes one goroutine.
type alarm struct {
	trusts bool   // heartbeats come as often as looks are wanted
	rang   signal // the next look is now

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu: until the next look; nil while the promoter does not wait
	at     time.Time   // guarded by mu: when that is
	looked time.Time   // guarded by mu: when the latest look began
	told   bool        // guarded by mu: the latest heartbeat knew what is due
}

func newAlarm(beat time.Duration) *alarm {
	return &alarm{trusts: beat <= promoteEvery, rang: newSignal()}
}

// begin notes that a look begins: it sees all that was committed so far.
func (a *alarm) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looked = time.Now()
	select {
	case <-a.rang:
	default:
	}
}

// wait returns how long to wait at most after a look: so long, or longer while
// heartbeats tell what is due.
func (a *alarm) wait(most time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told {
		return promoteCalm
	}
	return most
}

// rest waits for the next look: so long, unless the alarm rings or a heartbeat says
// otherwise. It reports whether ctx still lives.
func (a *alarm) rest(ctx context.Context, wait time.Duration) bool {
	a.mu.Lock()
	timer := time.NewTimer(wait)
	a.timer, a.at = timer, time.Now().Add(wait)
	looked := a.looked
	a.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-a.rang:
		pause(ctx, ringPause-time.Since(looked), nil)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = nil
	timer.Stop()
	return ctx.Err() == nil
}

// ring asks for a look at once.
func (a *alarm) ring() { a.rang.set() }

// hear takes in what a heartbeat that was sent then knew of what is due; see
// [offstage.Beat]. One that failed knew nothing.
func (a *alarm) hear(sent time.Time, due time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = a.trusts && due > 0
	if a.timer == nil || !sent.After(a.looked) { // the latest look knows more
		return
	}
	at := earlier(a.at, a.looked.Add(promoteEvery))
	if a.told {
		at = earlier(sent.Add(due), a.looked.Add(promoteCalm))
	}
	// A timer that is set later wakes the process at its former time all the same.
	if later := at.Sub(a.at); later >= 0 && later < promotePause {
		return
	}
	a.at = at
	if left := time.Until(at); left > 0 {
		a.timer.Reset(left)
	} else {
		a.rang.set()
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// keepTidying does the other chores, one at a time, until the term is over: a
// chore that hangs holds the others up for no longer than its time-out, and
// takes no more than one connection.
func (e *engine) keepTidying(ctx context.Context, term int64) {
	at := time.Now()
	due := make([]time.Time, len(duties))
	troubles := make([]trouble, len(duties))
	for i, duty := range duties {
		due[i] = at.Add(rand.N(min(duty.every, 5*time.Second)))
		troubles[i] = trouble{log: e.log, what: "do the chore " + duty.chore.String()}
	}
	sweep := at.Add(e.together(sweepEvery))
	for {
		next := sweep
		for i, duty := range duties {
			if !due[i].After(time.Now()) {
				report, err := e.chore(ctx, term, duty.chore, duty.limit)
				if ctx.Err() != nil || notLeading(err) {
					return
				}
				troubles[i].note(err)
				due[i] = time.Now().Add(e.together(duty.wait(report, err)))
			}
			if due[i].Before(next) {
				next = due[i]
			}
		}
		if !sweep.After(time.Now()) {
			wait := e.fetcher.looks.resting()
			if wait <= 0 {
				wait = jitter(sweepEvery)
				e.fetcher.looks.set(true)
				e.wake()
			}
			sweep = time.Now().Add(e.together(wait))
		}
		if !pause(ctx, max(time.Until(next), 0), nil) {
			return
		}
	}
}

// wait returns how long until the duty's next time.
func (d duty) wait(report offstage.ChoreReport, err error) time.Duration {
	switch {
	case report.More:
		return 0
	case err == nil && report.Done == 0:
		return jitter(d.calm)
	}
	return jitter(d.every)
}

// jitter shortens a wait by up to an eighth.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/8+1) }

// chore makes one call, and looks for the jobs that it may have made ready.
func (e *engine) chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	call, cancel := context.WithTimeout(ctx, choreTime)
	defer cancel()
	report, err := e.store.Chore(call, term, chore, limit)
	if err == nil && report.Done > 0 && chore != offstage.Prune && chore != offstage.Count {
		e.look()
	}
	return report, err
}
