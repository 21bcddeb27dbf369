package storetest

import (
	"time"

	"github.com/offstagehq/offstage"
)

// bring inserts a job and brings it into a state. A blocked one is of a kind
// that nobody handles. A running one, and one that has ended, was claimed by
// the worker that is returned.
func (r *rig) bring(job offstage.NewJob, state offstage.State) (offstage.ID, *worker, taken) {
	r.Helper()
	switch state {
	case offstage.Scheduled:
		job.Delay = time.Hour
	case offstage.Blocked:
		job.Kind = "unheard_of"
	}
	id := r.insertOne(job)
	w := r.worker()
	if state == offstage.Scheduled || state == offstage.Ready {
		return id, w, taken{}
	}
	jobs := w.claim(pool(1, job.Queue))
	if len(jobs) != 1 || jobs[0].ID != id {
		r.Fatalf("claimed %v, want only job %d", idsOf(jobs), id)
	}
	t := jobs[0]
	switch state {
	case offstage.Retrying:
		w.counted(t.errored(time.Hour))
	case offstage.Blocked:
		w.counted(t.blocked(offstage.WaitsKindUnknown))
	case offstage.Completed:
		w.counted(t.completed())
	case offstage.Failed:
		w.counted(t.failed())
	case offstage.Cancelled:
		w.counted(t.ended(offstage.OutcomeCancelled, offstage.Cancelled))
	}
	r.wantState(state, id)
	return id, w, t
}

// Groups of states, in the order of a job's life.
var (
	waitingStates = []offstage.State{offstage.Scheduled, offstage.Ready, offstage.Retrying, offstage.Blocked}
	liveStates    = []offstage.State{offstage.Scheduled, offstage.Ready, offstage.Running, offstage.Retrying, offstage.Blocked}
	endedStates   = []offstage.State{offstage.Completed, offstage.Failed, offstage.Cancelled}
)
