// Package faultstore wraps a Store so that its calls fail to order: before they
// are carried out, after (done, but the caller is told otherwise), or slowly,
// with each class of error. The engine above it has to keep every promise while
// the fault lasts and to go on when it ends.
package faultstore

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// Mode says when a call fails. The zero value fails nothing.
type Mode uint8

// The modes.
const (
	Before Mode = iota + 1 // the call is not carried out
	After                  // the call is carried out, and the caller is told that it failed
	Slow                   // the call is carried out after Fault.Delay, or fails when its context ends first
)

// String names the mode.
func (m Mode) String() string { return [...]string{"none", "before", "after", "slow"}[m] }

// Fault says which calls fail, and how.
type Fault struct {
	Method string // the contract's method, as in "Claim"; "" is every method
	Mode   Mode
	Class  offstage.FaultClass // of the error, for Before and After
	First  int                 // the first call of the method that fails, counted from 1; 0 means 1
	Count  int                 // how many fail; 0 means until Heal
	Delay  time.Duration       // for Slow
}

// errInjected is the cause of every failure that this package makes.
var errInjected = errors.New("injected fault")

// Store is a Store whose calls fail as its fault says. It is safe for concurrent
// use.
type Store struct {
	offstage.Store

	mu     sync.Mutex
	fault  Fault          // guarded by mu
	calls  map[string]int // guarded by mu: calls of each method since Break
	struck int            // guarded by mu
}

var _ offstage.Store = (*Store)(nil)

// Wrap returns a store that works until Break is called.
func Wrap(store offstage.Store) *Store {
	return &Store{Store: store, calls: map[string]int{}}
}

// Break begins a fault, in place of the one before it.
func (s *Store) Break(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.struck = fault, 0
	clear(s.calls)
}

// Heal ends the fault and returns how often it struck.
func (s *Store) Heal() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = Fault{}
	return s.struck
}

// Struck returns how often the fault has struck.
func (s *Store) Struck() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck
}

// next counts a call and returns the fault that it suffers.
func (s *Store) next(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	n, fault := s.calls[method], s.fault
	first := max(fault.First, 1)
	if fault.Mode == 0 || fault.Method != "" && fault.Method != method ||
		n < first || fault.Count > 0 && n >= first+fault.Count {
		return Fault{}
	}
	s.struck++
	return fault
}

// call carries out one call of the contract under the fault.
func call[R any](ctx context.Context, s *Store, method string, do func() (R, error)) (R, error) {
	var none R
	fault := s.next(method)
	fail := func() (R, error) {
		return none, &offstage.StoreError{Class: fault.Class, Op: method, Err: errInjected}
	}
	switch fault.Mode {
	case Before:
		return fail()
	case After:
		// What an honest store says is not done must not have been done.
		if fault.Class != offstage.FaultUnknown {
			return fail()
		}
		if _, err := do(); err != nil {
			return none, err
		}
		return fail()
	case Slow:
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return none, &offstage.StoreError{Class: offstage.FaultUnknown, Op: method, Err: ctx.Err()}
		}
	}
	return do()
}

// Insert is the contract's.
func (s *Store) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	return call(ctx, s, "Insert", func() ([]offstage.Inserted, error) { return s.Store.Insert(ctx, jobs) })
}

// InsertSeq is the contract's.
func (s *Store) InsertSeq(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	return call(ctx, s, "InsertSeq", func() (int64, error) { return s.Store.InsertSeq(ctx, jobs) })
}

// Claim is the contract's.
func (s *Store) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	return call(ctx, s, "Claim", func() (offstage.Claim, error) { return s.Store.Claim(ctx, req) })
}

// Finish is the contract's.
func (s *Store) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	return call(ctx, s, "Finish", func() ([]offstage.Verdict, error) { return s.Store.Finish(ctx, req) })
}

// Claims is the contract's.
func (s *Store) Claims(ctx context.Context, worker offstage.WorkerID) ([]offstage.HeldClaim, error) {
	return call(ctx, s, "Claims", func() ([]offstage.HeldClaim, error) { return s.Store.Claims(ctx, worker) })
}

// Ended is the contract's.
func (s *Store) Ended(ctx context.Context, job offstage.ID, run int) (bool, error) {
	return call(ctx, s, "Ended", func() (bool, error) { return s.Store.Ended(ctx, job, run) })
}

// LoadArgs is the contract's.
func (s *Store) LoadArgs(ctx context.Context, job offstage.ID) ([]byte, error) {
	return call(ctx, s, "LoadArgs", func() ([]byte, error) { return s.Store.LoadArgs(ctx, job) })
}

// SaveProgress is the contract's.
func (s *Store) SaveProgress(ctx context.Context, reports []offstage.JobProgress) error {
	_, err := call(ctx, s, "SaveProgress", func() (struct{}, error) { return struct{}{}, s.Store.SaveProgress(ctx, reports) })
	return err
}

// Recall is the contract's.
func (s *Store) Recall(ctx context.Context, hold offstage.Hold) ([]offstage.StepInfo, error) {
	return call(ctx, s, "Recall", func() ([]offstage.StepInfo, error) { return s.Store.Recall(ctx, hold) })
}

// Remember is the contract's.
func (s *Store) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	_, err := call(ctx, s, "Remember", func() (struct{}, error) { return struct{}{}, s.Store.Remember(ctx, hold, step, raise) })
	return err
}

