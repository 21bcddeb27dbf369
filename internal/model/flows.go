package model

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/storetest"
)

// RunFlows is [Run] for what jobs remember and wait for, and for requests,
// followers and ticks.
func RunFlows(t *testing.T, h storetest.Harness) {
	explore(t, h, func(rt *rapid.T, scope *scope) rapid.StateMachine { return newFlows(rt, scope, h) })
}

// flows is the machine of [RunFlows].
type flows struct {
	driver
	ref   *remembered
	holds []offstage.Hold // all that were ever claimed
	plan  offstage.ScheduleInfo
	start time.Time // of the schedule
}

func newFlows(rt *rapid.T, scope *scope, h storetest.Harness) *flows {
	m := &flows{driver: newDriver(rt, scope, h), ref: newRemembered()}
	page, err := m.store.FindSchedules(scope.Context(), offstage.ScheduleQuery{Limit: 1})
	must(rt, err, "ask for the time")
	m.start = page.Now.Truncate(time.Minute).Add(-time.Hour).UTC()
	m.plan = offstage.ScheduleInfo{
		Schedule: offstage.Schedule{Name: "s", Expression: "0 9 * * *", Zone: "UTC", Job: offstage.TickJob{Kind: "k", Queue: "a", Args: []byte(`{}`)}},
		Source:   offstage.SourceHand, CreatedAt: m.start, UpdatedAt: m.start, Since: m.start,
	}
	changed, err := m.store.ChangeSchedules(scope.Context(), []offstage.ScheduleChange{{Schedule: m.plan}})
	must(rt, err, "make a schedule")
	m.plan.ID = changed[0].ID
	m.ref.version = m.currentVersion(rt)
	return m
}

func must(rt *rapid.T, err error, what string) {
	if err != nil {
		rt.Fatalf("%s: %v", what, err)
	}
}

var (
	steps    = rapid.SampledFrom([]string{"charge", "rows"})
	values   = rapid.SampledFrom([]string{"1", "2", `"x"`})
	signals  = rapid.SampledFrom([]string{"paid", "shipped"})
	requests = rapid.SampledFrom([]string{"", "", "r1", "r2"})
	prints   = rapid.SampledFrom([]string{"p", "p", "q"})
)

// Begin enqueues a job and claims it.
func (m *flows) Begin(rt *rapid.T) {
	m.Enqueue(rt)
	m.Claim(rt)
}

// Enqueue enqueues a job, perhaps for a request, perhaps with a follower.
func (m *flows) Enqueue(rt *rapid.T) {
	key, print := requests.Draw(rt, "request"), prints.Draw(rt, "fingerprint")
	job := plainJob()
	if rapid.Bool().Draw(rt, "follower") {
		then := plainJob()
		job.Then = &then
	}
	if key != "" {
		job.Request = &offstage.Request{Key: []byte(key), Fingerprint: []byte(print), Keep: 1000 * time.Hour}
	}
	got, err := m.store.InsertFlow(m.scope.Context(), job)
	if before, made := m.ref.requests[key]; key != "" && made {
		m.wantRepeat(rt, before, print, got, err)
		return
	}
	must(rt, err, "insert a flow")
	if got.Existed {
		rt.Fatalf("the first request %q existed: %+v", key, got)
	}
	added := m.ref.add(got.ID, offstage.Ready)
	if key != "" {
		m.ref.requests[key] = asked{print, got.ID}
	}
	if job.Then != nil {
		added.follower = m.followerOf(rt, got.ID)
		m.ref.add(added.follower, offstage.Blocked)
	}
}

func plainJob() offstage.NewJob {
	return offstage.NewJob{Kind: "k", Queue: "a", Priority: 5, Args: []byte(`{}`)}
}

