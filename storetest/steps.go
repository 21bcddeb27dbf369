package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var stepCases = []Case{
	{"step/remember", "A step that was remembered is there at once, with its value byte for byte, for whoever looks.", stepRemember},
	{"step/survives the attempt", "A later attempt of the job recalls what earlier ones remembered, the oldest first.", stepSurvives},
	{"step/survives a death", "A later attempt recalls what one remembered whose worker died.", stepSurvivesDeath},
	{"step/same name", "A step that is there already stays as it is; a repeat is safe.", stepSameName},
	{"step/cursor", "A cursor takes the place of the one before it, and of nothing else.", stepCursor},
	{"step/of its job", "Jobs do not see each other's steps.", stepOfItsJob},
	{"step/epoch", "When a later run has recalled the steps, nothing that an earlier one sends is stored.", stepEpoch},
	{"step/no claim", "Recall, and a Remember that raises, answer ErrLeaseLost without a claim that names the job's run, or after its end.", stepNoClaim},
	{"step/not raised", "Remember answers ErrLeaseLost if the epoch was never raised to its run.", stepNotRaised},
	{"step/race", "Of an earlier run's writes and a later one's Recall that race, each is either recalled or refused.", stepRace},
	{"step/together", "Of steps that many jobs remember at once, each is stored or refused by its own job's epoch.", stepTogether},
	{"step/lost reset", "A worker's death counts as the first in a row if its attempt has remembered a step or moved a cursor.", stepLostReset},
	{"step/lost without progress", "What earlier attempts remembered does not count as an attempt's progress.", stepLostWithout},
	{"step/sleep", "A sleep is over when its time by the store's clock has passed, and not before.", stepSleep},
	{"step/pruned", "Steps go with their job, whether it is pruned or deleted.", stepPruned},
	{"step/after a retry", "An operator's retry keeps the steps.", stepRetried},
	{"step/in a transaction", "A step in a caller's transaction is remembered if and only if it commits.", stepTx},
	{"step/in a transaction, seen there", "A transaction sees the steps of others and its own.", stepTxSees},
	{"step/in a transaction, fenced", "In a transaction too, an earlier run cannot write when a later one has recalled.", stepTxFenced},
	{"step/in a transaction, locks", "A later run's Recall and an earlier run's open transaction come one after the other, whichever is first.", stepTxLocks},
	{"once/commit", "A key of Once is free until a transaction that took it commits, and taken from then on.", onceCommit},
	{"once/race", "Of many transactions that take a key at once, exactly one is the first.", onceRace},
	{"once/kept", "Prune frees a key of Once when KeepOnce is over, not before.", onceKept},
}

// hold names the attempt of a job that the worker has claimed.
func (w *worker) hold(job taken) offstage.Hold {
	return offstage.Hold{Worker: w.id, Claim: job.claim, Job: job.ID, Run: job.Run}
}

// done is a step that was done at its second try, which took a second.
func done(name, value string) offstage.NewStep {
	return offstage.NewStep{Name: name, Kind: offstage.StepDone, Tries: 2, Took: time.Second, Value: json.RawMessage(value)}
}

// cursorAt is a cursor.
func cursorAt(name, value string) offstage.NewStep {
	return offstage.NewStep{Name: name, Kind: offstage.StepCursor, Tries: 1, Value: json.RawMessage(value)}
}

// remember stores steps of an attempt, which must succeed; the first one raises
// the epoch.
func (w *worker) remember(job taken, steps ...offstage.NewStep) {
	w.Helper()
	for i, step := range steps {
		w.must(w.store.Remember(w.Context(), w.hold(job), step, i == 0), "remember "+step.Name)
	}
}

// recall returns an attempt's steps.
func (w *worker) recall(job taken) []offstage.StepInfo {
	w.Helper()
	steps, err := w.store.Recall(w.Context(), w.hold(job))
	w.must(err, "recall")
	return steps
}

// values are steps as name=value.
func values(steps []offstage.StepInfo) []string {
	texts := []string{}
	for _, step := range steps {
		texts = append(texts, step.Name+"="+string(step.Value))
	}
	return texts
}

