package offstage

import "time"

// Verb names what an operator does to a job.
type Verb string

// The verbs, and the states in which each is allowed.
const (
	VerbCancel     Verb = "cancel"       // any but completed and failed
	VerbRetry      Verb = "retry"        // failed, cancelled, completed, retrying: ready at once, counters at zero
	VerbDelete     Verb = "delete"       // any but running
	VerbRunNow     Verb = "run now"      // scheduled, retrying, ready: goes to the front
	VerbReschedule Verb = "reschedule"   // scheduled, retrying, ready: due at Change.RunAt or after Change.Delay
	VerbPrioritize Verb = "reprioritize" // scheduled, retrying, ready, blocked
)

// Change is what an operator wants done to one job.
type Change struct {
	Verb     Verb
	Job      ID
	RunAt    time.Time     // VerbReschedule; zero: after Delay
	Delay    time.Duration // VerbReschedule, from the store's now
	Priority int           // VerbPrioritize
}

// PauseTarget names a queue or a kind; exactly one field is set.
type PauseTarget struct {
	Queue string
	Kind  string
}

// Filter chooses jobs. The zero value chooses all, newest first; see [Page] for the
// order of others.
type Filter struct {
	State State  // zero: any
	Kind  string // "": any
	Queue string // "": any
	Tag   string // "": any
	// Since and Until bound the time of enqueue: Since ≤ created < Until. Zero:
	// unbounded.
	Since, Until time.Time
	// Limit is the most jobs in a page: 1 … 1,000; 0 means 50.
	Limit int
	// After is the cursor of the page before; "" is the first page.
	After string
}

// MaxLooked is how many rows a List looks at for one page.
const MaxLooked = 10_000

// Page is a part of a list. Ready jobs, when a State asks for them, come queue by
// queue, by name, each in the order in which its jobs will start; failed and
// cancelled ones by the time of their end, latest first; all others by id, newest
// first.
// Jobs that change while the pages are read may be missed or seen twice.
type Page struct {
	Jobs []JobInfo `json:"jobs"`
	// Next is the cursor of the next page; "" when this is the last. A page may
	// have fewer jobs than asked, even none, and yet a Next: then Looked rows
	// were looked at and the limit was reached.
	Next   string `json:"next,omitempty"`
	Looked int    `json:"looked"`
}

// Stats are the figures of queues and workers.
type Stats struct {
	Queues  []QueueStats  `json:"queues"` // by name
	Workers []WorkerStats `json:"workers"`
	Kinds   []KindStats   `json:"kinds"` // by name
}

// MaxCounted is where the counting of a queue's jobs stops.
const MaxCounted = 100_000

// QueueStats are the figures of one queue.
type QueueStats struct {
	Queue     string `json:"queue"`
	Paused    bool   `json:"paused"`
	Ready     int    `json:"ready"`
	Running   int    `json:"running"`
	Scheduled int    `json:"scheduled"` // scheduled and retrying
	// Capped says that Ready or Scheduled stopped at MaxCounted.
	Capped bool `json:"capped,omitempty"`
	// OldestReady is how long the oldest ready job has been due.
	OldestReady time.Duration `json:"oldest_ready"`
	// Age is how old Ready, Scheduled and OldestReady are: they are counted by
	// one process now and then, not for each reader.
	Age time.Duration `json:"age"`
}

// WorkerStats describe one living worker.
type WorkerStats struct {
	ID WorkerID `json:"id"`
	WorkerInfo
	StartedAt time.Time `json:"started_at"`
	Running   int       `json:"running"`
	Leads     bool      `json:"leads,omitempty"`
}

// KindStats describe one kind.
type KindStats struct {
	Kind
	Paused bool `json:"paused"`
}
