// Package worker runs jobs: it fetches them from a store, executes their
// handlers and records how they ended.
//
// # What runs
//
// [Worker.Run] owns every goroutine and returns when each has ended:
//
//	fetch ──claims──► execute (one goroutine per attempt) ──results──► record
//	  ▲                                                                  │
//	  └────────────────────────── freed slots ◄──────────────────────────┘
//	beat       says that the process lives; hears of cancels, held claims, dead peers
//	watch      cancels the handlers when the store has been silent for too long
//	rescue     frees the jobs of dead peers; hand back those of claims whose answer was lost
//	lead       asks for the leadership; the leader promotes, tidies up and prunes
//	knocks, progress, hooks
//
// While a pool has a backlog, a second claim is sent before the first is answered;
// claims start in the order in which they were sent.
//
// # What it promises
//
// A job is started only while the process's own lease is valid, and its handler
// is cancelled before others can take it for dead. Every attempt's end is
// recorded once, under the claim by which it was started, and is written again
// until the store has answered. What the store holds for this process and what
// the process believes are compared at each beat, so that a lost answer costs
// moments, not jobs.
//
// # When the store fails
//
//	down       running jobs go on; results wait in memory and are written first
//	           on return; as many as twice the slots, then nothing is fetched
//	silent     as down, and after the lease less a margin the handlers are cancelled
//	busy       the same call again, with growing pauses
//	bad data   the result that cannot be stored is found by halving its group
//	gone       this worker was taken for dead: all is cancelled, and it registers anew
//
// # What it costs
//
// A job that does nothing takes some ten microseconds of a processor, of which the
// garbage collector has the most where the process keeps little else in memory. The
// environment variable GOGC=400 then spares about a third.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// Worker runs the jobs of the kinds that it has handlers for. Make it with
// [New], register handlers with [Handle] and its family, then call Run, once.
type Worker struct {
	store  offstage.Store
	config Config
	clock  func() moment
	stop   chan struct{} // closed by Stop
	kill   chan struct{} // closed by Stop(true)

	mu      sync.Mutex
	kinds   map[string]*kind // guarded by mu until started
	started bool             // guarded by mu
	stopped bool             // guarded by mu
	killed  bool             // guarded by mu
}

// New returns a worker for the store. It starts nothing. The error is an
// [offstage.InvalidError] that names the field of the configuration.
func New(store offstage.Store, config Config) (*Worker, error) {
	if store == nil {
		return nil, invalid("store", "nil")
	}
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Worker{
		store: store, config: config, clock: now, kinds: map[string]*kind{},
		stop: make(chan struct{}), kill: make(chan struct{}),
	}, nil
}

// Run works until ctx ends or Stop is called. Then it fetches nothing more,
// gives the running jobs the grace period, cancels those that are left with
// [offstage.ErrShutdown] as the cause, hands back what has not ended, and
// returns nil. It returns at the latest two seconds after the grace period.
//
// The error names handlers that ignored the end of their context for a second
// (their goroutines go on, and their jobs are handed back all the same), results
// that the store did not take, or says why the store cannot be worked with. A
// store that is merely away is waited for.
//
// The context's values are the handlers' as well; its end is not.
func (w *Worker) Run(ctx context.Context) error {
	w.mu.Lock()
	if w.started {
		w.mu.Unlock()
		return errors.New("worker: Run was called before")
	}
	w.started = true
	w.mu.Unlock()
	return w.engine().run(ctx, w.stop, w.kill)
}

// Stop makes Run end as the end of its context does. With now, there is no
// grace: what runs is cancelled at once, as at a second Ctrl-C. It does not wait,
// and may be called at any time and many times.
func (w *Worker) Stop(now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.stopped = true
		close(w.stop)
	}
	if now && !w.killed {
		w.killed = true
		close(w.kill)
	}
}

// engine is a worker that runs: its parts, each with its own lock, and what
// joins them. The goroutines are methods whose names begin with keep.
type engine struct {
	store  offstage.Store
	waker  offstage.Waker // nil: the store cannot wake
	config Config
	kinds  map[string]*kind
	slots  int // of all pools
	clock  func() moment
	log    *slog.Logger
	began  time.Time

	lease      *lease
	book       *book
	fetcher    *fetcher
	recorder   *recorder
	strays     *strays
	rescues    *rescues
	reports    *reports
	hooks      *hooks
	knocks     knocks
	leadership leadership
	alarm      *alarm

	seq      int64         // of the latest claim; belongs to the fetching goroutine
	suspects chan struct{} // holds the one suspect that may run
	ward     *ward
	crew     crew
	hands    *hands

	hungry    signal // fetch: think again
	beatNow   signal // beat: do not wait
	recordNow signal // record: the store is back
	fireNow   signal // leader: a schedule may have changed
	startNow  signal // leader: a schedule for @reboot has changed
	peerDied  signal // lead: the leader may be dead

	stopping chan struct{} // closed when no job may start any more
	failed   chan struct{} // closed when the store cannot be worked with
	failOnce sync.Once
	failure  error // set before failed is closed
}

func (w *Worker) engine() *engine {
	e := &engine{
		store: w.store, config: w.config, kinds: w.kinds, clock: w.clock, log: w.config.Logger, began: time.Now(),
		lease: newLease(w.config, w.clock), recorder: newRecorder(), hands: newHands(), rescues: newRescues(),
		strays: &strays{more: newSignal()}, reports: newReports(),
		hooks:    &hooks{tell: w.config.OnChange, more: newSignal()},
		suspects: make(chan struct{}, 1), alarm: newAlarm(w.config.Beat),
		hungry: newSignal(), beatNow: newSignal(), recordNow: newSignal(), fireNow: newSignal(), startNow: newSignal(), peerDied: newSignal(),
		stopping: make(chan struct{}), failed: make(chan struct{}),
	}
	e.waker, _ = w.store.(offstage.Waker)
	e.book = newBook(w.config.Pools, e.hungry)
	e.fetcher = newFetcher(e)
	e.ward = newWard(w.config.Lease/apartShare, e.wake)
	for _, pool := range w.config.Pools {
		e.slots += pool.Slots
	}
	return e
}

// info is what others see of this worker.
func (e *engine) info() offstage.WorkerInfo {
	info := offstage.WorkerInfo{Name: e.config.Name, Slots: e.slots}
	seen := map[string]bool{}
	for _, pool := range e.config.Pools {
		for _, queue := range pool.Queues {
			if !seen[queue] {
				seen[queue] = true
				info.Queues = append(info.Queues, queue)
			}
		}
	}
	for name, kind := range e.kinds {
		info.Kinds = append(info.Kinds, offstage.Kind{Name: name, Retention: kind.keep})
	}
	return info
}

// fail ends the worker because of an error that no repeat can cure.
func (e *engine) fail(err error) {
	e.failOnce.Do(func() {
		e.failure = err
		close(e.failed)
	})
}

func (e *engine) isStopping() bool {
	select {
	case <-e.stopping:
		return true
	default:
		return false
	}
}
