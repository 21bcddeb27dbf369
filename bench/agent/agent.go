// Package agent runs one system under test in a process of its own and drives
// it by simple orders: insert, work, finish, probe.
//
// The conductor starts the process by [Start] and gives orders as lines of JSON;
// the process answers each with one line. Systems in Go are driven by [Serve];
// those in JavaScript by package node's driver, which knows the same orders. So
// every system is measured by the same loops, whatever it is written in, and
// its memory and processor time are its own.
package agent

import (
	"context"
	"errors"
	"time"
)

// Job is a job to insert. Its arguments are about 100 bytes of JSON.
type Job struct {
	At    int64         // Unix nanoseconds just before the insert; 0: not to be timed
	Queue string        // "" is the system's default queue
	Delay time.Duration // 0: due at once
	Key   string        // a unique key; "": the job is not unique
}

// Env is what a system needs to know before it opens. The zero value of each
// field is the system's own default.
type Env struct {
	URL    string   `json:"url"`    // of a PostgreSQL database or a Redis server; the path of an SQLite file
	Slots  int      `json:"slots"`  // jobs at once, for systems that leave the choice to us
	Queues []string `json:"queues"` // to work beside the default queue
}

// System is one job queue, opened for one measurement. Insert may be called by
// many goroutines, the rest by one.
type System interface {
	// Settings says in words what was set, and the versions used.
	Settings() string
	// Insert stores the jobs by the system's best means for that many, and
	// returns when they are durable.
	Insert(ctx context.Context, jobs []Job) error
	// Start begins to work: the system's handler calls tally.Handle.
	Start(ctx context.Context, tally *Tally) error
	// Stop ends what Start began. It is called at most once after each Start.
	Stop(ctx context.Context) error
	// Left reports whether jobs are due or running.
	Left(ctx context.Context) (bool, error)
	// Close lets go of everything.
	Close() error
}

// Prober is a [System] that measures a job's way by itself, because it has no
// worker that could be in another process.
type Prober interface {
	// Probe inserts a job, takes it and returns how long that took.
	Probe(ctx context.Context) (time.Duration, error)
}

// Open opens a system and makes its tables if they are not there.
type Open func(ctx context.Context, env Env) (System, error)

// ErrUnable means that a system has no such feature. Wrapped, it says which.
var ErrUnable = errors.New("the system cannot do this")