// wantLost checks that a call was refused because the attempt is over.
func (r *rig) wantLost(what string, err error) {
	r.Helper()
	if !errors.Is(err, offstage.ErrLeaseLost) {
		r.Errorf("%s: got %v, want ErrLeaseLost", what, err)
	}
}

func stepRemember(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.remember(job, done("charge ü", ` { "a" : 1e400 } `), offstage.NewStep{Name: "nothing", Kind: offstage.StepDone, Tries: 1})
	got := r.get(id)
	same(r, "steps", values(got.Steps), []string{`charge ü= { "a" : 1e400 } `, "nothing="})
	step := got.Steps[0]
	same(r, "kind, run, tries", [3]int{int(step.Kind), step.Run, step.Tries}, [3]int{int(offstage.StepDone), 1, 2})
	sameTime(r, "started", step.StartedAt, step.FinishedAt.Add(-time.Second))
	same(r, "no value", got.Steps[1].Value == nil, true)
	same(r, "state", got.State, offstage.Running)
	w.counted(job.completed())
	same(r, "steps of an ended job", len(r.get(id).Steps), 2)
	same(r, "steps of another", len(r.get(r.insertOne(echo())).Steps), 0)
}

func stepSurvives(r *rig) {
	r.insertOne(echo())
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	job := w.takeOne()
	w.remember(job, done("z", "1"))
	r.pass(time.Second)
	w.remember(job, done("a", "2"))
	w.counted(job.errored(0))
	job = other.takeOne()
	same(r, "run", job.Run, 2)
	same(r, "recalled", values(other.recall(job)), []string{"z=1", "a=2"})
	same(r, "recalled again", values(other.recall(job)), []string{"z=1", "a=2"})
	other.remember(job, done("b", "3"))
	other.counted(job.interrupted())
	job = w.takeOne()
	same(r, "recalled by the third", len(w.recall(job)), 3)
}

func stepSurvivesDeath(r *rig) {
	r.insertOne(echo())
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	job := w.takeOne()
	w.remember(job, done("charge", `"ch_1"`))
	w.die()
	same(r, "recalled", values(other.recall(other.takeOne())), []string{`charge="ch_1"`})
}

func stepSameName(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.remember(job, done("charge", "1"))
	before := r.get(id).Steps
	r.pass(time.Second)
	w.remember(job, done("charge", "1"), done("charge", "2"), cursorAt("charge", "3"))
	same(r, "steps", r.get(id).Steps, before)
}

func stepCursor(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.remember(job, cursorAt("rows", "1"), done("charge", "1"), cursorAt("rows", "2"), done("rows", "3"))
	got := r.get(id).Steps
	same(r, "steps", len(got), 2)
	for _, step := range got {
		if step.Name == "rows" {
			same(r, "cursor", string(step.Value)+" "+step.Kind.String(), "2 cursor")
		}
	}
	w.counted(job.errored(0))
	job = w.takeOne()
	w.remember(job, cursorAt("rows", "4"))
	for _, step := range r.get(id).Steps {
		if step.Name == "rows" {
			same(r, "cursor of the second run", fmt.Sprint(string(step.Value), " ", step.Run), "4 2")
		}
	}
}

func stepOfItsJob(r *rig) {
	ids := r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	w.remember(jobs[0], done("a", "1"))
	w.remember(jobs[1], done("b", "2"))
	same(r, "first", values(r.get(ids[0]).Steps), []string{"a=1"})
	same(r, "second", values(w.recall(jobs[1])), []string{"b=2"})
}

func stepEpoch(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	first := w.takeOne()
	w.remember(first, done("a", "1"))
	w.die()
	second := other.takeOne()
	same(r, "recalled", values(other.recall(second)), []string{"a=1"})
	r.wantLost("the earlier run", w.store.Remember(r.Context(), w.hold(first), done("b", "2"), false))
	r.wantLost("the earlier run, raising", w.store.Remember(r.Context(), w.hold(first), done("b", "2"), true))
	_, err := w.store.Recall(r.Context(), w.hold(first))
	r.wantLost("the earlier run's recall", err)
	other.remember(second, done("c", "3"))
	same(r, "steps", values(r.get(id).Steps), []string{"a=1", "c=3"})
}

