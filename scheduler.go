package offstage

import (
	"context"
	"time"
)

// Scheduler keeps schedules and their ticks. It decides nothing: it keeps what
// clients and leaders decide, if what they have read still holds. So a tick is
// enqueued once, whoever else decides about it at the same time.
type Scheduler interface {
	// FindSchedules returns a page of schedules, by name; with Due, the ones
	// that are to be looked at, longest due first.
	FindSchedules(ctx context.Context, query ScheduleQuery) (SchedulePage, error)
	// ChangeSchedules carries out changes in one transaction, each whole or not
	// at all, and answers for each. A change counts if its schedule still has
	// the version that it was made of, and none of its ticks has been recorded
	// before; then the schedule becomes as it says, its jobs are inserted and
	// its ticks recorded. One without ticks is told to watchers as NewsAny. A repeat
	// after a lost answer is safe: it does not count.
	ChangeSchedules(ctx context.Context, changes []ScheduleChange) ([]ScheduleChanged, error)
	// Ticks returns up to limit ticks of a schedule, the latest first, from
	// before a time on; zero: the latest. Of each schedule the last KeepTicks
	// are kept. States are left zero.
	Ticks(ctx context.Context, schedule int64, before time.Time, limit int) ([]TickInfo, error)
}

// ScheduleInfo is a schedule as a store has it, with its memory of ticks.
type ScheduleInfo struct {
	Schedule
	ID      int64 `json:"id"`      // never given again; 0: it is not stored
	Version int64 `json:"version"` // counts its changes
	// Source says who may change it: SourceCode, SourceFile or SourceHand; Owner
	// which program or file.
	Source string `json:"source"`
	Owner  string `json:"owner,omitempty"`
	// Paused says that a person switched it off.
	Paused bool `json:"paused,omitempty"`
	// LeftAt is when its owner no longer had it; it is switched off then. Zero:
	// the owner has it.
	LeftAt    time.Time `json:"left_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"` // by a person or its owner, not by ticks
	// Since is the time before which its ticks are of no interest: it was made,
	// changed or resumed then.
	Since time.Time `json:"since"`
	// LastTick is the latest tick that was enqueued or passed over; LastRun the
	// latest that enqueued. With AtStart, LastTick also moves when workers join
	// others: a start is when every living one has started after it.
	LastTick time.Time `json:"last_tick,omitzero"`
	LastRun  time.Time `json:"last_run,omitzero"`
	// NextTick is the next tick, as far as it is known.
	NextTick time.Time `json:"next_tick,omitzero"`
	// Owed are former definitions with ticks that were due, and not yet seen, when
	// the schedule was changed; the earliest first.
	Owed []Owed `json:"owed_by,omitempty"`
	// LookAt is when the leader is to look at it; zero: not before it is changed.
	LookAt time.Time `json:"look_at,omitzero"`
	Runs   int64     `json:"runs"` // jobs that its ticks enqueued
	// Problem says why its expression could not be read; "" if it could.
	Problem string `json:"problem,omitempty"`
}

// Owed is what a schedule was before a change: its ticks after After, up to Until,
// are still to be decided about, by the policies that it has now.
type Owed struct {
	Expression string    `json:"expression"`
	Zone       string    `json:"zone"`
	Anchor     time.Time `json:"anchor"`
	After      time.Time `json:"after"`
	Until      time.Time `json:"until"`
}

// MaxOwed is how many changes in a row, with ticks due before each and nobody there
// to see them, keep what they owe. With more, the earliest is given up.
const MaxOwed = 20

// The sources of schedules.
const (
	SourceCode = "code"
	SourceFile = "file"
	SourceHand = "hand"
)

// ScheduleQuery chooses schedules: the one of a name, those that are due, or all
// by name.
type ScheduleQuery struct {
	Name  string // "": any
	Due   bool   // those whose LookAt has come
	After string // of all: the name after which the page begins
	Limit int    // the most to return; 1 to 1,000
}

// SchedulePage is an answer to a ScheduleQuery.
type SchedulePage struct {
	Now       time.Time // the store's clock
	Schedules []ScheduleInfo
	// Next is, with Due, the earliest LookAt that has not come; zero: none.
	Next time.Time
}

// ScheduleChange is a change of one schedule.
type ScheduleChange struct {
	// Schedule is what it shall be. ID and Version are those of the schedule that
	// was read; ID 0 makes a new one, if there is none of its name.
	Schedule ScheduleInfo
	// Remove removes it, with its ticks. Jobs stay.
	Remove bool
	Ticks  []NewTick
}

// ScheduleChanged says what became of a ScheduleChange.
type ScheduleChanged struct {
	// Counted says that the change was made; otherwise nothing of it was.
	Counted bool
	ID      int64
	// Jobs has one entry for each tick; zero where the tick had no job.
	Jobs []Inserted
}
