package offstage

import (
	"context"
	"encoding/json"
	"time"
)

// When says when a schedule is due. The expressions of package schedule are what
// it is made for: schedule.Parse("every day at 4:30 in Europe/Berlin").
type When interface {
	// String is the expression, which is what a store keeps.
	String() string
	// Zone is that of the expression's clock, by its IANA name.
	Zone() *time.Location
	// Next is the first tick after a time; false: there is none.
	Next(after time.Time) (tick time.Time, ok bool)
}

// Schedule is a rule that enqueues a job at each tick of an expression, once per
// tick over any number of machines. Make it with [NewSchedule], then set what
// else it shall be. The zero value of each further field is the usual.
type Schedule struct {
	Name        string   `json:"name"`       // as the name of a kind
	Expression  string   `json:"expression"` // as package schedule writes it
	Zone        string   `json:"zone"`       // an IANA name
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"` // of the schedule; the job's are in Job
	Job         TickJob  `json:"job"`
	// Anchor is what an interval counts from. Zero: the time at which the schedule
	// was made.
	Anchor time.Time `json:"anchor,omitzero"`
	// There are no ticks before Start or after End. Zero: no such bound.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	// MaxRuns is how many jobs it enqueues at most. 0: no limit.
	MaxRuns int64 `json:"max_runs,omitempty"`
	// Missed says what becomes of ticks that nobody was there to see.
	Missed Missed `json:"missed,omitempty"`
	// MissedWindow is how old a missed tick may be and still be made up for. 0: any age.
	MissedWindow time.Duration `json:"missed_window,omitempty"`
	// Overlap says what a tick does while the job of an earlier one has not ended.
	Overlap Overlap `json:"overlap,omitempty"`
	// Jitter lets each job start up to so much later than its tick.
	Jitter time.Duration `json:"jitter,omitempty"`
}

// TickJob is what a schedule enqueues at each tick. The fields are those of a job.
type TickJob struct {
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	Priority    int             `json:"priority"`
	Args        json.RawMessage `json:"args"`
	MaxAttempts int             `json:"max_attempts,omitempty"`
	Timeout     time.Duration   `json:"timeout,omitempty"`
	Extra
}

// Missed says what becomes of ticks that are more than [OnTime] old when they are
// seen, because no worker was there. The zero value is MissedOnce.
type Missed string

// The ways to treat missed ticks.
const (
	MissedOnce Missed = "once" // the latest of them is made up for
	MissedSkip Missed = "skip" // none
	MissedAll  Missed = "all"  // all, the latest MaxMissed of them
)

const (
	// OnTime is the age up to which a tick counts as seen in time: it is enqueued
	// whatever Missed says, so that a change of leader costs no tick.
	OnTime = time.Minute
	// MaxMissed is how many ticks MissedAll makes up for.
	MaxMissed = 1000
)

// Overlap says what a tick does while the job of an earlier tick of the same
// schedule, or of its run by hand, has not ended. The zero value is OverlapAllow.
type Overlap string

// The ways to treat overlap.
const (
	OverlapAllow  Overlap = "allow"  // enqueue, whatever else runs
	OverlapSkip   Overlap = "skip"   // enqueue nothing
	OverlapQueue  Overlap = "queue"  // let one job wait for the end of the earlier; more ticks change nothing but its tick
	OverlapCancel Overlap = "cancel" // cancel the earlier job; this one starts when it has ended
)

// NewSchedule returns the schedule of a name that enqueues args, with the options
// of a job, whenever when is due. The error is an [InvalidError]. Options for one
// time (At, After) or for uniqueness have no place here: see [Schedule.Overlap].
func NewSchedule(name string, when When, args Args, options ...Option) (Schedule, error) {
	if when == nil {
		return Schedule{}, invalid("when", "nil")
	}
	job, _, err := (&Client{}).build(context.Background(), args, options)
	if err != nil {
		return Schedule{}, err
	}
	switch {
	case job.Unique != nil:
		return Schedule{}, invalid("unique", "the jobs of a schedule are not unique by a rule of their own: set Overlap")
	case job.Delay != 0 || !job.RunAt.IsZero():
		return Schedule{}, invalid("run at", "the jobs of a schedule start at its ticks")
	}
	if _, ever := when.Next(time.Time{}); !ever && when.String() != atStart {
		return Schedule{}, invalid("expression", "%q has no ticks", when)
	}
	if zone := when.Zone(); !isNamed(zone) {
		return Schedule{}, invalid("zone", "%q is not an IANA time zone, which is the same on every machine", zone)
	}
	s := Schedule{
		Name: name, Expression: when.String(), Zone: when.Zone().String(),
		Job: TickJob{
			Kind: job.Kind, Queue: job.Queue, Priority: job.Priority, Args: job.Args,
			MaxAttempts: job.MaxAttempts, Timeout: job.Timeout, Extra: job.Extra,
		},
	}
	return s, s.Check()
}

