package model

import (
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// remembered is the second reference: what jobs remember and wait for, what
// follows them, and which requests and ticks have had their job. The order in
// which jobs start is the other reference's.
type remembered struct {
	now      time.Duration
	jobs     map[offstage.ID]*flowJob
	signals  map[string]string
	requests map[string]asked
	taken    map[string]bool // keys of Once
	version  int64           // of the schedule
	ticks    map[int64]bool  // those that were recorded, by number
}

type asked struct {
	print string
	job   offstage.ID
}

type flowJob struct {
	id       offstage.ID
	state    offstage.State
	hold     offstage.Hold // of the latest claim
	open     bool          // that claim is, and the run has not ended
	lost     int
	epoch    int // the run that may write
	steps    []step
	key      string        // what it waits for
	due      time.Duration // when it stops waiting, if scheduled
	follower offstage.ID   // 0: none
}

type step struct {
	name, value string
	kind        offstage.StepKind
	run         int
}

func newRemembered() *remembered {
	return &remembered{
		jobs: map[offstage.ID]*flowJob{}, signals: map[string]string{}, requests: map[string]asked{},
		taken: map[string]bool{}, ticks: map[int64]bool{},
	}
}

func (r *remembered) add(id offstage.ID, state offstage.State) *flowJob {
	j := &flowJob{id: id, state: state}
	r.jobs[id] = j
	return j
}

// in returns the jobs that are in a state, in order.
func (r *remembered) in(state offstage.State) []*flowJob {
	var found []*flowJob
	for _, j := range r.jobs {
		if j.state == state {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, func(a, b *flowJob) int { return int(a.id - b.id) })
	return found
}

// raise makes a run the one that may write, if it may.
func (r *remembered) raise(hold offstage.Hold) bool {
	j := r.jobs[hold.Job]
	if !j.open || j.hold != hold || j.epoch > hold.Run {
		return false
	}
	j.epoch = hold.Run
	return true
}

// remember keeps a step of the run whose epoch it is.
func (r *remembered) remember(hold offstage.Hold, new step) bool {
	j := r.jobs[hold.Job]
	if j.epoch != hold.Run {
		return false
	}
	new.run = hold.Run
	switch i := j.find(new.name); {
	case i < 0:
		j.steps = append(j.steps, new)
	case new.kind == offstage.StepCursor && j.steps[i].kind == offstage.StepCursor:
		// It takes the place of the one before, and is the youngest now.
		j.steps = append(slices.Delete(j.steps, i, i+1), new)
	}
	return true
}

func (j *flowJob) find(name string) int {
	return slices.IndexFunc(j.steps, func(s step) bool { return s.name == name })
}

// wait ends a run whose job waits for a key, for a limited time or not.
func (r *remembered) wait(j *flowJob, key string, within time.Duration) {
	j.open = false
	switch {
	case r.isThere(key):
		j.state = offstage.Ready
	case within > 0:
		j.state, j.key, j.due = offstage.Scheduled, key, r.now+within
	default:
		j.state, j.key = offstage.Blocked, key
	}
}

func (r *remembered) isThere(key string) bool {
	if id, ok := offstage.EndOf(key); ok {
		return r.jobs[id].state.Terminal()
	}
	name, _ := offstage.SignalOf(key)
	_, given := r.signals[name]
	return given
}

// wake makes those ready that wait for a key.
func (r *remembered) wake(key string) (woken int) {
	for _, j := range r.jobs {
		if j.key == key && j.state.Waiting() && j.state != offstage.Ready {
			j.state, j.key = offstage.Ready, ""
			woken++
		}
	}
	return woken
}

// end ends a job: who waits for that, or follows it, is ready.
func (r *remembered) end(j *flowJob, state offstage.State) {
	j.state, j.open, j.key = state, false, ""
	r.wake(offstage.EndKey(j.id))
	if then := r.jobs[j.follower]; then != nil && then.state == offstage.Blocked {
		then.state = offstage.Ready
	}
}

// rescue ends what a dead worker ran.
func (r *remembered) rescue(worker offstage.WorkerID) {
	for _, j := range r.jobs {
		if !j.open || j.hold.Worker != worker {
			continue
		}
		progressed := slices.ContainsFunc(j.steps, func(s step) bool { return s.run == j.hold.Run })
		switch {
		case progressed:
			j.lost = 1
		case j.lost < offstage.SuspectLost: // nobody names a suspect here
			j.lost++
		}
		j.state, j.open = offstage.Ready, false
	}
}

// pass lets time go by.
func (r *remembered) pass(d time.Duration) {
	r.now += d
	for _, j := range r.jobs {
		if j.state == offstage.Scheduled && j.due <= r.now {
			j.state, j.key = offstage.Ready, ""
		}
	}
}
