// Package load is what a campaign's producers enqueue and its workers run: jobs
// of many kinds, each of which can go wrong in a way of its own.
package load

import (
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/checker"
)

// Task is the arguments of every job.
type Task struct {
	// Key names the enqueue; no two have the same.
	Key string `json:"k"`
	// Unique is what the unique key was made of.
	Unique string `json:"u,omitempty"`
	// MS is how long the handler takes, in milliseconds.
	MS int `json:"ms,omitempty"`
	// Fails is how often the handler fails, or snoozes, first.
	Fails int `json:"f,omitempty"`
}

// The kinds.
const (
	quick   = "quick"   // takes a few milliseconds
	slow    = "slow"    // takes up to two seconds, so that a death hits it
	flaky   = "flaky"   // fails first, some of them for good
	later   = "later"   // waits for its time
	single  = "single"  // Skip: several producers race for few keys
	once    = "once"    // Skip for ever, so that an unknown enqueue can be repeated
	paired  = "paired"  // enqueued in a transaction with a row beside it
	effect  = "effect"  // completed in a transaction with a row beside it
	snoozed = "snoozed" // asks to be run later
	called  = "called"  // called off soon
	deaf    = "deaf"    // ignores its context
	broken  = "broken"  // panics or calls runtime.Goexit
	poison  = "poison"  // kills its process
	glutton = "glutton" // uses up its process's memory
	bulk    = "bulk"    // enqueued as a sequence
	stepped = "stepped" // does steps and a loop with a cursor
	patient = "patient" // sleeps, and waits for a signal
	second  = "second"  // enqueued by a schedule, each second
)

// traits are what the checker, the producers and the workers have to know of a
// kind.
type traits struct {
	checker.Kind
	// share is how many of 10,000 enqueues are of the kind.
	share int
	// task is the longest time and the most failures of a task, chosen evenly
	// from zero.
	task Task
}

const tries = 4 // attempts of kinds that may fail for good

var kinds = map[string]traits{
	quick:   {share: 3500, task: Task{MS: 5}},
	slow:    {share: 800, task: Task{MS: 2000}},
	flaky:   {share: 800, task: Task{MS: 20, Fails: tries}, Kind: checker.Kind{MaxAttempts: tries}},
	later:   {share: 800, task: Task{MS: 5}},
	single:  {share: 900, task: Task{MS: 200}},
	once:    {share: 600, task: Task{MS: 5}},
	paired:  {share: 700, task: Task{MS: 5}, Kind: checker.Kind{Paired: true}},
	effect:  {share: 700, task: Task{MS: 20}, Kind: checker.Kind{Commits: true}},
	snoozed: {share: 300, task: Task{MS: 5, Fails: 2}},
	called:  {share: 200, task: Task{MS: 3000}},
	deaf:    {share: 20, task: Task{MS: 4000}},
	broken:  {share: 150, task: Task{MS: 20, Fails: 2}, Kind: checker.Kind{MaxAttempts: tries}},
	poison:  {share: 3, task: Task{MS: 200}, Kind: checker.Kind{Poison: true}},
	glutton: {share: 1, task: Task{MS: 200}, Kind: checker.Kind{Poison: true}},
	bulk:    {share: 26, task: Task{MS: 2}},
	stepped: {share: 300, task: Task{MS: 2400}},
	patient: {share: 200, task: Task{MS: 5}},
	second:  {task: Task{MS: 5}},
}

// Kinds returns what the checker has to know of each kind.
func Kinds() map[string]checker.Kind {
	rules := map[string]checker.Kind{}
	for name, traits := range kinds {
		rules[name] = traits.Kind
	}
	rules[once] = checker.Kind{Once: true}
	return rules
}

// backoff is the wait after a failed attempt: short, so that many happen.
func backoff(failed int) time.Duration { return time.Duration(min(failed, 5)) * 100 * time.Millisecond }

// policy is the retry policy of a kind.
func policy(kind string) offstage.RetryPolicy {
	return offstage.RetryPolicy{MaxAttempts: kinds[kind].MaxAttempts, Backoff: backoff}
}

// The queues, in the order in which they are served.
const (
	urgent = "urgent"
	idle   = "idle"
)

var queues = []string{urgent, offstage.DefaultQueue, idle}
