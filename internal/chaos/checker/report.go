package checker

import (
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// Report is a campaign's result. The JSON begins with the fields that are the
// same in every version.
type Report struct {
	Acked            int            `json:"acked"`     // enqueues that were acknowledged
	Unknown          int            `json:"unknown"`   // enqueues whose answer was lost, or their caller was killed
	Completed        int            `json:"completed"` // jobs
	Lost             int            `json:"lost"`
	Phantom          int            `json:"phantom"`
	FinishedTwice    int            `json:"finished_twice"`
	Overlaps         int            `json:"overlaps"`
	UniqueViolations int            `json:"unique_violations"`
	AttemptsOver     int            `json:"attempts_over"`
	Recovery         Quantiles      `json:"recovery_ms"`
	Faults           map[string]int `json:"faults"`
	Seed             uint64         `json:"seed"`

	Store   string `json:"store"`
	LeaseMS int64  `json:"lease_ms"`
	GraceMS int64  `json:"grace_ms"`
	Jobs    int    `json:"jobs"`   // in the store at the end
	Starts  int    `json:"starts"` // of handlers
	// Others are the violations that have no field above, by name.
	Others map[string]int `json:"other_violations"`
	// Overruns are handlers that still ran when another run of their job was
	// started, as is allowed: Paused were stopped or starved with their whole
	// process, CutOff had lost their lease and were told, Exit ignored that
	// their process stops and ran on while it exited.
	Overruns Overruns `json:"overruns"`
	// Recovered is how many starts Recovery is of. Suspects are those among them
	// of jobs whose last two or more workers in a row had died, which run one at
	// a time in a process; Usual are the others. Delayed are none of these: the
	// database was away meanwhile, or less than a lease before.
	Recovered int       `json:"recovered"`
	Usual     Quantiles `json:"usual_recovery_ms"`
	Suspects  Quantiles `json:"suspect_recovery_ms"`
	Delayed   Quantiles `json:"outage_recovery_ms"`
	// DiedAgain are those among Recovered whose next worker was killed as well before
	// it started them. Recovery takes their time from the first death, Again from that
	// last one.
	DiedAgain  int       `json:"died_again"`
	Again      Quantiles `json:"died_again_ms"`
	Stop       Quantiles `json:"stop_ms"`            // from SIGTERM to the process's end
	Back       Quantiles `json:"throughput_back_ms"` // from the database's return
	Unmeasured int       `json:"outages_unmeasured"` // outages too close to others for Back
	Poisoned   int       `json:"poisoned"`           // poison jobs that failed as they should
	Felled     int       `json:"felled"`             // ordinary jobs that three workers in a row were killed under
	Unique     int       `json:"unique_existed"`     // unique enqueues that found their job there
	// Steps are results of steps, and savings of cursors, that were stored; Resumed
	// are the runs that did not have to begin anew because of them. Signals were
	// acknowledged and came to their job; Ticks have had their job.
	Steps   int `json:"steps"`
	Resumed int `json:"resumed"`
	Signals int `json:"signals"`
	Ticks   int `json:"ticks"`

	// Violations are what the counts above are counts of.
	Violations []Violation `json:"-"`
}

// Overruns are counts of handlers.
type Overruns struct {
	Paused int `json:"paused"`
	CutOff int `json:"cut_off"`
	Exit   int `json:"exit"`
}

// Violation is a broken promise.
type Violation struct {
	What    string
	Job     offstage.ID // 0: of no single job
	Process string      // "": of no single process
	Text    string
}

// The violations. Those up to attemptsOver have fields of their own in Report.
const (
	lost            = "lost"           // an acknowledged job is not there, or has not ended
	phantom         = "phantom"        // a job that nobody enqueued, was rolled back, or is there twice
	finishedTwice   = "finished_twice" // two ends, two effects, or a start after the end
	overlap         = "overlaps"       // two runs at once though the first held its lease
	uniqueViolation = "unique"         // two live jobs of one unique key
	attemptsOver    = "attempts_over"  // more charged than allowed, or charged for a death or a deploy
	stuck           = "stuck"          // a job that was never acknowledged, but exists, has not ended
	hollow          = "hollow"         // completed, though no handler said so
	runTwice        = "run_twice"      // one run number was started twice
	unrecorded      = "unrecorded"     // a started run has no recorded end, or the history has a gap
	early           = "early"          // started before its time
	uncancelled     = "uncancelled"    // started after its cancel was acknowledged, or not cancelled at the end
	neighbour       = "neighbour"      // taken for poison though it was not
	immortal        = "immortal"       // poison that did not fail, or killed too often
	crash           = "crash"          // a process ended by itself
	slowStop        = "slow_stop"      // a stop took longer than the grace period and two seconds
	lateStart       = "late_start"     // a start more than a second after the process was told to stop
	refused         = "refused"        // an enqueue was called invalid
	missingFault    = "missing_fault"  // a fault that was asked for did not strike often enough
	pairBroken      = "pair_broken"    // a job without its transaction's row, or the row without the job
	effectBroken    = "effect_broken"  // a completion without its transaction's row, or the row without it
	torn            = "torn"           // a part of a sequence of jobs that has to exist as a whole or not at all
	stepTwice       = "step_twice"     // a step was done again though its result was stored, or a cursor went back
	signalLost      = "signal_lost"    // a signal was acknowledged and did not come to its job
	tickLost        = "tick_lost"      // a tick of a schedule has no job
	tickTwice       = "tick_twice"     // a tick has two
	wrongWitness    = "wrong_witness"  // the history contradicts itself: the checker cannot be trusted
)

var whats = []string{
	lost, phantom, finishedTwice, overlap, uniqueViolation, attemptsOver, stuck, hollow, runTwice, unrecorded, early,
	uncancelled, neighbour, immortal, crash, slowStop, lateStart, refused, missingFault, pairBroken, effectBroken, torn,
	stepTwice, signalLost, tickLost, tickTwice, wrongWitness,
}

// count fills in the counts of violations.
func (r *Report) count() {
	by := map[string]int{}
	for _, v := range r.Violations {
		by[v.What]++
	}
	for what, field := range map[string]*int{
		lost: &r.Lost, phantom: &r.Phantom, finishedTwice: &r.FinishedTwice,
		overlap: &r.Overlaps, uniqueViolation: &r.UniqueViolations, attemptsOver: &r.AttemptsOver,
	} {
		*field = by[what]
		delete(by, what)
	}
	r.Others = by
}

// Quantiles are of durations, in milliseconds. The zero value is of none.
type Quantiles struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// quantiles sorts the durations. The p-quantile is the smallest of which at
// least that share is no longer.
func quantiles(durations []time.Duration) Quantiles {
	if len(durations) == 0 {
		return Quantiles{}
	}
	slices.Sort(durations)
	at := func(percent int) int64 {
		return durations[(len(durations)*percent+99)/100-1].Milliseconds()
	}
	return Quantiles{P50: at(50), P99: at(99), Max: at(100)}
}