func (m *flows) wantRepeat(rt *rapid.T, before asked, print string, got offstage.Inserted, err error) {
	switch same := before.print == print; {
	case same && (err != nil || !got.Existed || got.ID != before.job):
		rt.Fatalf("a repeat got %+v, %v; want job %d", got, err, before.job)
	case !same && !errors.Is(err, offstage.ErrOtherRequest):
		rt.Fatalf("another request under a known key got %+v, %v; want ErrOtherRequest", got, err)
	}
}

// Requested asks for a request that may have been made.
func (m *flows) Requested(rt *rapid.T) {
	key, print := rapid.SampledFrom([]string{"r1", "r2"}).Draw(rt, "request"), prints.Draw(rt, "fingerprint")
	got, err := m.store.Requested(m.scope.Context(), offstage.Request{Key: []byte(key), Fingerprint: []byte(print)})
	if before, made := m.ref.requests[key]; made {
		m.wantRepeat(rt, before, print, got, err)
	} else if !errors.Is(err, offstage.ErrNotFound) {
		rt.Fatalf("a request that was never made got %+v, %v", got, err)
	}
}

func (m *flows) followerOf(rt *rapid.T, id offstage.ID) offstage.ID {
	page, err := m.store.List(m.scope.Context(), offstage.Filter{Limit: 1000})
	must(rt, err, "list")
	for _, job := range page.Jobs {
		if offstage.Followed(job.Facts) == id {
			return job.ID
		}
	}
	rt.Fatalf("job %d has no follower", id)
	return 0
}

// Claim takes jobs for a worker.
func (m *flows) Claim(rt *rapid.T) {
	m.seq++
	worker := rapid.SampledFrom(m.workers).Draw(rt, "worker")
	slots := rapid.IntRange(1, 3).Draw(rt, "slots")
	claim, err := m.store.Claim(m.scope.Context(), offstage.ClaimRequest{
		Worker: worker, Seq: m.seq, Pools: []offstage.PoolRequest{{Queues: []string{"a"}, Slots: slots}},
	})
	must(rt, err, "claim")
	if want := min(slots, len(m.ref.in(offstage.Ready))); len(claim.Jobs) != want {
		rt.Fatalf("claimed %d jobs; want %d", len(claim.Jobs), want)
	}
	for _, got := range claim.Jobs {
		j := m.ref.jobs[got.ID]
		if j == nil || j.state != offstage.Ready || got.Run != j.hold.Run+1 || got.Lost != j.lost {
			rt.Fatalf("claimed %+v; want the next run of one that is ready: %+v", got, j)
		}
		j.state, j.open = offstage.Running, true
		j.hold = offstage.Hold{Worker: worker, Claim: m.seq, Job: got.ID, Run: got.Run}
		m.holds = append(m.holds, j.hold)
	}
}

// running draws a job that runs.
func (m *flows) running(rt *rapid.T) *flowJob {
	running := m.ref.in(offstage.Running)
	if len(running) == 0 {
		rt.Skip("nothing runs")
	}
	return rapid.SampledFrom(running).Draw(rt, "job")
}

// finish ends a run.
func (m *flows) finish(rt *rapid.T, j *flowJob, res offstage.Result) {
	res.Job, res.Run, res.Claim, res.Started = j.id, j.hold.Run, j.hold.Claim, true
	details, err := m.store.Get(m.scope.Context(), j.id)
	must(rt, err, "get")
	res.UniqueKey, res.Parent = details.UniqueKey, details.Parent
	verdicts, err := m.store.Finish(m.scope.Context(), offstage.FinishRequest{Worker: j.hold.Worker, Results: []offstage.Result{res}})
	must(rt, err, "finish")
	if verdicts[0].Kind != offstage.Counted {
		rt.Fatalf("the end of job %d was %v", j.id, verdicts[0])
	}
	j.lost = res.Lost
}

