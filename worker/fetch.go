package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// fetcher is what the fetching goroutine knows. Everything but looks belongs to
// that goroutine alone.
type fetcher struct {
	looks looks

	flights  []*flight // the claims on their way, in the order in which they were sent
	backlog  []bool    // of each pool: its last claim was full, so there is probably more
	nextLook time.Time // when to look again though nobody knocked
	pending  backoff   // between looks while transactions are open
	poll     backoff   // between looks where nobody knocks
	failed   backoff   // between claims that fail
	retryAt  time.Time // no claim before
	gathered time.Time // since when freed slots are gathered; zero: they are not
	writes   int64     // of the recorder, when the gathering began
	awake    time.Time // since when there was work without a break; zero: idle
	asleep   *session  // the session that has told enqueuers to knock; nil: none
	others   bool      // the last claim's suspect is apart: now the others, which were handed back
	patience patience
	trouble  trouble
}

// flight is a claim on its way. What is below answered belongs to the goroutine that
// asks, until that is closed; the rest to the fetching one.
type flight struct {
	session  *session
	request  offstage.ClaimRequest
	free     []int // slots of each pool that it may fill
	poolOf   []int // the pool of each of its requests
	others   bool  // it is for what was handed back beside a suspect
	apart    bool  // a suspect of a claim that was sent before it starts
	began    time.Time
	answered chan struct{} // closed when what follows is there
	claim    offstage.Claim
	err      error
}

// looks are the pools that have to be looked at: something is new there.
type looks struct {
	mu    sync.Mutex
	all   bool // guarded by mu
	sweep bool // guarded by mu: look past the store's hints

	rested time.Time // guarded by mu: no sweep without a reason before
}

func (l *looks) set(sweep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = true
	l.sweep = l.sweep || sweep
}

func (l *looks) wanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

func (l *looks) take() (sweep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sweep = l.sweep
	l.all, l.sweep = false, false
	return sweep
}

// sweepRest is how many times as long as it took a sweep is followed by a rest: one
// walks over all that a held snapshot keeps from being removed.
const sweepRest = 100

// swept notes that a sweep is over that began at a time.
func (l *looks) swept(began time.Time) {
	at := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rested = at.Add(sweepRest * at.Sub(began))
}

// resting returns for how long still there should be no sweep without a reason.
func (l *looks) resting() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.rested)
}

// The fetching goroutine's times.
const (
	firstPoll    = 20 * time.Millisecond
	lastPoll     = 500 * time.Millisecond
	firstPending = 10 * time.Millisecond
	safetyLook   = 10 * time.Second      // though knocks work
	gatherTime   = 10 * time.Millisecond // freed slots wait for company
	busyTime     = 2 * time.Second       // of work without a break before the knocks are called off
)

// company is how many freed slots are worth a claim at once, if half of all are not
// fewer.
const company = 256

func newFetcher(e *engine) *fetcher {
	return &fetcher{
		backlog: make([]bool, len(e.config.Pools)),
		pending: backoff{first: firstPending, last: lastPoll},
		poll:    backoff{first: firstPoll, last: lastPoll},
		failed:  backoff{first: 50 * time.Millisecond, last: time.Second},
		trouble: trouble{log: e.log, what: "claim jobs"},
	}
}

// look says that there may be something new in the store.
func (e *engine) look() {
	e.fetcher.looks.set(false)
	e.wake()
}

// wake makes the fetching goroutine think again.
func (e *engine) wake() { e.hungry.set() }

// maxFlights is how many claims may be on their way at once: while one is answered
// the other is carried out, so that a long way to the store costs less time.
const maxFlights = 2

// keepFetching claims jobs for all pools together and starts them, until
// fetching ends. Calls of the store are made under work, so that a claim in
// flight at the stop still has an answer. Claims start in the order in which they
// were sent, whichever is answered first: nothing starts before a job of higher
// priority that an earlier claim took.
func (e *engine) keepFetching(fetching, work context.Context) {
	f := e.fetcher
	f.looks.set(false)
	for fetching.Err() == nil {
		if fl := f.landing(); fl != nil {
			e.land(work, fl)
			if fetching.Err() == nil && len(f.flights) == 0 {
				e.rest(work, fl.session)
			}
			continue
		}
		s, free, wait := e.plan()
		if wait > 0 {
			pause(fetching, wait, e.hungry)
			continue
		}
		e.fetch(work, s, free)
	}
	for len(f.flights) > 0 {
		<-f.flights[0].answered
		e.land(work, f.landing())
	}
}