// isNamed reports whether a zone is the one that its name stands for, unlike a
// fixed one that is called CET.
func isNamed(zone *time.Location) bool {
	named, err := time.LoadLocation(zone.String())
	if err != nil {
		return false
	}
	for month := time.January; month <= time.December; month++ {
		at := time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)
		_, one := at.In(zone).Zone()
		_, other := at.In(named).Zone()
		if one != other {
			return false
		}
	}
	return true
}

// atStart is the expression of schedules that have no ticks of their own.
const atStart = "@reboot"

// AtStart reports whether the schedule is one for @reboot: it enqueues when a worker
// starts and no other lives, whatever program that is of. Workers that join others
// or take over from them one by one, as at a rolling deploy, are no new start.
func (s *Schedule) AtStart() bool { return s.Expression == atStart }

// MustSchedule is [NewSchedule] for schedules in a program's text: it panics on
// an error.
func MustSchedule(name string, when When, args Args, options ...Option) Schedule {
	s, err := NewSchedule(name, when, args, options...)
	if err != nil {
		panic(err)
	}
	return s
}

// Check reports the first thing wrong with a schedule, as an [InvalidError] that
// names the field. The expression is not read: [NewSchedule] gets a valid one.
func (s *Schedule) Check() error {
	if err := CheckName("schedule", s.Name); err != nil {
		return err
	}
	if s.Expression == "" || len(s.Expression) > 512 {
		return invalid("expression", "it has %d bytes: from 1 to 512 are allowed", len(s.Expression))
	}
	if _, err := time.LoadLocation(s.Zone); err != nil || s.Zone == "" || s.Zone == "Local" {
		return invalid("zone", "%q is not the name of an IANA time zone, which is the same on every machine", s.Zone)
	}
	if s.Description != "" {
		if err := CheckText("description", s.Description, 1000); err != nil {
			return err
		}
	}
	if len(s.Tags) > MaxTags {
		return invalid("tags", "%d tags are more than the limit of %d", len(s.Tags), MaxTags)
	}
	for _, tag := range s.Tags {
		if err := CheckText("tags", tag, MaxName); err != nil {
			return err
		}
	}
	if err := s.checkPolicies(); err != nil {
		return err
	}
	job := s.Job.newJob()
	return job.Check()
}

func (s *Schedule) checkPolicies() error {
	switch s.Missed {
	case "", MissedOnce, MissedSkip, MissedAll:
	default:
		return invalid("missed", "%q is not one of once, skip, all", s.Missed)
	}
	switch s.Overlap {
	case "", OverlapAllow, OverlapSkip, OverlapQueue, OverlapCancel:
	default:
		return invalid("overlap", "%q is not one of allow, skip, queue, cancel", s.Overlap)
	}
	switch {
	case s.MissedWindow < 0 || s.MissedWindow > MaxDelay:
		return invalid("missed window", "%s is not from 0 to 100 years", s.MissedWindow)
	case s.Jitter < 0 || s.Jitter > 24*time.Hour:
		return invalid("jitter", "%s is not from 0 to 24 hours", s.Jitter)
	case s.MaxRuns < 0:
		return invalid("max runs", "%d is negative", s.MaxRuns)
	case !s.End.IsZero() && s.End.Before(s.Start):
		return invalid("end", "it is before the start")
	}
	for _, t := range []time.Time{s.Anchor, s.Start, s.End} {
		if !t.IsZero() && (t.Year() < 1 || t.Year() > 9999) {
			return invalid("time", "the year %d is not from 1 to 9999", t.Year())
		}
	}
	return nil
}

// newJob returns the job of a tick, due at once.
func (t *TickJob) newJob() NewJob {
	return NewJob{
		Kind: t.Kind, Queue: t.Queue, Priority: t.Priority, Args: t.Args,
		MaxAttempts: t.MaxAttempts, Timeout: t.Timeout, Extra: t.Extra,
	}
}
