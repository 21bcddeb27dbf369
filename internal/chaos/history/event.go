// Package history is what the processes of a campaign saw happen, written down
// outside of the database under test.
//
// Each process appends to a file of its own, one event a line, one write an
// event: what was written before a kill -9 stays. An event is written on the
// safe side of what it tells: a send before the call, its answer after it; a
// start as the first thing of a handler, its end as the last.
package history

import "github.com/offstagehq/offstage"

// What names a kind of event.
type What string

// Events of producers. Those with a Key tell of one enqueue; a bulk's Count is
// the number of its jobs, whose keys are the bulk's with "/0", "/1" … added.
const (
	Send       What = "send"        // about to enqueue
	Ack        What = "ack"         // the enqueue succeeded: Job, Existed
	Unknown    What = "unknown"     // the enqueue's answer was an error: it may have happened
	Failed     What = "failed"      // the enqueue's answer was an error: it did not happen
	Refused    What = "refused"     // the enqueue was called invalid, which none of ours is
	RolledBack What = "rolled_back" // the enqueue's transaction was rolled back
	CancelSend What = "cancel_send" // about to cancel Job
	CancelAck  What = "cancel_ack"  // Job was cancelled, or will be: Next is the state answered
	CancelFail What = "cancel_fail" // the cancel's answer was an error: it may have happened
)

// Events of signals; Key is that of the enqueue whose job waits, Note the payload.
const (
	SignalSend What = "signal_send" // about to give the signal
	SignalAck  What = "signal_ack"  // it was given, or had been
)

// Events of jobs that remember, which carry Job and Run. Note is a step's name.
const (
	Do    What = "do"    // about to do the step
	Kept  What = "kept"  // its result is stored; of a cursor, Count is how far it came
	Found What = "found" // a cursor was opened: Count is how far earlier runs came
	Nap   What = "nap"   // about to sleep for Wait
	Woke  What = "woke"  // the sleep is over
	Got   What = "got"   // the signal came: Note is its payload
)

// Events of workers. All but the last carry Job and Run.
const (
	Start     What = "start"     // the handler was entered
	Cancelled What = "cancelled" // the handler's context ended: Note is the cause
	End       What = "end"       // the handler is about to return: How, Wait
	Claimed   What = "claimed"   // a claim has brought a job of which workers have died
	Naming    What = "naming"    // about to tell the store that this suspect is the next to start
	Suicide   What = "suicide"   // the handler is about to end its own process
	Mark      What = "mark"      // the worker has recorded an end: How is the outcome, Next the state
	Stall     What = "stall"     // the process was not scheduled for the last Wait
)

// Events in the life of a process: those of its own, then those that its parent
// saw, which name the process in Target.
const (
	Up       What = "up"       // about to do what it is for
	Stopping What = "stopping" // was told to stop
	Stopped  What = "stopped"  // about to exit in order

	Born       What = "born"        // was started
	Died       What = "died"        // has ended: Note is how
	FaultBegin What = "fault_begin" // Fault is about to strike Target: How
	FaultEnd   What = "fault_end"   // Fault is over; Count is how often it struck
	Healed     What = "healed"      // there will be no more faults
)

// How a handler ended.
const (
	OK      = "ok"      // returned nil
	Error   = "error"   // returned an error of its own
	Control = "control" // asked to be snoozed or cancelled
	Cause   = "cause"   // returned because its context ended
	Broken  = "broken"  // panicked or called runtime.Goexit
)

// Why a handler's context ended, where checks depend on it.
const (
	CauseLeaseLost = "lease lost"
	CauseShutdown  = "shutdown"
)

// How a fault bears on its target, where checks depend on it.
const (
	Kills  = "kills"
	Stops  = "stops" // asks it to stop within its grace period
	Ends   = "ends"  // asks it to stop when it can
	Pauses = "pauses"
	Outage = "outage" // the target is the database
)

// Late is the payload of signals that their producers could not give any more.
const Late = "late"

// Event is one thing that a process saw. Fields that its What does not name are
// zero. Times are in nanoseconds.
type Event struct {
	What    What           `json:"e"`
	Mono    int64          `json:"m"` // by the machine's monotonic clock, which all processes share
	Wall    int64          `json:"w"` // since 1970
	Process string         `json:"p"` // who wrote it
	Target  string         `json:"t,omitempty"`
	PID     int            `json:"pid,omitempty"`
	Key     string         `json:"k,omitempty"`
	Kind    string         `json:"kind,omitempty"`
	Unique  string         `json:"u,omitempty"` // what the job's unique key was made of
	Job     offstage.ID    `json:"j,omitempty"`
	Run     int            `json:"r,omitempty"`
	Errors  int            `json:"errors,omitempty"`
	Lost    int            `json:"lost,omitempty"`
	Count   int            `json:"n,omitempty"`
	Wait    int64          `json:"wait,omitempty"` // what follows comes no sooner than this, or was this long
	Existed bool           `json:"existed,omitempty"`
	How     string         `json:"how,omitempty"`
	Next    offstage.State `json:"next,omitzero"`
	Fault   string         `json:"fault,omitempty"`
	Note    string         `json:"note,omitempty"`
}