// landing takes the claim that was sent first, if it is answered.
func (f *fetcher) landing() *flight {
	if len(f.flights) == 0 {
		return nil
	}
	fl := f.flights[0]
	select {
	case <-fl.answered:
		f.flights = f.flights[1:]
		return fl
	default:
		return nil
	}
}

// forever is the wait of a goroutine that will be woken.
const forever = time.Hour

// plan decides what to claim now, or how long to wait unless woken.
func (e *engine) plan() (s *session, free []int, wait time.Duration) {
	f, at := e.fetcher, time.Now()
	s = e.lease.current()
	if ok, _ := e.lease.valid(s, e.clock()); !ok {
		return nil, nil, forever
	}
	if len(f.flights) == maxFlights {
		return nil, nil, forever
	}
	// The slots before the results: whatever ends in between then counts once as a
	// result, and not as a free slot besides.
	slots := e.book.slots()
	free = f.left(slots)
	waiting, writing, full := e.recorder.backlog(e.slots)
	if full || e.recorder.failing.Load() || e.hooks.behind() || e.ward.closed() {
		return nil, nil, forever
	}
	if left := f.retryAt.Sub(at); left > 0 {
		return nil, nil, left
	}
	if len(f.flights) > 0 {
		return e.planNext(s, slots, free)
	}
	news := f.looks.wanted() || !f.nextLook.After(at)
	wanted, idle := 0, 0
	for i, n := range free {
		if news || f.backlog[i] {
			wanted += n
			idle += e.config.Pools[i].Slots
		}
	}
	if wanted == 0 {
		e.book.wakeAfter(slots, 1)
		if news {
			return nil, nil, forever
		}
		return nil, nil, max(f.nextLook.Sub(at), time.Millisecond)
	}
	enough := enoughOf(idle)
	if left := e.gather(at, wanted >= enough || !writing && waiting == 0); left > 0 {
		e.book.wakeAfter(slots, max(enough-wanted, 1))
		return nil, nil, left
	}
	return s, free, 0
}

// planNext is plan while a claim is on its way: another is for many slots of pools
// with a backlog, or for news to a pool without.
func (e *engine) planNext(s *session, slots, free []int) (*session, []int, time.Duration) {
	f := e.fetcher
	news := f.looks.wanted()
	wanted, busy := 0, 0
	for i, n := range free {
		switch {
		case f.backlog[i]:
			wanted += n
			busy += e.config.Pools[i].Slots
		case news && n > 0:
			return s, free, 0
		}
	}
	if busy == 0 {
		return nil, nil, forever
	}
	if more := enoughOf(busy) - wanted; more > 0 {
		e.book.wakeAfter(slots, more)
		return nil, nil, forever
	}
	return s, free, 0
}

// enoughOf returns how many freed slots of so many are worth a claim at once.
func enoughOf(slots int) int { return min((slots+1)/2, company) }

// left returns the free slots of each pool that no claim on its way may fill.
func (f *fetcher) left(slots []int) []int {
	free := slices.Clone(slots)
	for _, fl := range f.flights {
		for i, n := range fl.free {
			free[i] -= n
		}
	}
	return free
}

// gather lets freed slots wait for others while results are being written, so
// that short jobs are claimed by the batch. It returns for how long still.
func (e *engine) gather(at time.Time, enough bool) time.Duration {
	f, writes := e.fetcher, e.recorder.writes.Load()
	if !enough && f.gathered.IsZero() {
		f.gathered, f.writes = at, writes
	}
	left := gatherTime - at.Sub(f.gathered)
	if enough || left <= 0 || f.writes != writes {
		f.gathered = time.Time{}
		return 0
	}
	return left
}