func stepNoClaim(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	other := r.worker()
	other.claim(pool(1, "other"))
	refused := func(what string, hold offstage.Hold) {
		r.Helper()
		_, err := r.store.Recall(r.Context(), hold)
		r.wantLost(what, err)
		r.wantLost(what, r.store.Remember(r.Context(), hold, done("a", "1"), true))
	}
	hold := w.hold(job)
	hold.Worker = other.id
	refused("another worker", hold)
	hold = w.hold(job)
	hold.Claim++
	refused("another claim", hold)
	hold = w.hold(job)
	hold.Run++
	refused("another run", hold)
	hold = w.hold(job)
	hold.Job = r.insertOne(echoIn("other", 5))
	refused("another job", hold)
	w.counted(job.errored(0))
	refused("an attempt that has ended", w.hold(job))
	second := w.takeOne()
	w.die()
	refused("a claim that was rescued", w.hold(second))
	same(r, "steps", len(r.get(id).Steps), 0)
}

func stepNotRaised(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	r.wantLost("never raised", r.store.Remember(r.Context(), w.hold(job), done("a", "1"), false))
	w.remember(job, done("a", "1"))
	w.counted(job.errored(0))
	job = w.takeOne()
	r.wantLost("raised by the run before", r.store.Remember(r.Context(), w.hold(job), done("b", "1"), false))
	same(r, "steps", values(r.get(id).Steps), []string{"a=1"})
}

func stepRace(r *rig) {
	for range 5 {
		r.insertOne(echo())
		w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
		first := w.takeOne()
		w.remember(first, done("first", "0"))
		w.die()
		second := other.takeOne()
		stored := make([]bool, 20)
		var group sync.WaitGroup
		for i := range stored {
			group.Go(func() {
				err := w.store.Remember(r.Context(), w.hold(first), done(fmt.Sprint("s", i), "1"), false)
				if stored[i] = err == nil; err != nil && !errors.Is(err, offstage.ErrLeaseLost) {
					r.Errorf("remember: %v", err)
				}
			})
		}
		recalled := map[string]bool{}
		for _, step := range other.recall(second) {
			recalled[step.Name] = true
		}
		group.Wait()
		for i := range stored {
			same(r, fmt.Sprintf("step %d is recalled", i), recalled[fmt.Sprint("s", i)], stored[i])
		}
		other.counted(second.completed())
	}
}

func stepTogether(r *rig) {
	const n = 40
	r.insert(echoes(n)...)
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	firsts := w.claim(pool(n, offstage.DefaultQueue))
	for _, job := range firsts {
		w.remember(job, done("first", "0"))
	}
	w.die()
	later := map[offstage.ID]bool{} // jobs whose later run has recalled
	for _, job := range other.claim(pool(n/2, offstage.DefaultQueue)) {
		other.recall(job)
		later[job.ID] = true
	}
	stored := make([]bool, n)
	var group sync.WaitGroup
	for i, job := range firsts {
		group.Go(func() {
			err := w.store.Remember(r.Context(), w.hold(job), done("second", job.ID.String()), false)
			if stored[i] = err == nil; err != nil && !errors.Is(err, offstage.ErrLeaseLost) {
				r.Errorf("remember: %v", err)
			}
		})
	}
	group.Wait()
	for i, job := range firsts {
		want := []string{"first=0"}
		if !later[job.ID] {
			want = append(want, "second="+job.ID.String())
		}
		same(r, "steps", values(r.get(job.ID).Steps), want)
		same(r, "stored", stored[i], !later[job.ID])
	}
}

func stepLostReset(r *rig) {
	id := r.insertOne(echo())
	for _, progress := range []offstage.NewStep{done("a", "1"), cursorAt("rows", "1"), cursorAt("rows", "2"), done("b", "1")} {
		for range 2 {
			w := r.worker()
			w.takeOne()
			w.die()
		}
		same(r, "lost after two deaths without progress", r.get(id).Lost >= 2, true)
		w := r.worker()
		w.remember(w.takeOne(), progress)
		w.die()
		got := r.get(id)
		same(r, "state and lost after a death with progress", [2]any{got.State, got.Lost}, [2]any{offstage.Ready, 1})
		r.apply(offstage.Change{Verb: offstage.VerbCancel, Job: id})
		r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	}
}

