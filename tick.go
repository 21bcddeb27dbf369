package offstage

import (
	"crypto/sha256"
	"time"
)

// Tick is what a job knows of the tick that enqueued it. It travels with the job
// as [Extra.Tick].
type Tick struct {
	Schedule string    `json:"schedule"`
	At       time.Time `json:"at"`                // nominal: what the expression says; by hand: when it was asked for
	Previous time.Time `json:"previous,omitzero"` // the tick before that enqueued a job; zero: none
	// Late says that the tick was missed, and is made up for.
	Late bool `json:"late,omitempty"`
	// Manual says that a person ran the schedule.
	Manual bool `json:"manual,omitempty"`
}

// NewTick is a tick to be recorded, with what it enqueues.
type NewTick struct {
	At time.Time // no two of a schedule are alike
	// Job is what it enqueues; nil: nothing, the tick was passed over.
	Job *NewJob
	// Manual and Late are as in [Tick].
	Manual, Late bool
}

// TickInfo is one tick in a schedule's history.
type TickInfo struct {
	At      time.Time   `json:"at"`      // nominal
	SeenAt  time.Time   `json:"seen_at"` // when it was enqueued or passed over, by the store's clock
	Outcome TickOutcome `json:"outcome"`
	Job     ID          `json:"job,omitempty"`   // that it enqueued, or met; 0: none
	State   State       `json:"state,omitempty"` // of the job now; zero: it is gone
	Late    bool        `json:"late,omitempty"`
	Manual  bool        `json:"manual,omitempty"`
}

// TickOutcome says what a tick did.
type TickOutcome string

// The outcomes of a tick.
const (
	TickEnqueued TickOutcome = "enqueued"
	TickOverlap  TickOutcome = "overlap" // nothing: an earlier job had not ended; Job names it, or the one that waits for its end
	TickMissed   TickOutcome = "missed"  // nothing: it, and perhaps others before it, were seen too late
)

// KeepTicks is how many ticks of a schedule its history has.
const KeepTicks = 1000

// TickOf returns what one tick enqueues: the schedule's job, which knows its
// tick, after the jitter, and unique as Overlap says. Workers call it.
func (s *ScheduleInfo) TickOf(tick Tick) *NewJob {
	job := s.Job.newJob()
	tick.Schedule = s.Name
	job.Extra.Tick = &tick
	job.RunAt = tick.At
	if !tick.Manual && s.Jitter > 0 {
		sum := sha256.Sum256([]byte(s.Name + "\x00" + tick.At.UTC().Format(time.RFC3339Nano)))
		n := uint64(0)
		for _, b := range sum[:8] {
			n = n<<8 | uint64(b)
		}
		job.RunAt = tick.At.Add(time.Duration(n % uint64(s.Jitter)))
	}
	mode := map[Overlap]UniqueMode{OverlapSkip: Skip, OverlapQueue: KeepLast, OverlapCancel: KeepLast}[s.Overlap]
	if mode != 0 {
		sum := sha256.Sum256([]byte("schedule\x00" + s.Name))
		job.Unique = &UniqueKey{Key: sum[:16], Mode: mode}
	}
	return &job
}
