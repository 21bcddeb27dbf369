package agent

// The orders and their answers, as they travel. Durations are in seconds.

// InsertOrder asks for jobs from callers that insert one after the other.
type InsertOrder struct {
	Jobs    int     `json:"jobs"`    // stop after so many
	Seconds float64 `json:"seconds"` // or after this time; 0: no limit
	Callers int     `json:"callers"` // at once
	Size    int     `json:"size"`    // jobs of each call
	Queues  int     `json:"queues"`  // spread over so many; 0: the default queue
	Delay   float64 `json:"delay"`   // until they are due
	Unique  bool    `json:"unique"`  // each with a key of its own
}

// WorkOrder asks to begin working.
type WorkOrder struct {
	Sleep float64 `json:"sleep"` // how long each handler takes
	Fail  bool    `json:"fail"`  // every handler fails
}

// FinishOrder asks to wait until all is done.
type FinishOrder struct {
	Jobs    int     `json:"jobs"`    // that handlers must have started since WorkOrder; 0: any number
	Seconds float64 `json:"seconds"` // the longest wait
}

// SteadyOrder asks to insert while working. What is inserted when the time is up
// is worked off, and counts.
type SteadyOrder struct {
	Seconds float64 `json:"seconds"`
	Size    int     `json:"size"`   // jobs of each call
	Ahead   int     `json:"ahead"`  // inserted but not yet started, at most
	Window  float64 `json:"window"` // the rate is also given for each; 0: not
}

// ProbeOrder asks for timed jobs with random gaps between them, equally
// distributed from Least to Most.
type ProbeOrder struct {
	Jobs  int     `json:"jobs"`
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
	Seed  uint64  `json:"seed"`
	Load  float64 `json:"load"` // jobs per second that are inserted meanwhile, not timed
}

// TookOrder asks for the times of jobs that were probed elsewhere.
type TookOrder struct {
	Jobs    int     `json:"jobs"`
	Seconds float64 `json:"seconds"` // the longest wait for so many
}

// Count answers how many jobs were done in which time.
type Count struct {
	Jobs    int       `json:"jobs"`
	Seconds float64   `json:"seconds"`
	CPU     float64   `json:"cpu"`               // seconds of processor time of the process
	RSS     float64   `json:"rss"`               // megabytes, the most since the process began
	Cut     bool      `json:"cut,omitempty"`     // the time was up first
	Windows []float64 `json:"windows,omitempty"` // jobs per second in each window
}

// Times answers how long timed jobs took, in milliseconds.
type Times struct {
	MS []float64 `json:"ms"`
}

// Opened answers an Env.
type Opened struct {
	Settings string `json:"settings"`
}

// call is an order on the wire; answer is what comes back.
type call[T any] struct {
	Do   string `json:"do"`
	With T      `json:"with"`
}

type answer[T any] struct {
	Error  string `json:"error,omitempty"`
	Unable bool   `json:"unable,omitempty"`
	With   T      `json:"with"`
}