func stepLostWithout(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	w.remember(w.takeOne(), done("a", "1"))
	w.die()
	for lost := 2; lost <= offstage.MaxLost; lost++ {
		w = r.worker()
		job := w.takeOne()
		w.recall(job)
		w.dieOf(job)
		same(r, "lost", r.get(id).Lost, lost)
	}
	r.wantState(offstage.Failed, id)
}

func stepSleep(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.remember(job, offstage.NewStep{Name: "nap", Kind: offstage.StepSleep, Tries: 1, Wait: time.Hour})
	step := w.recall(job)[0]
	same(r, "left at first", step.Left > 59*time.Minute && step.Left <= time.Hour, true)
	sameTime(r, "wakes", step.WakeAt, step.FinishedAt.Add(time.Hour))
	r.pass(30 * time.Minute)
	if left := w.recall(job)[0].Left; left <= 29*time.Minute || left > 30*time.Minute {
		r.Errorf("left after 30 minutes: %v", left)
	}
	r.pass(time.Hour)
	same(r, "left afterwards", w.recall(job)[0].Left, 0)
	sameTime(r, "wakes still", r.get(id).Steps[0].WakeAt, step.WakeAt)
}

func stepPruned(r *rig) {
	w := r.keeper(offstage.Retention{Completed: time.Hour})
	ids := r.insert(echoes(3)...)
	jobs := w.take(3)
	for _, job := range jobs {
		w.remember(job, done("a", "1"))
	}
	w.finishAll([]offstage.Result{jobs[0].completed(), jobs[1].failed(), jobs[2].errored(10_000 * time.Hour)}, jobs[0].claim)
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: ids[1]})
	r.pass(2 * time.Hour)
	r.chore(offstage.Prune)
	for _, job := range jobs[:2] {
		r.wantLost("a job that is gone", r.store.Remember(r.Context(), w.hold(job), done("b", "1"), false))
	}
	same(r, "steps of the one that is left", values(r.get(ids[2]).Steps), []string{"a=1"})
}

func stepRetried(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	w.remember(job, done("a", "1"))
	w.counted(job.failed())
	r.apply(offstage.Change{Verb: offstage.VerbRetry, Job: id})
	same(r, "recalled", values(w.recall(w.takeOne())), []string{"a=1"})
}

// rememberIn does what StepTx does in a transaction.
func (t *tx) rememberIn(hold offstage.Hold, step offstage.NewStep) *offstage.StepInfo {
	t.Helper()
	found, err := t.store.Recall(t.Context(), hold, step.Name)
	t.must(err, "recall in a transaction")
	if found == nil {
		t.must(t.store.Remember(t.Context(), hold, step), "remember in a transaction")
	}
	return found
}

func stepTx(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	t := r.begin()
	t.rememberIn(w.hold(job), done("a", "1"))
	t.insert(echoIn("next", 5))
	r.outside(func() { same(r, "steps before the commit", len(r.get(id).Steps), 0) })
	r.must(t.rollback(), "roll back")
	same(r, "steps after the rollback", len(r.get(id).Steps), 0)
	same(r, "jobs", r.jobs(), 1)
	t = r.begin()
	t.rememberIn(w.hold(job), done("a", "2"))
	t.insert(echoIn("next", 5))
	r.must(t.commit(), "commit")
	same(r, "steps after the commit", values(r.get(id).Steps), []string{"a=2"})
	same(r, "jobs", r.jobs(), 2)
	w.remember(job, done("b", "3"))
	w.die()
	same(r, "lost", r.get(id).Lost, 1)
}