// Signal is the contract's.
func (s *Store) Signal(ctx context.Context, name string, payload []byte) (offstage.SignalReport, error) {
	return call(ctx, s, "Signal", func() (offstage.SignalReport, error) { return s.Store.Signal(ctx, name, payload) })
}

// FindSignal is the contract's.
func (s *Store) FindSignal(ctx context.Context, name string) ([]byte, bool, error) {
	found := false
	payload, err := call(ctx, s, "FindSignal", func() (payload []byte, err error) {
		payload, found, err = s.Store.FindSignal(ctx, name)
		return payload, err
	})
	return payload, found && err == nil, err
}

// RememberChild is the contract's.
func (s *Store) RememberChild(ctx context.Context, hold offstage.Hold, name string, job offstage.NewJob, raise bool) (offstage.ID, error) {
	return call(ctx, s, "RememberChild", func() (offstage.ID, error) { return s.Store.RememberChild(ctx, hold, name, job, raise) })
}

// Register is the contract's.
func (s *Store) Register(ctx context.Context, info offstage.WorkerInfo) (offstage.WorkerID, error) {
	return call(ctx, s, "Register", func() (offstage.WorkerID, error) { return s.Store.Register(ctx, info) })
}

// Beat is the contract's.
func (s *Store) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	return call(ctx, s, "Beat", func() (offstage.Beat, error) { return s.Store.Beat(ctx, worker) })
}

// Rescue is the contract's.
func (s *Store) Rescue(ctx context.Context, peer offstage.Peer, limit int) (int, bool, error) {
	type answer struct {
		n    int
		more bool
	}
	a, err := call(ctx, s, "Rescue", func() (answer, error) {
		n, more, err := s.Store.Rescue(ctx, peer, limit)
		return answer{n, more}, err
	})
	return a.n, a.more, err
}

// Suspect is the contract's.
func (s *Store) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	_, err := call(ctx, s, "Suspect", func() (struct{}, error) { return struct{}{}, s.Store.Suspect(ctx, worker, job, run) })
	return err
}

// Unregister is the contract's.
func (s *Store) Unregister(ctx context.Context, worker offstage.WorkerID) error {
	_, err := call(ctx, s, "Unregister", func() (struct{}, error) { return struct{}{}, s.Store.Unregister(ctx, worker) })
	return err
}

// Lead is the contract's.
func (s *Store) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	return call(ctx, s, "Lead", func() (int64, error) { return s.Store.Lead(ctx, worker, ttl) })
}

// Chore is the contract's.
func (s *Store) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	return call(ctx, s, "Chore", func() (offstage.ChoreReport, error) { return s.Store.Chore(ctx, term, chore, limit) })
}

// Within is the contract's; what is done inside is the methods TxInsert and
// Complete.
func (s *Store) Within(tx offstage.Tx) (offstage.TxStore, error) {
	within, err := s.Store.Within(tx)
	if err != nil {
		return nil, err
	}
	return &txStore{within, s}, nil
}

type txStore struct {
	offstage.TxStore
	outer *Store
}

// Insert is the contract's.
func (s *txStore) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	return call(ctx, s.outer, "TxInsert", func() ([]offstage.Inserted, error) { return s.TxStore.Insert(ctx, jobs) })
}

// Complete is the contract's.
func (s *txStore) Complete(ctx context.Context, worker offstage.WorkerID, result offstage.Result) error {
	_, err := call(ctx, s.outer, "Complete", func() (struct{}, error) { return struct{}{}, s.TxStore.Complete(ctx, worker, result) })
	return err
}

// EndedOf is the contract's.
func (s *Store) EndedOf(ctx context.Context, ids []offstage.ID) ([]offstage.Ended, error) {
	return call(ctx, s, "EndedOf", func() ([]offstage.Ended, error) { return s.Store.EndedOf(ctx, ids) })
}

// Apply is the contract's.
func (s *Store) Apply(ctx context.Context, change offstage.Change) (offstage.State, error) {
	return call(ctx, s, "Apply", func() (offstage.State, error) { return s.Store.Apply(ctx, change) })
}

// FindSchedules is the contract's.
func (s *Store) FindSchedules(ctx context.Context, query offstage.ScheduleQuery) (offstage.SchedulePage, error) {
	return call(ctx, s, "FindSchedules", func() (offstage.SchedulePage, error) { return s.Store.FindSchedules(ctx, query) })
}

// ChangeSchedules is the contract's.
func (s *Store) ChangeSchedules(ctx context.Context, changes []offstage.ScheduleChange) ([]offstage.ScheduleChanged, error) {
	return call(ctx, s, "ChangeSchedules", func() ([]offstage.ScheduleChanged, error) { return s.Store.ChangeSchedules(ctx, changes) })
}

// Ticks is the contract's.
func (s *Store) Ticks(ctx context.Context, schedule int64, before time.Time, limit int) ([]offstage.TickInfo, error) {
	return call(ctx, s, "Ticks", func() ([]offstage.TickInfo, error) { return s.Store.Ticks(ctx, schedule, before, limit) })
}

// Look is the contract's.
func (s *Store) Look(ctx context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	return call(ctx, s, "Look", func() ([]offstage.JobInfo, error) { return s.Store.Look(ctx, ids) })
}

// InsertFlow is the contract's.
func (s *Store) InsertFlow(ctx context.Context, job offstage.NewJob) (offstage.Inserted, error) {
	return call(ctx, s, "InsertFlow", func() (offstage.Inserted, error) { return s.Store.InsertFlow(ctx, job) })
}
