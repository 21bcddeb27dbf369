// Package storetest proves that a store keeps the contract of [offstage.Store]:
// named cases, each with the sentence of the contract that it enforces.
//
// A store's own tests hold one call of [Run]; its benchmarks one of [Bench]. A
// new sentence of the contract enters here as a case before any store keeps it.
package storetest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
)

// Harness says how stores of one kind are made and driven. Open and Begin are
// needed, the rest depends on the store. Its functions are called by the
// goroutine of the case, inside the bubble if there is one, and end the case by
// tb.Fatal when they fail. It is not changed.
type Harness struct {
	// Open returns a new, empty, migrated store and registers with tb what
	// closes it and removes its database.
	Open func(tb testing.TB) offstage.Store
	// Peer returns another handle on the same database, as another process
	// would have, and registers its end with tb. nil: a database has one
	// handle, and the cases use it for both sides.
	Peer func(tb testing.TB, store offstage.Store) offstage.Store
	// Begin starts a transaction of the caller's on the store's database. The
	// case calls exactly one of commit and rollback, the latter perhaps in a
	// cleanup, when tb.Context has ended: the transaction must not end with it.
	Begin func(tb testing.TB, store offstage.Store) (tx offstage.Tx, commit, rollback func() error)
	// Exclusive says that such a transaction keeps everybody else waiting,
	// readers too. The cases then do not look from outside while one is open.
	Exclusive bool
	// Advance moves the clock of the store and all its handles on. nil: the
	// store takes Go's time; then each case runs in a bubble of
	// testing/synctest, where waiting costs nothing.
	Advance func(tb testing.TB, store offstage.Store, d time.Duration)
}

// Case is one named part of the contract.
type Case struct {
	Name     string // the name of its subtest: the part of the store, a slash, what it is about
	Sentence string // what a store promises
	run      func(*rig)
}

// Cases returns all cases, in the order in which Run runs them.
func Cases() []Case {
	return slices.Concat(
		insertCases, sequenceCases, claimCases, orderCases, pauseCases,
		finishCases, resultCases, fenceCases, heldCases, progressCases,
		registryCases, rescueCases, zombieCases, leadCases, choreCases, pruneCases,
		uniqueCases, periodCases, debounceCases, keepLastCases, uniqueRaceCases,
		operateCases, cancelCases, retryCases, listCases, filterCases, inspectCases, statsCases,
		withinCases, completeCases, stepCases, waitCases, lifecycleCases, wakeCases, scheduleCases,
		observeCases,
		requestCases, followCases,
	)
}

// Run runs every case as a subtest, each on a store of its own.
func Run(t *testing.T, h Harness) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if h.Advance != nil {
				c.run(newRig(t, h))
				return
			}
			synctest.Test(t, func(t *testing.T) { c.run(newRig(t, h)) })
		})
	}
}