// End ends a run, and mostly its job.
func (m *flows) End(rt *rapid.T) {
	j := m.running(rt)
	switch rapid.SampledFrom([]string{"completed", "failed", "again"}).Draw(rt, "ending") {
	case "completed":
		m.finish(rt, j, offstage.Result{Outcome: offstage.OutcomeCompleted, Next: offstage.Completed})
		m.ref.end(j, offstage.Completed)
	case "failed":
		m.finish(rt, j, offstage.Result{Outcome: offstage.OutcomeErrored, Next: offstage.Failed, Errors: 1})
		m.ref.end(j, offstage.Failed)
	default:
		m.finish(rt, j, offstage.Result{Outcome: offstage.OutcomeInterrupted, Next: offstage.Ready})
		j.state, j.open = offstage.Ready, false
	}
}

// Wait ends a run whose job waits for a signal, or for a child.
func (m *flows) Wait(rt *rapid.T) {
	j := m.running(rt)
	key := offstage.SignalKey(signals.Draw(rt, "signal"))
	if i := j.find("child"); i >= 0 && rapid.Bool().Draw(rt, "child") {
		id, err := offstage.ParseID(j.steps[i].value)
		must(rt, err, "read the child's id")
		key = offstage.EndKey(id)
	}
	within := rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(rt, "within")
	m.finish(rt, j, offstage.Result{Outcome: offstage.OutcomeSnoozed, Next: offstage.Blocked, Waits: key, WaitKey: key, Wait: within})
	m.ref.wait(j, key, within)
}

// Signal gives a signal, directly or in a transaction.
func (m *flows) Signal(rt *rapid.T) {
	name, payload := signals.Draw(rt, "signal"), values.Draw(rt, "payload")
	var report offstage.SignalReport
	gave := true
	if rapid.Bool().Draw(rt, "in a transaction") {
		gave = m.transact(rt, func(tx offstage.TxStore) (err error) {
			report, err = tx.Signal(m.scope.Context(), name, []byte(payload))
			return err
		})
	} else {
		var err error
		report, err = m.store.Signal(m.scope.Context(), name, []byte(payload))
		must(rt, err, "signal")
	}
	if !gave {
		return
	}
	_, before := m.ref.signals[name]
	want := offstage.SignalReport{First: !before}
	if want.First {
		m.ref.signals[name] = payload
		want.Woken = m.ref.wake(offstage.SignalKey(name))
	}
	if report != want {
		rt.Fatalf("the signal %q answered %+v; want %+v", name, report, want)
	}
}

// transact does something in a transaction and commits it, or not.
func (m *flows) transact(rt *rapid.T, do func(offstage.TxStore) error) (committed bool) {
	tx, commit, rollback := m.h.Begin(m.scope, m.store)
	within, err := m.store.Within(tx)
	if err == nil {
		err = do(within)
	}
	if err != nil || !rapid.Bool().Draw(rt, "commit") {
		must(rt, errors.Join(err, rollback()), "in a transaction")
		return false
	}
	must(rt, commit(), "commit")
	return true
}

// Once takes a key in a transaction.
func (m *flows) Once(rt *rapid.T) {
	key := rapid.SampledFrom([]string{"k1", "k2"}).Draw(rt, "key")
	var first bool
	committed := m.transact(rt, func(tx offstage.TxStore) (err error) {
		first, err = tx.Once(m.scope.Context(), key)
		return err
	})
	if first == m.ref.taken[key] {
		rt.Fatalf("Once of %q answered %t; taken before: %t", key, first, m.ref.taken[key])
	}
	m.ref.taken[key] = m.ref.taken[key] || committed
}

// Recall reads the steps of a run, which may be over.
func (m *flows) Recall(rt *rapid.T) {
	hold := m.anyHold(rt)
	got, err := m.store.Recall(m.scope.Context(), hold)
	m.wantFence(rt, "recall", hold, m.ref.raise(hold), err)
	if err == nil {
		m.sameSteps(rt, hold.Job, got)
	}
}

