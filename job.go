package offstage

import (
	"encoding/json"
	"strconv"
	"time"
)

// ID names a job. Ids are positive, below 2^53 (so that JSON readers in any
// language keep them whole) and grow roughly with time. The zero value names
// no job.
type ID int64

// String returns the id in decimal.
func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }

// ParseID reads a decimal id; anything else is an [InvalidError].
func ParseID(text string) (ID, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n >= 1<<53 {
		return 0, invalid("id", "%q is not a job's id: a whole number from 1 to 2^53-1", text)
	}
	return ID(n), nil
}

// Args is what a job is made of: a value that marshals to JSON and knows the
// name of its kind. Kind must return the same name for every value of the type,
// the zero value included.
type Args interface {
	Kind() string
}

// Extra is what a job carries beside its arguments. The zero value carries
// nothing. The maps are shared, not copied; do not change them.
type Extra struct {
	// Tags are labels for people to filter by.
	Tags []string `json:"tags,omitempty"`
	// Metadata are the application's own notes.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Carry are the context values that travel with the job; see [Carry].
	Carry map[string]string `json:"carry,omitempty"`
	// Tick is that of the schedule which enqueued the job; nil: none did.
	Tick *Tick `json:"tick,omitempty"`
	// Parent is the job that enqueued this one by [Client.EnqueueChild]; 0: none did.
	Parent ID `json:"parent,omitempty"`
}

// Empty reports whether it carries nothing.
func (e Extra) Empty() bool {
	return len(e.Tags) == 0 && len(e.Metadata) == 0 && len(e.Carry) == 0 && e.Tick == nil && e.Parent == 0
}

// Facts are what a job was enqueued with. They change only by an operator's
// hand, never by running.
type Facts struct {
	ID          ID              `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	Priority    int             `json:"priority"`               // 0 (first) … 9 (last)
	Args        json.RawMessage `json:"args"`                   // byte for byte as enqueued
	MaxAttempts int             `json:"max_attempts,omitempty"` // 0: as the kind or the engine says
	Timeout     time.Duration   `json:"timeout,omitempty"`      // of each attempt; 0: as the kind says
	CreatedAt   time.Time       `json:"created_at"`             // by the store's clock
	UniqueKey   []byte          `json:"-"`                      // nil: not unique
	Extra
}

// Job is what a handler gets: the job's facts, its decoded arguments, and
// where it stands. It belongs to the handler's goroutine.
type Job[A any] struct {
	Facts
	Args   A   // decoded; Facts.Args has the JSON
	Run    int // the number of this attempt, from 1
	Errors int // attempts that failed before this one
	Lost   int // workers that died in a row before this one, without progress
}

// JobInfo is what a store knows of a job at one moment.
type JobInfo struct {
	Facts
	State    State         `json:"state"`
	RunAt    time.Time     `json:"run_at"`          // when it became or becomes due
	Run      int           `json:"attempt"`         // the latest attempt's number; 0: never started
	Errors   int           `json:"errors"`          // attempts that failed
	Lost     int           `json:"lost"`            // workers that died in a row without progress
	Waits    string        `json:"waits,omitempty"` // what a blocked job waits for, for people
	Worker   WorkerID      `json:"worker,omitempty"`
	Progress *ProgressInfo `json:"progress"` // nil: none was reported
	// Outcome, Error, Result and FinishedAt are the latest ended attempt's; zero
	// when there is none. StartedAt is the running attempt's claim time, or the
	// latest ended attempt's start.
	Outcome    Outcome         `json:"outcome,omitempty"`
	Error      string          `json:"error,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	StartedAt  time.Time       `json:"started_at,omitzero"`
	FinishedAt time.Time       `json:"finished_at,omitzero"`
	// CancelAsked says that the job is running and will be cancelled.
	CancelAsked bool `json:"cancel_asked,omitempty"`
}

// Attempt is one ended attempt of a job: its history, and half of the fence
// (a job's run ends once).
type Attempt struct {
	Run        int             `json:"attempt"`
	Outcome    Outcome         `json:"outcome"`
	Next       State           `json:"next"` // what the job became by it
	Worker     WorkerID        `json:"worker,omitempty"`
	StartedAt  time.Time       `json:"started_at,omitzero"` // zero: it never started; of a lost one, when it was claimed
	FinishedAt time.Time       `json:"finished_at"`
	Error      string          `json:"error,omitempty"`
	Trace      string          `json:"trace,omitempty"` // a panic's stack
	Result     json.RawMessage `json:"result,omitempty"`
	Log        json.RawMessage `json:"log,omitempty"` // a JSON array of [LogLine]
}

// LogLine is one line that a handler logged.
type LogLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
	Attrs   string    `json:"attrs,omitempty"` // key=value pairs as slog's text handler writes them
}

// Details are a job with its history.
type Details struct {
	JobInfo
	Attempts []Attempt  `json:"attempts"`        // the latest 100, oldest first
	Steps    []StepInfo `json:"steps,omitempty"` // what it remembers, oldest first
}

// ProgressInfo is how far a running job says that it is.
type ProgressInfo struct {
	Run     int       `json:"attempt"`
	Done    int64     `json:"done"`
	Total   int64     `json:"total"` // 0: unknown
	Message string    `json:"message"`
	At      time.Time `json:"at"` // by the store's clock
}
