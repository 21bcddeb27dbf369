package worker

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// book is what this process believes that it holds: its free slots, its claims,
// and the attempts that have not ended.
type book struct {
	mu       sync.Mutex
	free     []int               // guarded by mu: slots of each pool
	claiming map[int64]bool      // guarded by mu: the Seqs of the claims in flight
	claims   map[claimKey]*claim // guarded by mu: until their release is recorded
	live     []*attempt          // guarded by mu: claimed and not ended, in no order
	doubtful map[claimKey]bool   // guarded by mu: claims whose answer was lost
	wakeIn   int                 // guarded by mu: freed slots until hungry is signalled; negative: never
	hungry   signal              // wakes the fetching goroutine
	quiet    signal              // an attempt has ended
}

type claimKey struct {
	session *session
	seq     int64
}

// claim is a claim row that the store holds for this process.
type claim struct {
	claimKey
	open int    // guarded by book.mu: jobs whose end is not recorded
	last signal // guarded by book.mu: one is open; nil: nobody waits for that
}

// attempt is one claimed job on its way through this process.
type attempt struct {
	job   offstage.Job[json.RawMessage] // as its handler gets it
	claim *claim
	pool  int // index into Config.Pools
	kind  *kind
	marks marks
	// execution is what the handler reaches by its context.
	execution execution
	// entering holds up the attempts of later ranks; nil once the handler was
	// entered, or will not be soon. It belongs to the attempt's goroutine.
	entering *sync.WaitGroup
	stay     *stay // in the ward, of a suspect; nil: it has not come there
	place    place // in the ward, of one that is no suspect

	index     int       // guarded by book.mu: in book.live
	ignoring  time.Time // guarded by book.mu: since when its end was seen to be ignored
	reported  bool      // guarded by book.mu: as deaf
	settling  bool      // guarded by book.mu: the handler has returned
	abandoned bool      // guarded by book.mu: the worker has written its end and left
}

// marks are what a claim says of a job beside its facts.
type marks struct{ argsDeferred, missing, cancelAsked, kindPaused bool }

func newBook(pools []Pool, hungry signal) *book {
	b := &book{
		hungry: hungry, wakeIn: -1,
		claiming: map[int64]bool{}, claims: map[claimKey]*claim{}, doubtful: map[claimKey]bool{}, quiet: newSignal(),
	}
	for _, pool := range pools {
		b.free = append(b.free, pool.Slots)
	}
	return b
}

// begin notes that a claim is being made; its Seq may turn up in the store at
// any time from now.
func (b *book) begin(seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claiming[seq] = true
}

// maxDoubtful bounds what is remembered through a long outage. What is forgotten
// is found a beat later.
const maxDoubtful = 1000

// fail notes that a claim was not made or, with doubt, that nobody knows.
func (b *book) fail(s *session, seq int64, doubt bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.claiming, seq)
	if doubt {
		if len(b.doubtful) >= maxDoubtful {
			clear(b.doubtful)
		}
		b.doubtful[claimKey{s, seq}] = true
	}
}

// enter notes what a claim brought and takes the slots for it. Attempts have
// their pools by then, nothing else.
func (b *book) enter(s *session, seq int64, attempts []*attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.claiming, seq)
	if len(attempts) == 0 {
		return
	}
	c := &claim{claimKey: claimKey{s, seq}, open: len(attempts)}
	b.claims[c.claimKey] = c
	for _, a := range attempts {
		a.claim, a.index = c, len(b.live)
		b.live = append(b.live, a)
		b.free[a.pool]--
	}
}

// adopt notes a claim that was found in the store, with so many open jobs, so
// that they can be handed back. It answers nil if it is known by now.
func (b *book) adopt(s *session, seq int64, open int) *claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := claimKey{s, seq}
	delete(b.doubtful, key)
	if b.claims[key] != nil {
		return nil
	}
	c := &claim{claimKey: key, open: open}
	b.claims[key] = c
	return c
}

// leave notes that an attempt has ended here, hands its end on by record, and
// frees its slot. It does nothing if the worker has left before. Whoever sees
// that no attempt is left finds all their ends with the recorder.
func (b *book) leave(a *attempt, record func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.abandoned {
		return
	}
	record()
	b.free[a.pool]++
	last := len(b.live) - 1
	b.live[a.index], b.live[last].index = b.live[last], a.index
	b.live[last] = nil
	b.live = b.live[:last]
	b.quiet.set()
	if b.wakeIn--; b.wakeIn == 0 {
		b.hungry.set()
	}
}

