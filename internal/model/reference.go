// Package model holds stores against a reference that is small enough to be
// read: random operations on both, one after the other, and everything that can
// be seen must agree.
package model

import (
	"cmp"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// reference is the contract of a store for one caller at a time, in memory, by
// the plainest means. It decides what must happen; where the contract leaves a
// choice (which of two jobs that arrived together comes first), it takes over
// what the store chose.
type reference struct {
	now    time.Duration // since the beginning
	tick   int           // counts operations: the order of arrival
	jobs   map[offstage.ID]*job
	claims map[claimKey]map[offstage.ID]bool // the jobs of each claim that have not ended
	paused map[string]bool                   // queues
	keys   map[string]offstage.ID            // unique keys and their holders
}

type claimKey struct {
	worker offstage.WorkerID
	seq    int64
}

type job struct {
	id       offstage.ID
	queue    string
	priority int
	key      string
	state    offstage.State
	band     int // 0: handed back, rescued or run now; 1: the rest
	arrived  int
	due      time.Duration
	run      int // the latest that started
	next     int // the number of the next
	errors   int
	lost     int
	asked    bool // a cancel is pending
	named    bool // its worker has named it as the suspect that it starts
	claim    claimKey
	ends     map[int]claimKey // ended runs and the claims under which they ended
}

func newReference() *reference {
	return &reference{
		jobs:   map[offstage.ID]*job{},
		claims: map[claimKey]map[offstage.ID]bool{},
		paused: map[string]bool{},
		keys:   map[string]offstage.ID{},
	}
}

// insert adds a job, unless its key is held; it returns the holder then.
func (r *reference) insert(id offstage.ID, new offstage.NewJob, key string) (holder offstage.ID) {
	if key != "" {
		if held, ok := r.keys[key]; ok {
			return held
		}
		r.keys[key] = id
	}
	j := &job{id: id, queue: new.Queue, priority: new.Priority, key: key, next: 1, ends: map[int]claimKey{}}
	r.jobs[id] = j
	r.wait(j, offstage.Scheduled, new.Delay, 1)
	return 0
}

// wait puts a job into a waiting state: ready at once if there is no delay.
func (r *reference) wait(j *job, state offstage.State, delay time.Duration, band int) {
	j.state, j.due, j.band, j.arrived = state, r.now+delay, band, r.tick
	if delay <= 0 {
		j.state = offstage.Ready
	}
}

// end makes a job terminal and lets go of its key.
func (r *reference) end(j *job, state offstage.State) {
	j.state, j.asked = state, false
	if r.keys[j.key] == j.id {
		delete(r.keys, j.key)
	}
}

// rank is what decides between two jobs of a queue; equal ranks may come in
// either order.
func (j *job) rank() [3]int { return [3]int{j.priority, j.band, j.arrived} }

// first returns the ready jobs of the queues in the order in which they are to
// be claimed, at most n.
func (r *reference) first(queues []string, n int) []*job {
	var found []*job
	for _, queue := range queues {
		var lane []*job
		for _, j := range r.jobs {
			if j.state == offstage.Ready && j.queue == queue && !r.paused[queue] {
				lane = append(lane, j)
			}
		}
		slices.SortFunc(lane, func(a, b *job) int {
			ra, rb := a.rank(), b.rank()
			return slices.Compare(ra[:], rb[:])
		})
		found = append(found, lane...)
	}
	return found[:min(n, len(found))]
}

// claim starts a job's next run.
func (r *reference) claim(j *job, key claimKey) {
	j.state, j.run, j.claim, j.named = offstage.Running, j.next, key, false
	j.next++
	if r.claims[key] == nil {
		r.claims[key] = map[offstage.ID]bool{}
	}
	r.claims[key][j.id] = true
}

// verdict says what must become of a result.
func (r *reference) verdict(worker offstage.WorkerID, res offstage.Result) offstage.VerdictKind {
	key := claimKey{worker, res.Claim}
	j := r.jobs[res.Job]
	if j == nil {
		return offstage.Refused
	}
	if by, ended := j.ends[res.Run]; ended {
		if by == key {
			return offstage.Already
		}
		return offstage.Refused
	}
	if !r.claims[key][res.Job] {
		return offstage.Refused
	}
	return offstage.Counted
}

// finish carries out a result that counts and returns the state it leads to.
func (r *reference) finish(worker offstage.WorkerID, res offstage.Result) offstage.State {
	j := r.jobs[res.Job]
	key := claimKey{worker, res.Claim}
	delete(r.claims[key], j.id)
	j.ends[res.Run] = key
	j.errors, j.lost = res.Errors, res.Lost
	next := res.Next
	if j.asked && !next.Terminal() {
		next = offstage.Cancelled
	}
	switch next {
	case offstage.Ready:
		r.wait(j, next, 0, 0)
	case offstage.Retrying, offstage.Scheduled:
		r.wait(j, next, res.Wait, 1)
	default:
		r.end(j, next)
	}
	return next
}

// release forgets a claim of which nothing runs any more.
func (r *reference) release(key claimKey) { delete(r.claims, key) }

// promote makes due jobs ready, all as one arrival.
func (r *reference) promote() {
	for _, j := range r.jobs {
		if (j.state == offstage.Scheduled || j.state == offstage.Retrying) && j.due <= r.now {
			j.state, j.band, j.arrived = offstage.Ready, 1, r.tick
		}
	}
}

// rescue ends what a dead worker ran.
func (r *reference) rescue(worker offstage.WorkerID) {
	for key, jobs := range r.claims {
		if key.worker != worker {
			continue
		}
		for id := range jobs {
			j := r.jobs[id]
			j.ends[j.run] = claimKey{}
			if j.lost < offstage.SuspectLost || j.named {
				j.lost++
			}
			switch {
			case j.lost >= offstage.MaxLost:
				r.end(j, offstage.Failed)
			case j.asked:
				r.end(j, offstage.Cancelled)
			default:
				r.wait(j, offstage.Ready, 0, 0)
			}
		}
		delete(r.claims, key)
	}
}

// name notes the one suspect that a worker starts.
func (r *reference) name(worker offstage.WorkerID, id offstage.ID) {
	for _, j := range r.jobs {
		if j.claim.worker == worker {
			j.named = j.id == id
		}
	}
}

// apply carries out an operator's change; allowed is false where the state
// does not permit it.
func (r *reference) apply(c offstage.Change) (after offstage.State, allowed bool) {
	j := r.jobs[c.Job]
	waiting := j.state.Waiting()
	switch c.Verb {
	case offstage.VerbCancel:
		switch {
		case waiting:
			j.ends[j.next] = claimKey{}
			j.run, j.next = j.next, j.next+1
			r.end(j, offstage.Cancelled)
		case j.state == offstage.Running:
			j.asked = true
		case j.state != offstage.Cancelled:
			return j.state, false
		}
	case offstage.VerbRetry:
		if !j.state.Terminal() && j.state != offstage.Retrying {
			return j.state, false
		}
		if j.key != "" && j.state.Terminal() {
			if holder, held := r.keys[j.key]; held && holder != j.id {
				return j.state, false
			}
			r.keys[j.key] = j.id
		}
		j.errors, j.lost = 0, 0
		r.wait(j, offstage.Ready, 0, 0)
	case offstage.VerbDelete:
		if j.state == offstage.Running {
			return j.state, false
		}
		r.end(j, offstage.Cancelled)
		delete(r.jobs, j.id)
		return 0, true
	case offstage.VerbRunNow:
		if !waiting {
			return j.state, false
		}
		r.wait(j, offstage.Ready, 0, 0)
	case offstage.VerbPrioritize:
		if !waiting {
			return j.state, false
		}
		j.priority, j.arrived = c.Priority, r.tick
	}
	return j.state, true
}

// ids returns all jobs' ids in order, so that random choices repeat.
func (r *reference) ids() []offstage.ID {
	ids := make([]offstage.ID, 0, len(r.jobs))
	for id := range r.jobs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b offstage.ID) int { return cmp.Compare(a, b) })
	return ids
}
