package storetest

import (
	"reflect"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// rig is what a case works with: its own store, and calls that end the case
// when they fail. Like a testing.T it is for the case's goroutine, except for
// store.
type rig struct {
	*testing.T
	h     Harness
	store offstage.Store
	term  int64 // of the leadership that chore takes when it is first called
}

func newRig(t *testing.T, h Harness) *rig {
	return &rig{T: t, h: h, store: h.Open(t)}
}

// peer returns a second handle on the store's database.
func (r *rig) peer() offstage.Store {
	r.Helper()
	if r.h.Peer == nil {
		return r.store
	}
	return r.h.Peer(r.T, r.store)
}

// pass lets time go by for the store.
func (r *rig) pass(d time.Duration) {
	r.Helper()
	if r.h.Advance == nil {
		time.Sleep(d) // in a bubble: returns at once
		return
	}
	r.h.Advance(r.T, r.store, d)
}

// breathe lets what waits for time go on beside a loop that looks again and
// again: in a bubble no time passes while anybody is busy.
func (r *rig) breathe() {
	if r.h.Advance == nil {
		time.Sleep(time.Millisecond)
	}
}

// echo is the plainest job: kind echo in queue default.
func echo() offstage.NewJob {
	return offstage.NewJob{Kind: "echo", Queue: offstage.DefaultQueue, Priority: offstage.DefaultPriority, Args: []byte(`{}`)}
}

// echoIn is echo in another queue and with another priority.
func echoIn(queue string, priority int) offstage.NewJob {
	job := echo()
	job.Queue, job.Priority = queue, priority
	return job
}

// echoAfter is echo with a delay.
func echoAfter(delay time.Duration) offstage.NewJob {
	job := echo()
	job.Delay = delay
	return job
}

// echoes are n jobs of the plainest kind.
func echoes(n int) []offstage.NewJob {
	jobs := make([]offstage.NewJob, n)
	for i := range jobs {
		jobs[i] = echo()
	}
	return jobs
}

// insert stores jobs of which none may exist, and returns their ids.
func (r *rig) insert(jobs ...offstage.NewJob) []offstage.ID {
	r.Helper()
	inserted, err := r.store.Insert(r.Context(), jobs)
	r.must(err, "insert")
	if len(inserted) != len(jobs) {
		r.Fatalf("insert answered %d for %d jobs", len(inserted), len(jobs))
	}
	ids := make([]offstage.ID, len(jobs))
	for i, in := range inserted {
		if in.Existed {
			r.Fatalf("insert says that job %d existed, yet it was new", in.ID)
		}
		ids[i] = in.ID
	}
	return ids
}

// insertOne stores one new job.
func (r *rig) insertOne(job offstage.NewJob) offstage.ID {
	r.Helper()
	return r.insert(job)[0]
}

// get returns a job that must exist.
func (r *rig) get(id offstage.ID) offstage.Details {
	r.Helper()
	details, err := r.store.Get(r.Context(), id)
	r.must(err, "get job "+id.String())
	return details
}

// history returns a job that must exist and have n attempts.
func (r *rig) history(id offstage.ID, n int) offstage.Details {
	r.Helper()
	details := r.get(id)
	if len(details.Attempts) != n {
		r.Fatalf("job %d has %d attempts, want %d", id, len(details.Attempts), n)
	}
	return details
}

// wantState checks the state of each of the jobs.
func (r *rig) wantState(want offstage.State, ids ...offstage.ID) {
	r.Helper()
	for _, id := range ids {
		if got := r.get(id).State; got != want {
			r.Errorf("job %d is %s, want %s", id, got, want)
		}
	}
}

// apply makes an operator's change that must be allowed.
func (r *rig) apply(change offstage.Change) offstage.State {
	r.Helper()
	state, err := r.store.Apply(r.Context(), change)
	r.must(err, string(change.Verb))
	return state
}

// pause stops or resumes a queue or kind.
func (r *rig) pause(target offstage.PauseTarget, paused bool) {
	r.Helper()
	r.must(r.store.Pause(r.Context(), target, paused), "pause")
}

// chore does a chore until nothing is left of it, under a leadership that lasts
// for the case, and returns how much it did.
func (r *rig) chore(chore offstage.Chore) int {
	r.Helper()
	if r.term == 0 {
		r.term = r.workerOn(r.store, offstage.WorkerInfo{}).lead(10_000 * time.Hour)
	}
	done := 0
	for range 1000 {
		report, err := r.store.Chore(r.Context(), r.term, chore, 100)
		r.must(err, chore.String())
		done += report.Done
		if !report.More {
			return done
		}
	}
	r.Fatalf("%s says for ever that there is more to do", chore)
	return 0
}

// must ends the case on an error.
func (r *rig) must(err error, what string) {
	r.Helper()
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// same checks that two values are deeply equal.
func same[V any](r *rig, what string, got, want V) {
	r.Helper()
	if !reflect.DeepEqual(got, want) {
		r.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// sameTime checks that two times are equal to the microsecond, which is what
// stores keep.
func sameTime(r *rig, what string, got, want time.Time) {
	r.Helper()
	if got.Sub(want).Abs() > time.Microsecond {
		r.Errorf("%s: got %v, want %v", what, got, want)
	}
}
