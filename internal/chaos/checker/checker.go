// Package checker holds a campaign's history against what the project promises.
//
// It trusts nothing but the files that the processes wrote; what the store says
// at the end is one more witness, and is wrong where it contradicts them.
package checker

import (
	"slices"
	"time"

	"github.com/offstagehq/offstage/internal/chaos/history"
)

// Rules say how the campaign was run.
type Rules struct {
	Store string
	Seed  uint64
	Lease time.Duration
	Grace time.Duration
	// Kinds are what was enqueued.
	Kinds map[string]Kind
	// Faults are those asked for, with how often each has to strike at least.
	Faults map[string]int
}

// Kind says what to expect of the jobs of a kind. The zero value is an ordinary
// one.
type Kind struct {
	MaxAttempts int  // attempts that may fail; 0: DefaultMaxAttempts
	Paired      bool // its enqueuer writes a row in the same transaction
	Commits     bool // its handler completes it in a transaction that writes a row
	Poison      bool // its handler ends its process
	Once        bool // there is at most one job for a unique text, for ever
}

// Check returns what the history shows. Its events are in the order of time.
func Check(events []history.Event, listing *history.Listing, rules Rules) *Report {
	e := gather(events, listing, rules)
	e.checkEnqueues()
	e.checkListed()
	for _, s := range e.stories {
		e.checkRuns(s)
		e.checkOverlaps(s)
		e.checkEnd(s)
		e.checkAttempts(s)
		e.checkNeighbour(s)
		e.checkCancel(s)
		e.checkSteps(s)
		e.checkWaits(s)
	}
	e.checkTicks()
	e.checkUnique()
	e.checkProcesses()
	e.measureRecovery()
	e.measureThroughput()
	e.checkFaults()
	return e.finish()
}

// finish brings the findings into an order that does not change.
func (e *evidence) finish() *Report {
	slices.SortStableFunc(e.report.Violations, func(a, b Violation) int {
		if a.What != b.What {
			return slices.Index(whats, a.What) - slices.Index(whats, b.What)
		}
		return int(a.Job - b.Job)
	})
	e.report.count()
	return e.report
}