func (m *flows) anyHold(rt *rapid.T) offstage.Hold {
	if len(m.holds) == 0 {
		rt.Skip("nothing was claimed")
	}
	late := m.holds[max(0, len(m.holds)-3):]
	return rapid.SampledFrom(late).Draw(rt, "hold")
}

func (m *flows) wantFence(rt *rapid.T, what string, hold offstage.Hold, allowed bool, err error) {
	if allowed != (err == nil) || err != nil && !errors.Is(err, offstage.ErrLeaseLost) {
		rt.Fatalf("%s by %+v: %v; allowed: %t", what, hold, err, allowed)
	}
}

// Remember sends steps of a run, which may be over.
func (m *flows) Remember(rt *rapid.T) {
	hold := m.anyHold(rt)
	for range rapid.IntRange(1, 3).Draw(rt, "number") {
		m.remember(rt, hold)
	}
}

func (m *flows) remember(rt *rapid.T, hold offstage.Hold) {
	new := step{name: steps.Draw(rt, "step"), value: values.Draw(rt, "value"), kind: offstage.StepDone}
	if new.name == "rows" {
		new.kind = offstage.StepCursor
	}
	raise := rapid.Bool().Draw(rt, "raise")
	allowed := (!raise || m.ref.raise(hold)) && m.ref.remember(hold, new)
	err := m.store.Remember(m.scope.Context(), hold, offstage.NewStep{Name: new.name, Kind: new.kind, Tries: 1, Value: []byte(new.value)}, raise)
	m.wantFence(rt, "remember", hold, allowed, err)
	m.tick(rt)
}

// Child enqueues a child.
func (m *flows) Child(rt *rapid.T) {
	hold := m.anyHold(rt)
	parent := m.ref.jobs[hold.Job]
	job := plainJob()
	job.Parent = hold.Job
	raised := m.ref.raise(hold)
	id, err := m.store.RememberChild(m.scope.Context(), hold, "child", job, true)
	m.wantFence(rt, "enqueue a child", hold, raised, err)
	if err != nil {
		return
	}
	if i := parent.find("child"); i >= 0 {
		if parent.steps[i].value != id.String() {
			rt.Fatalf("the child of job %d was %s and is %d", hold.Job, parent.steps[i].value, id)
		}
		return
	}
	m.ref.add(id, offstage.Ready)
	m.ref.remember(hold, step{name: "child", value: id.String(), kind: offstage.StepChild})
	m.tick(rt)
}

// tick lets a moment go by, so that no two steps are of the same.
func (m *flows) tick(rt *rapid.T) { m.pass(rt, time.Millisecond) }

// Cancel calls a job off that waits.
func (m *flows) Cancel(rt *rapid.T) {
	waiting := slices.Concat(m.ref.in(offstage.Blocked), m.ref.in(offstage.Scheduled), m.ref.in(offstage.Ready))
	if len(waiting) == 0 {
		rt.Skip("nothing waits")
	}
	j := rapid.SampledFrom(waiting).Draw(rt, "job")
	state, err := m.store.Apply(m.scope.Context(), offstage.Change{Job: j.id, Verb: offstage.VerbCancel})
	if err != nil || state != offstage.Cancelled {
		rt.Fatalf("cancel job %d, which is %s: %s, %v", j.id, j.state, state, err)
	}
	j.hold = offstage.Hold{Job: j.id, Run: j.hold.Run + 1} // the run that never started
	m.ref.end(j, offstage.Cancelled)
}

// Die lets a worker die and be rescued; another takes its place.
func (m *flows) Die(rt *rapid.T) { m.ref.rescue(m.die(rt)) }

// Pass lets time go by and promotes what is due.
func (m *flows) Pass(rt *rapid.T) {
	m.pass(rt, rapid.SampledFrom([]time.Duration{time.Second, 6 * time.Second}).Draw(rt, "time"))
}

func (m *flows) pass(rt *rapid.T, d time.Duration) {
	m.driver.pass(d)
	m.ref.pass(d)
	m.chore(rt, offstage.Promote)
}

