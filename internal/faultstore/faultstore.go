// Package faultstore wraps a Store so that its calls fail to order: before they
// are carried out, after (done, but the caller is told otherwise), or slowly,
// with each class of error. The engine above it has to keep every promise while
// the fault lasts and to go on when it ends.
package faultstore

import (
	"context"
	"errors"
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
	Method string // the contract's method, as in "Claim" or, of a TxStore, "Tx.Insert"; "" is every method
	Mode   Mode
	Class  offstage.FaultClass // of the error, for Before and After
	First  int                 // the first call of the method that fails, counted from 1; 0 means 1
	Count  int                 // how many fail; 0 means until Heal
	Delay  time.Duration       // for Slow
}

// errInjected is the cause of every failure that this package makes.
var errInjected = errors.New("injected fault")

// Store is a Store whose calls fail as its fault says. It is safe for concurrent
// use. The store beneath is not embedded, so that a method which the contract
// gains is one that this package must have.
type Store struct {
	under offstage.Store

	mu      sync.Mutex
	fault   Fault                             // guarded by mu
	calls   map[string]int                    // guarded by mu: calls of each method since Break
	struck  int                               // guarded by mu
	watches map[*context.CancelCauseFunc]bool // guarded by mu: what ends each Watch
}

var (
	_ offstage.Store = (*Store)(nil)
	_ offstage.Waker = (*Store)(nil)
)

// Wrap returns a store that works until Break is called.
func Wrap(store offstage.Store) *Store {
	return &Store{under: store, calls: map[string]int{}, watches: map[*context.CancelCauseFunc]bool{}}
}

// Break begins a fault, in place of the one before it.
func (s *Store) Break(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.struck = fault, 0
	clear(s.calls)
	s.cutWatches()
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

// keep remembers what ends a Watch, until it is forgotten.
func (s *Store) keep(cut context.CancelCauseFunc) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches[&cut] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, &cut)
	}
}

// cutBegun ends what has begun to watch, if it has to fail after it was done.
func (s *Store) cutBegun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault.Mode == After {
		s.cutWatches()
	}
}

// cutWatches ends what watches, if the fault is of Watch. It is called with mu held.
func (s *Store) cutWatches() {
	if s.fault.Mode == 0 || s.fault.Method != "" && s.fault.Method != "Watch" {
		return
	}
	for cut := range s.watches {
		s.struck++
		(*cut)(errInjected)
	}
	clear(s.watches)
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

// now returns the fault of a method at this moment, whichever of its calls suffer it.
func (s *Store) now(method string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault.Method != "" && s.fault.Method != method {
		return Fault{}
	}
	return s.fault
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
		if later := s.now(method); later.Mode == Before { // it never came to be carried out
			fault = later
			return fail()
		}
	}
	return do()
}

// act is call for a method that answers nothing but an error.
func act(ctx context.Context, s *Store, method string, do func() error) error {
	_, err := call(ctx, s, method, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

// pair is the answer of a method that answers two things.
type pair[A, B any] struct {
	a A
	b B
}

// call2 is call for a method that answers two things.
func call2[A, B any](ctx context.Context, s *Store, method string, do func() (A, B, error)) (A, B, error) {
	both, err := call(ctx, s, method, func() (pair[A, B], error) {
		a, b, err := do()
		return pair[A, B]{a, b}, err
	})
	return both.a, both.b, err
}