// fetch sends one claim. If there is probably more than it takes, the next is sent
// before it is answered.
func (e *engine) fetch(work context.Context, s *session, free []int) {
	f := e.fetcher
	asked, poolOf := requests(e.config.Pools, free)
	e.seq++
	fl := &flight{
		session: s, free: free, poolOf: poolOf, others: f.others, began: time.Now(), answered: make(chan struct{}),
		request: offstage.ClaimRequest{Worker: s.id, Seq: e.seq, Pools: asked, Sweep: f.looks.take(), NoSuspects: f.others || len(e.suspects) > 0},
	}
	f.others = false
	f.flights = append(f.flights, fl)
	e.book.begin(fl.request.Seq)
	call, cancel := f.patience.limit(work)
	ask := func() {
		defer cancel()
		fl.claim, fl.err = e.store.Claim(call, fl.request)
		close(fl.answered)
	}
	if !slices.Contains(f.backlog, true) {
		ask()
		return
	}
	e.hands.Go(func() {
		ask()
		e.wake()
	})
}

// land starts what a claim brought.
func (e *engine) land(work context.Context, fl *flight) {
	f := e.fetcher
	f.patience.note(fl.err)
	f.trouble.note(fl.err)
	if fl.err != nil {
		e.fetchFailed(fl)
		return
	}
	f.failed.reset()
	if fl.request.Sweep {
		f.looks.swept(fl.began)
	}
	batch := e.enter(fl)
	e.noteClaim(fl)
	if fl.others {
		f.looks.set(false) // for the suspects that were left
	}
	if e.start(work, batch, fl.apart) {
		f.others = true
		for _, later := range f.flights {
			later.apart = true
		}
	}
}

func (e *engine) fetchFailed(fl *flight) {
	f := e.fetcher
	unknown := offstage.ClassOf(fl.err) == offstage.FaultUnknown && !errors.Is(fl.err, offstage.ErrGone)
	e.book.fail(fl.session, fl.request.Seq, unknown)
	f.others = f.others || fl.others
	if hopeless(fl.err) {
		e.fail(fl.err)
		return
	}
	// A lost answer may have taken jobs: the next beat shows them. It may also
	// have moved the store's hints past them.
	if unknown {
		e.beatNow.set()
	}
	f.looks.set(fl.request.Sweep || e.leading())
	f.retryAt = time.Now().Add(f.failed.next())
}

// noteClaim draws the conclusions of a claim for the next look.
func (e *engine) noteClaim(fl *flight) {
	f, at := e.fetcher, time.Now()
	got := make([]int, len(fl.free))
	for _, job := range fl.claim.Jobs {
		got[fl.poolOf[job.Pool]]++
	}
	more := false
	for i, n := range fl.free {
		if n > 0 {
			f.backlog[i] = got[i] >= n
		}
		more = more || f.backlog[i]
	}
	if len(fl.claim.Jobs) > 0 {
		f.poll.reset()
	}
	switch {
	case !more:
		f.awake = time.Time{}
	case f.awake.IsZero():
		f.awake = at
	}
	f.nextLook = at.Add(f.poll.next())
	if !fl.claim.Pending {
		f.pending.reset()
	} else if soon := at.Add(f.pending.next()); soon.Before(f.nextLook) || e.knocks.working() {
		f.nextLook = soon
	}
}

// rest tells enqueuers to knock before this worker stops looking, and not to
// when it has been busy for long. In between nothing is said: each change is a
// write.
func (e *engine) rest(work context.Context, s *session) {
	f := e.fetcher
	if !e.knocks.working() {
		f.asleep = nil
		return
	}
	idle := f.awake.IsZero() && !f.looks.wanted()
	switch {
	case idle && f.asleep != s:
		if e.sleep(work, s, true) {
			f.asleep = s
			f.looks.set(false) // the last look
		}
	case idle && f.pending.wait == 0:
		f.nextLook = time.Now().Add(e.together(safetyLook - rand.N(safetyLook/8)))
	case !idle && f.asleep == s && !f.awake.IsZero() && time.Since(f.awake) > busyTime:
		if e.sleep(work, s, false) {
			f.asleep = nil
		}
	}
}

// sleep reports whether the store was told; if not, this worker goes on polling.
func (e *engine) sleep(work context.Context, s *session, asleep bool) bool {
	call, cancel := context.WithTimeout(work, callTime)
	defer cancel()
	return e.waker.Sleep(call, s.id, asleep) == nil
}