func stepTxSees(r *rig) {
	_, w, job := r.bring(echo(), offstage.Running)
	w.remember(job, done("a", "1"))
	t := r.begin()
	if found := t.rememberIn(w.hold(job), done("a", "2")); found == nil || string(found.Value) != "1" {
		r.Errorf("another's step in a transaction: %+v", found)
	}
	same(r, "its own at first", t.rememberIn(w.hold(job), done("b", "2")) == nil, true)
	if found := t.rememberIn(w.hold(job), done("b", "3")); found == nil || string(found.Value) != "2" {
		r.Errorf("its own step in a transaction: %+v", found)
	}
	r.must(t.commit(), "commit")
	same(r, "steps", values(w.recall(job)), []string{"a=1", "b=2"})
}

func stepTxFenced(r *rig) {
	id := r.insertOne(echo())
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	first := w.takeOne()
	w.die()
	other.recall(other.takeOne())
	t := r.begin()
	_, err := t.store.Recall(r.Context(), w.hold(first), "a")
	r.wantLost("recall", err)
	r.must(t.rollback(), "roll back")
	t = r.begin()
	r.wantLost("remember", t.store.Remember(r.Context(), w.hold(first), done("a", "1")))
	r.must(t.rollback(), "roll back")
	same(r, "steps", len(r.get(id).Steps), 0)
}

func stepTxLocks(r *rig) {
	for range 3 {
		id := r.insertOne(echo())
		w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
		first := w.takeOne()
		w.remember(first, done("a", "1"))
		w.die()
		second := other.takeOne()
		t := r.begin()
		t.rememberIn(w.hold(first), done("b", "2"))
		var recalled []offstage.StepInfo
		var group sync.WaitGroup
		group.Go(func() {
			var err error
			if recalled, err = other.store.Recall(r.Context(), other.hold(second)); err != nil {
				r.Errorf("recall: %v", err)
			}
		})
		err := t.commit()
		group.Wait()
		want := []string{"a=1"}
		if err == nil {
			want = append(want, "b=2")
		}
		same(r, "recalled after a commit that answered "+errText(err), values(recalled), want)
		same(r, "steps", values(r.get(id).Steps), want)
		other.counted(second.completed())
	}
}

func onceCommit(r *rig) {
	take := func(key string) (*tx, bool) {
		r.Helper()
		t := r.begin()
		first, err := t.store.Once(r.Context(), key)
		r.must(err, "once")
		return t, first
	}
	t, first := take("order 17")
	same(r, "first", first, true)
	again, err := t.store.Once(r.Context(), "order 17")
	r.must(err, "once")
	same(r, "again in the transaction", again, false)
	r.must(t.rollback(), "roll back")
	t, first = take("order 17")
	same(r, "after a rollback", first, true)
	r.must(t.commit(), "commit")
	t, first = take("order 17")
	same(r, "after a commit", first, false)
	r.must(t.rollback(), "roll back")
	t, first = take("order 18")
	same(r, "another key", first, true)
	r.must(t.rollback(), "roll back")
}

func onceRace(r *rig) {
	const n = 4
	firsts := make(chan bool, n)
	var group sync.WaitGroup
	for range n {
		foreign, commit, rollback := r.h.Begin(r.T, r.store)
		group.Go(func() {
			store, err := r.store.Within(foreign)
			if err != nil {
				r.Errorf("within: %v", err)
				return
			}
			first, err := store.Once(r.Context(), "key")
			if err != nil {
				r.Errorf("once: %v", err)
			}
			if !first {
				_ = rollback() // nothing was done
			} else if commit() != nil {
				first = false
			}
			firsts <- first
		})
	}
	group.Wait()
	close(firsts)
	count := 0
	for first := range firsts {
		if first {
			count++
		}
	}
	same(r, "firsts", count, 1)
}

func onceKept(r *rig) {
	take := func() bool {
		r.Helper()
		t := r.begin()
		first, err := t.store.Once(r.Context(), "key")
		r.must(err, "once")
		r.must(t.commit(), "commit")
		return first
	}
	same(r, "first", take(), true)
	r.pass(offstage.KeepOnce - time.Minute)
	r.chore(offstage.Prune)
	same(r, "before KeepOnce is over", take(), false)
	r.pass(2 * time.Minute)
	r.chore(offstage.Prune)
	same(r, "when KeepOnce is over", take(), true)
}
