package worker

import (
	"time"

	"github.com/offstagehq/offstage"
)

// Limits that tests outside the package count to.
const (
	MaxText      = maxText
	MaxLogLines  = maxLogLines
	BehindBy     = behindBy
	StopTime     = stopTime
	ChoreTime    = choreTime
	PromoteEvery = promoteEvery
	RingPause    = ringPause
)

// SetWall makes the worker's wall clock go ahead of the monotonic one.
func (w *Worker) SetWall(ahead func() time.Duration) {
	w.clock = func() moment {
		at := now()
		at.wall = at.wall.Add(ahead())
		return at
	}
}

// Duties returns how often each of the leader's chores is done at least.
func Duties() map[offstage.Chore]time.Duration {
	every := map[offstage.Chore]time.Duration{offstage.Promote: promoteCalm}
	for _, duty := range duties {
		every[duty.chore] = max(duty.every, duty.calm)
	}
	return every
}

// ReportProgress returns what a handler's calls of Progress end up in, of a
// worker that does not run.
func (w *Worker) ReportProgress() offstage.Execution {
	return &execution{engine: w.engine(), attempt: &attempt{}}
}
