package model

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/storetest"
)

// Run holds stores of the harness against the reference with random operations,
// as many times as rapid's flags say, and prints the shortest sequence that it
// finds to end in a difference.
func Run(t *testing.T, h storetest.Harness) {
	explore(t, h, func(rt *rapid.T, scope *scope) rapid.StateMachine { return newMachine(rt, scope, h) })
}

// machine performs random operations on a store and on the reference. Its
// exported methods are the operations; Check follows each of them.
type machine struct {
	driver
	ref  *reference
	held []heldJob // claimed and, as far as their worker knows, running
	sent []sentResult
}

type heldJob struct {
	worker offstage.WorkerID
	seq    int64
	offstage.ClaimedJob
}

type sentResult struct {
	worker offstage.WorkerID
	result offstage.Result
}

func newMachine(rt *rapid.T, scope *scope, h storetest.Harness) *machine {
	return &machine{driver: newDriver(rt, scope, h), ref: newReference()}
}

var (
	queues     = rapid.SampledFrom([]string{"a", "b"})
	priorities = rapid.SampledFrom([]int{0, 5, 9})
	delays     = rapid.SampledFrom([]time.Duration{0, 0, 0, time.Second, 5 * time.Second, 20 * time.Second})
	keys       = rapid.SampledFrom([]string{"", "", "", "x", "y"})
)

// Insert enqueues one job, perhaps later, perhaps unique.
func (m *machine) Insert(rt *rapid.T) {
	m.ref.tick++
	key := keys.Draw(rt, "key")
	job := offstage.NewJob{Kind: "k", Queue: queues.Draw(rt, "queue"), Priority: priorities.Draw(rt, "priority"),
		Args: []byte(`{}`), Delay: delays.Draw(rt, "delay")}
	if key != "" {
		job.Unique = &offstage.UniqueKey{Key: []byte(key + "_______________"), Mode: offstage.Skip}
	}
	got, err := m.store.Insert(m.scope.Context(), []offstage.NewJob{job})
	if err != nil {
		rt.Fatalf("insert: %v", err)
	}
	holder := m.ref.insert(got[0].ID, job, key)
	if got[0].Existed != (holder != 0) || holder != 0 && holder != got[0].ID {
		rt.Fatalf("insert under key %q: got %+v; the holder is %d", key, got[0], holder)
	}
}

// Claim takes jobs for a worker and expects the first ones in order.
func (m *machine) Claim(rt *rapid.T) {
	m.ref.tick++
	m.seq++
	worker := rapid.SampledFrom(m.workers).Draw(rt, "worker")
	order := rapid.SampledFrom([][]string{{"a"}, {"b"}, {"a", "b"}, {"b", "a"}}).Draw(rt, "queues")
	slots := rapid.IntRange(1, 4).Draw(rt, "slots")
	want := m.ref.first(order, slots)
	claim, err := m.store.Claim(m.scope.Context(), offstage.ClaimRequest{
		Worker: worker, Seq: m.seq, Pools: []offstage.PoolRequest{{Queues: order, Slots: slots}},
	})
	if err != nil {
		rt.Fatalf("claim: %v", err)
	}
	if len(claim.Jobs) != len(want) {
		rt.Fatalf("claimed %d jobs; want %d", len(claim.Jobs), len(want))
	}
	ranks := map[[3]int]int{}
	for _, j := range want {
		ranks[j.rank()]++
	}
	for _, got := range claim.Jobs {
		j := m.ref.jobs[got.ID]
		if j == nil || j.state != offstage.Ready || ranks[j.rank()] == 0 {
			rt.Fatalf("claimed job %d, which is not among the first: %+v", got.ID, j)
		}
		ranks[j.rank()]--
		if got.Run != j.next || got.Errors != j.errors || got.Lost != j.lost || got.CancelAsked {
			rt.Fatalf("claimed %+v; want run %d, errors %d, lost %d", got, j.next, j.errors, j.lost)
		}
		m.ref.claim(j, claimKey{worker, m.seq})
		m.held = append(m.held, heldJob{worker, m.seq, got})
	}
}