// slots returns the free slots of each pool. Until it is asked again, it does
// not wake the fetching goroutine for each slot that becomes free.
func (b *book) slots() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeIn = -1
	return append([]int(nil), b.free...)
}

// wakeAfter wakes the fetching goroutine once so many more slots have become
// free since slots was asked.
func (b *book) wakeAfter(free []int, more int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range free {
		more -= max(b.free[i]-free[i], 0)
	}
	if b.wakeIn = more; more <= 0 {
		b.hungry.set()
	}
}

// cancel ends the contexts of the jobs' attempts that are here.
func (b *book) cancel(jobs []offstage.ID, cause error) {
	if len(jobs) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.live {
		if slices.Contains(jobs, a.job.ID) {
			a.execution.stop(cause)
		}
	}
}

// cancelAll ends the contexts of a session's attempts; nil means every session.
func (b *book) cancelAll(s *session, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.live {
		if s == nil || a.claim.session == s {
			a.execution.stop(cause)
		}
	}
}

// open returns the Seqs of a session's claims of which attempts have not ended.
func (b *book) open(s *session) map[int64]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	seqs := map[int64]bool{}
	for _, a := range b.live {
		if a.claim.session == s {
			seqs[a.claim.seq] = true
		}
	}
	return seqs
}

// cancelClaims ends the contexts of the attempts of these claims and returns how
// many there were.
func (b *book) cancelClaims(s *session, seqs map[int64]bool, cause error) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.live {
		if a.claim.session == s && seqs[a.claim.seq] {
			a.execution.stop(cause)
			n++
		}
	}
	return n
}

// knows reports whether a Seq that the store holds is accounted for, and if not,
// whether that is beyond doubt already.
func (b *book) knows(s *session, seq int64) (known, sure bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := claimKey{s, seq}
	return b.claims[key] != nil || b.claiming[seq], b.doubtful[key]
}

// running returns how many attempts have not ended.
func (b *book) running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.live)
}

// settles notes that the attempt's handler has returned, though the attempt keeps
// its slot until its end is known.
func (b *book) settles(a *attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.settling = true
}

// abandon gives up the attempts that have not ended: what their handlers return
// will not count. It returns those whose handlers run, and the number of others.
func (b *book) abandon() (deaf []*attempt, unsettled int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.live {
		a.abandoned = true
		if a.settling {
			unsettled++
		} else {
			deaf = append(deaf, a)
		}
	}
	b.live = nil
	return deaf, unsettled
}

// releases returns the claims that have no open job once these entries are
// recorded.
func (b *book) releases(entries []*entry) []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ending := map[*claim]int{}
	for _, entry := range entries {
		ending[entry.claim] += entry.ends
	}
	var seqs []int64
	for c, ends := range ending {
		if ends == c.open {
			seqs = append(seqs, c.seq)
		}
	}
	return seqs
}

// recorded notes that the entries are recorded, and forgets the claims that are
// released by that.
func (b *book) recorded(entries []*entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, entry := range entries {
		c := entry.claim
		if c.open -= entry.ends; c.open == 0 {
			delete(b.claims, c.claimKey)
		}
		if c.open <= 1 && c.last != nil {
			c.last.set()
		}
	}
}

// company returns what to wait for while other jobs of the attempt's claim are open,
// before the next look; nil: none is.
func (b *book) company(a *attempt) (wait <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := a.claim
	if c.open <= 1 {
		return nil
	}
	if c.last == nil {
		c.last = newSignal()
	}
	return c.last
}

// deafAfter is how long a handler may go on after its context ended before the
// log says that it ignores it.
const deafAfter = 5 * time.Second

// reportDeaf logs, once each, the handlers that ignore the end of their context.
func (b *book) reportDeaf(log *slog.Logger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.live {
		if a.reported || a.settling || !a.execution.overdue() {
			continue
		}
		if a.ignoring.IsZero() {
			a.ignoring = time.Now()
		} else if time.Since(a.ignoring) >= deafAfter {
			a.reported = true
			log.Warn("offstage: a handler ignores that its context has ended; it keeps its slot", "kind", a.job.Kind, "job", a.job.ID)
		}
	}
}
