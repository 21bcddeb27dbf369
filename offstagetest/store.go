// Package offstagetest is what an application's own tests use: a store in
// memory, assertions about what was enqueued, [Drain] to run it, and [Twice] to
// find out whether a handler may run twice.
//
// The store keeps the whole contract of [offstage.Store] and takes Go's time,
// so that inside a bubble of testing/synctest days of waiting pass in no time.
package offstagetest

import (
	"context"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// Store is an [offstage.Store] in memory. It is safe for concurrent use and
// starts no goroutines. What it holds is gone with it; the zero value is not
// usable, call [NewStore].
//
// It has no database to give to a caller's transaction, so it has transactions
// of its own: see [Store.Begin].
type Store struct {
	mu sync.Mutex // guards all that follows

	closed  bool
	jobs    map[offstage.ID]*job
	ids     []offstage.ID // of jobs, ascending; some are gone
	queues  map[string]*queue
	kinds   map[string]*kind
	due     dueHeap
	claims  map[claimKey]*claim
	unique  map[string]*holder   // by key
	once    map[string]time.Time // keys of Once, and when they were taken
	signals map[string]signal    // by name
	plans   map[string]*plan     // by name
	// requests are those that were made, by key.
	requests map[string]*request

	workers  map[offstage.WorkerID]*member
	leader   leadership
	settings map[string][]byte
	watchers map[*watcher]bool

	lastID      offstage.ID
	lastWorker  offstage.WorkerID
	lastArrival int64
	lastPlan    int64

	undo *undoLog // nil: changes are for good
}

var (
	_ offstage.Store = (*Store)(nil)
	_ offstage.Waker = (*Store)(nil)
)

// job is all that there is to know of one job.
type job struct {
	offstage.Facts
	mode    offstage.UniqueMode // 0: not unique
	state   offstage.State
	dueAt   time.Time // when it became or becomes due
	readyAt time.Time // since when it is ready
	band    int       // where it is ready: 0 in front
	arrival int64     // names its one valid place in a lane or in the heap; 0: it is in none
	// run is that of the next start while the job waits, of the start under way
	// while it runs, and of its last attempt when it has ended.
	run      int
	errors   int
	lost     int
	waits    string
	claim    claimKey  // while it runs
	started  time.Time // when it was claimed
	attempts []attempt
	memory   memory
	waitKey  string // while it is blocked or scheduled: what it waits for, by a key
	progress *offstage.ProgressInfo
	cancel   bool // it runs, and is to be cancelled
	claimed  int  // claims that name it: while there are any, it is not forgotten
	deleted  bool // nobody sees it, but a claim names it
}

// attempt is an ended run, with the claim that it was ended under.
type attempt struct {
	offstage.Attempt
	claim int64
}

// queue is a named line of jobs.
type queue struct {
	paused bool
	lanes  [offstage.MaxPriority + 1][2]lane // by priority and band
	counts counts
}

// kind is what the store knows of a kind.
type kind struct {
	retention offstage.Retention
	paused    bool
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		jobs: map[offstage.ID]*job{}, queues: map[string]*queue{}, kinds: map[string]*kind{},
		claims: map[claimKey]*claim{}, unique: map[string]*holder{}, once: map[string]time.Time{}, signals: map[string]signal{}, plans: map[string]*plan{},
		requests: map[string]*request{},
		workers:  map[offstage.WorkerID]*member{}, settings: map[string][]byte{}, watchers: map[*watcher]bool{},
	}
}

// Migrate does nothing: there is no schema.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return nil
}

// Close makes every later call answer [offstage.ErrClosed] and ends what
// watches the store. Closing again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for w := range s.watchers {
		close(w.closed)
	}
	return nil
}

// lock begins a call: when it answers nil, the caller unlocks mu.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return offstage.ErrClosed
	}
	return nil
}

// find returns a job that people can see, or nil.
func (s *Store) find(id offstage.ID) *job {
	if j := s.jobs[id]; j != nil && !j.deleted {
		return j
	}
	return nil
}

// queueNamed returns the queue, which it makes if need be.
func (s *Store) queueNamed(name string) *queue {
	q := s.queues[name]
	if q == nil {
		q = &queue{}
		s.queues[name] = q
	}
	return q
}

// kindNamed returns the kind, which it makes if need be.
func (s *Store) kindNamed(name string) *kind {
	k := s.kinds[name]
	if k == nil {
		k = &kind{}
		s.kinds[name] = k
	}
	return k
}