// Finish ends a claimed job in a random way, sometimes by the wrong worker.
func (m *machine) Finish(rt *rapid.T) {
	if len(m.held) == 0 {
		rt.Skip("nothing is claimed")
	}
	m.ref.tick++
	i := rapid.IntRange(0, len(m.held)-1).Draw(rt, "held")
	h := m.held[i]
	res := offstage.Result{Job: h.ID, Run: h.Run, Claim: h.seq, Started: true, Ran: time.Millisecond, UniqueKey: h.UniqueKey}
	res.Errors = h.Errors
	end := rapid.SampledFrom(endings).Draw(rt, "ending")
	res.Outcome, res.Next, res.Wait = end.outcome, end.next, end.wait
	if end.outcome == offstage.OutcomeErrored {
		res.Errors++
	}
	worker := h.worker
	if rapid.IntRange(0, 9).Draw(rt, "wrong worker") == 0 {
		worker = m.workers[0] + m.workers[1] - worker
	} else {
		m.held = slices.Delete(m.held, i, i+1)
	}
	m.send(rt, worker, res)
	m.sent = append(m.sent, sentResult{worker, res})
}

var endings = []struct {
	outcome offstage.Outcome
	next    offstage.State
	wait    time.Duration
}{
	{offstage.OutcomeCompleted, offstage.Completed, 0},
	{offstage.OutcomeErrored, offstage.Retrying, 3 * time.Second},
	{offstage.OutcomeErrored, offstage.Retrying, 0},
	{offstage.OutcomeErrored, offstage.Failed, 0},
	{offstage.OutcomeSnoozed, offstage.Scheduled, 7 * time.Second},
	{offstage.OutcomeCancelled, offstage.Cancelled, 0},
	{offstage.OutcomeInterrupted, offstage.Ready, 0},
}

// Again repeats an earlier Finish, as after a lost answer.
func (m *machine) Again(rt *rapid.T) {
	if len(m.sent) == 0 {
		rt.Skip("nothing was finished")
	}
	m.ref.tick++
	s := rapid.SampledFrom(m.sent).Draw(rt, "result")
	m.send(rt, s.worker, s.result)
}

// send finishes and compares the verdict. A claim is released with its last job.
func (m *machine) send(rt *rapid.T, worker offstage.WorkerID, res offstage.Result) {
	want := m.ref.verdict(worker, res)
	req := offstage.FinishRequest{Worker: worker, Results: []offstage.Result{res}}
	key := claimKey{worker, res.Claim}
	if want == offstage.Counted && len(m.ref.claims[key]) == 1 {
		req.Release = []int64{res.Claim}
	}
	got, err := m.store.Finish(m.scope.Context(), req)
	if err != nil {
		rt.Fatalf("finish: %v", err)
	}
	if m.ref.jobs[res.Job] == nil {
		// What a store remembers of a deleted job is its own business.
		if got[0].Kind == offstage.Counted {
			rt.Fatalf("finish of job %d, which was deleted, counted", res.Job)
		}
		return
	}
	if got[0].Kind != want {
		rt.Fatalf("finish of job %d run %d: verdict %v; want %v", res.Job, res.Run, got[0], want)
	}
	if want != offstage.Counted {
		return
	}
	if next := m.ref.finish(worker, res); got[0].Next != next {
		rt.Fatalf("finish of job %d: it became %v; want %v", res.Job, got[0].Next, next)
	}
	if req.Release != nil {
		m.ref.release(key)
	}
}