// Tidy does the chores that must not be seen.
func (m *flows) Tidy(rt *rapid.T) {
	for _, chore := range []offstage.Chore{offstage.Sweep, offstage.Unblock, offstage.Rescan, offstage.Prune} {
		m.chore(rt, chore)
	}
}

// Tick records a tick of the schedule, as one who may have read an older version
// of it, and may be late.
func (m *flows) Tick(rt *rapid.T) {
	n := rapid.Int64Range(1, 6).Draw(rt, "tick")
	stale := rapid.IntRange(0, 3).Draw(rt, "stale") == 0
	plan := m.plan
	if plan.Version = m.ref.version; stale {
		plan.Version--
	}
	at := m.start.Add(time.Duration(n) * time.Minute)
	changed, err := m.store.ChangeSchedules(m.scope.Context(), []offstage.ScheduleChange{
		{Schedule: plan, Ticks: []offstage.NewTick{{At: at, Job: plan.TickOf(offstage.Tick{At: at})}}},
	})
	must(rt, err, "record a tick")
	if want := !stale && !m.ref.ticks[n]; changed[0].Counted != want {
		rt.Fatalf("tick %d of version %d counted: %t; the version is %d, it was recorded: %t", n, plan.Version, !want, m.ref.version, m.ref.ticks[n])
	}
	if changed[0].Counted {
		m.ref.ticks[n] = true
		m.ref.version = m.currentVersion(rt)
		m.ref.add(changed[0].Jobs[0].ID, offstage.Ready)
	}
}

func (m *flows) currentVersion(rt *rapid.T) int64 {
	page, err := m.store.FindSchedules(m.scope.Context(), offstage.ScheduleQuery{Name: "s", Limit: 1})
	must(rt, err, "find the schedule")
	return page.Schedules[0].Version
}

// Check compares everything after each operation.
func (m *flows) Check(rt *rapid.T) {
	page, err := m.store.List(m.scope.Context(), offstage.Filter{Limit: 1000})
	must(rt, err, "list")
	if len(page.Jobs) != len(m.ref.jobs) {
		rt.Fatalf("there are %d jobs; want %d", len(page.Jobs), len(m.ref.jobs))
	}
	for _, job := range page.Jobs {
		want := m.ref.jobs[job.ID]
		got, err := m.store.Get(m.scope.Context(), job.ID)
		must(rt, err, "get")
		if want == nil || got.State != want.state || got.Run != want.hold.Run || got.Lost != want.lost {
			rt.Fatalf("job %d is %s, run %d, lost %d; want %+v", job.ID, got.State, got.Run, got.Lost, want)
		}
		m.sameSteps(rt, job.ID, got.Steps)
	}
	for _, name := range []string{"paid", "shipped"} {
		payload, found, err := m.store.FindSignal(m.scope.Context(), name)
		want, given := m.ref.signals[name]
		if err != nil || found != given || string(payload) != want {
			rt.Fatalf("the signal %q is %s, %t, %v; want %s, %t", name, payload, found, err, want, given)
		}
	}
	ticks, err := m.store.Ticks(m.scope.Context(), m.plan.ID, time.Time{}, 100)
	if err != nil || len(ticks) != len(m.ref.ticks) {
		rt.Fatalf("there are %d ticks, %v; want %d", len(ticks), err, len(m.ref.ticks))
	}
}

func (m *flows) sameSteps(rt *rapid.T, id offstage.ID, got []offstage.StepInfo) {
	want := ""
	for _, s := range m.ref.jobs[id].steps {
		want += fmt.Sprintf("%s %s %s by run %d; ", s.kind, s.name, s.value, s.run)
	}
	text := ""
	for _, s := range got {
		text += fmt.Sprintf("%s %s %s by run %d; ", s.Kind, s.Name, s.Value, s.Run)
	}
	if text != want {
		rt.Fatalf("job %d remembers %s; want %s", id, text, want)
	}
}