// Operate does what a person may do to any job.
func (m *machine) Operate(rt *rapid.T) {
	ids := m.ref.ids()
	if len(ids) == 0 {
		rt.Skip("there are no jobs")
	}
	m.ref.tick++
	change := offstage.Change{Job: rapid.SampledFrom(ids).Draw(rt, "job"), Priority: priorities.Draw(rt, "priority")}
	change.Verb = rapid.SampledFrom([]offstage.Verb{offstage.VerbCancel, offstage.VerbRetry, offstage.VerbDelete,
		offstage.VerbRunNow, offstage.VerbPrioritize}).Draw(rt, "verb")
	before := m.ref.jobs[change.Job].state
	got, err := m.store.Apply(m.scope.Context(), change)
	want, allowed := m.ref.apply(change)
	var refused *offstage.StateError
	switch {
	case allowed && err != nil:
		rt.Fatalf("%s of a job that is %s: %v", change.Verb, before, err)
	case !allowed && !errors.As(err, &refused):
		rt.Fatalf("%s of a job that is %s: %v, %v; want a StateError", change.Verb, before, got, err)
	case allowed && change.Verb != offstage.VerbDelete && got != want:
		rt.Fatalf("%s of a job that was %s: it is %s now; want %s", change.Verb, before, got, want)
	}
}

// Pass lets time go by and promotes what is due.
func (m *machine) Pass(rt *rapid.T) {
	m.ref.tick++
	d := rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Second, 10 * time.Second}).Draw(rt, "time")
	m.driver.pass(d)
	m.ref.now += d
	m.ref.promote()
	m.chore(rt, offstage.Promote)
}

// Tidy does the chores that must not be seen.
func (m *machine) Tidy(rt *rapid.T) {
	m.ref.tick++
	for _, chore := range []offstage.Chore{offstage.Sweep, offstage.Publish, offstage.Unblock, offstage.Prune, offstage.Count} {
		m.chore(rt, chore)
	}
}

// Die lets a worker die and be rescued; another takes its place. What it still
// believes to hold may yet be finished by it, as by a process that was paused.
func (m *machine) Die(rt *rapid.T) {
	m.ref.tick++
	m.ref.rescue(m.die(rt))
}

// Suspect names a claimed job as the suspect that its worker starts.
func (m *machine) Suspect(rt *rapid.T) {
	i := slices.IndexFunc(m.held, func(h heldJob) bool { return h.Lost >= offstage.SuspectLost })
	if i < 0 {
		rt.Skip("no suspect is claimed")
	}
	h := m.held[i]
	err := m.store.Suspect(m.scope.Context(), h.worker, h.ID, h.Run)
	if alive := slices.Contains(m.workers, h.worker); alive != (err == nil) {
		rt.Fatalf("name job %d as a suspect: %v, with a worker that lives: %t", h.ID, err, alive)
	}
	if j := m.ref.jobs[h.ID]; err == nil && j != nil && j.state == offstage.Running && j.claim == (claimKey{h.worker, h.seq}) {
		m.ref.name(h.worker, h.ID)
	}
}

// Pause stops or resumes a queue.
func (m *machine) Pause(rt *rapid.T) {
	queue, paused := queues.Draw(rt, "queue"), rapid.Bool().Draw(rt, "paused")
	if err := m.store.Pause(m.scope.Context(), offstage.PauseTarget{Queue: queue}, paused); err != nil {
		rt.Fatalf("pause: %v", err)
	}
	m.ref.paused[queue] = paused
}

// Check compares all jobs after each operation.
func (m *machine) Check(rt *rapid.T) {
	for _, id := range m.ref.ids() {
		want := m.ref.jobs[id]
		got, err := m.store.Get(m.scope.Context(), id)
		if err != nil {
			rt.Fatalf("get job %d, which is %s: %v", id, want.state, err)
		}
		if got.State != want.state || got.Run != want.run || got.Errors != want.errors || got.Lost != want.lost ||
			got.Priority != want.priority || got.CancelAsked != want.asked {
			rt.Fatalf("job %d is %s, run %d, errors %d, lost %d, priority %d, cancel asked %t; want %+v",
				id, got.State, got.Run, got.Errors, got.Lost, got.Priority, got.CancelAsked, *want)
		}
		if len(got.Attempts) != len(want.ends) {
			rt.Fatalf("job %d has %d ended attempts; want %d", id, len(got.Attempts), len(want.ends))
		}
	}
}
