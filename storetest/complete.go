package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var completeCases = []Case{
	{"within/complete", "Complete ends the attempt as completed if and only if the transaction commits.", withinComplete},
	{"within/complete rolled back", "A Complete that was rolled back leaves the job running, and its result still counts.", withinCompleteRolledBack},
	{"within/complete with others", "A completion and the jobs that were inserted with it happen together.", withinCompleteInsert},
	{"within/complete releases the key", "A completion in a transaction frees the unique key, or lets the follower go, when it commits.", withinCompleteUnique},
	{"within/complete fenced", "Complete answers ErrLeaseLost if the claim is gone, is another's, or the attempt has ended.", withinFenced},
	{"within/complete other outcomes", "Complete takes no other outcome than completed.", withinOtherOutcome},
	{"within/complete races a rescue", "Of a completion in a transaction and a rescue that race, exactly one takes effect.", withinRescueRace},
}

func withinComplete(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	t := r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completedWith(`"done"`)), "complete")
	r.outside(func() {
		r.wantState(offstage.Running, id)
		ended, err := r.store.Ended(r.Context(), id, 1)
		r.must(err, "ended")
		same(r, "ended before the commit", ended, false)
	})
	r.must(t.commit(), "commit")
	got := r.history(id, 1)
	same(r, "state", got.State, offstage.Completed)
	same(r, "result", string(got.Result), `"done"`)
	same(r, "attempt's worker and outcome", [2]any{got.Attempts[0].Worker, got.Attempts[0].Outcome}, [2]any{w.id, offstage.OutcomeCompleted})
	ended, err := r.store.Ended(r.Context(), id, 1)
	r.must(err, "ended")
	same(r, "ended after the commit", ended, true)
	same(r, "verdict on a repeat by Finish", w.verdictOf(job.completed()), offstage.Already)
	same(r, "held", len(w.holds()), 0)
}

func withinCompleteRolledBack(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	t := r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	r.must(t.rollback(), "roll back")
	r.wantState(offstage.Running, id)
	same(r, "held", len(w.holds()), 1)
	same(r, "verdict", w.verdictOf(job.errored(time.Hour)), offstage.Counted)
	r.wantState(offstage.Retrying, id)
}

func withinCompleteInsert(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	t := r.begin()
	t.insert(echoIn("next", 5))
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	r.must(t.rollback(), "roll back")
	same(r, "jobs", r.jobs(), 1)
	t = r.begin()
	next := t.insert(echoIn("next", 5))
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	r.must(t.commit(), "commit")
	r.wantState(offstage.Completed, id)
	r.wantState(offstage.Ready, next...)
}

func withinCompleteUnique(r *rig) {
	_, w, job := r.bring(uniqueEcho(offstage.Skip, "skip"), offstage.Running)
	t := r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	r.must(t.commit(), "commit")
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: r.insertOne(uniqueEcho(offstage.Skip, "skip"))})
	_, follower := r.keepLast("keep")
	job = w.takeOne()
	t = r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	r.outside(func() { r.wantState(offstage.Blocked, follower) })
	r.must(t.rollback(), "roll back")
	r.wantState(offstage.Blocked, follower)
	t = r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	r.must(t.commit(), "commit")
	same(r, "claimed", w.takeOne().ID, follower)
}

func withinFenced(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	other := r.worker()
	refused := func(what string, worker *worker, result offstage.Result) {
		r.Helper()
		t := r.begin()
		if err := t.store.Complete(r.Context(), worker.id, result); !errors.Is(err, offstage.ErrLeaseLost) {
			r.Errorf("%s: got %v, want ErrLeaseLost", what, err)
		}
		r.must(t.rollback(), "roll back")
	}
	refused("another worker", other, job.completed())
	wrong := job.completed()
	wrong.Claim++
	refused("another claim", w, wrong)
	wrong = job.completed()
	wrong.Run++
	refused("another run", w, wrong)
	r.wantState(offstage.Running, id)
	t := r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
	if err := t.store.Complete(r.Context(), w.id, job.completed()); !errors.Is(err, offstage.ErrLeaseLost) {
		r.Errorf("twice in one transaction: got %v, want ErrLeaseLost", err)
	}
	r.must(t.rollback(), "roll back")
	w.counted(job.errored(0))
	refused("an attempt that has ended", w, job.completed())
	job = w.takeOne()
	w.die()
	refused("a claim that was rescued", w, job.completed())
	r.wantState(offstage.Ready, id)
}

func withinOtherOutcome(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	t := r.begin()
	var invalid *offstage.InvalidError
	if err := t.store.Complete(r.Context(), w.id, job.failed()); !errors.As(err, &invalid) {
		r.Errorf("got %v, want an InvalidError", err)
	}
	r.must(t.rollback(), "roll back")
	r.wantState(offstage.Running, id)
}

func withinRescueRace(r *rig) {
	for range 5 {
		id, w, job := r.bring(echo(), offstage.Running)
		t := r.begin()
		r.must(t.store.Complete(r.Context(), w.id, job.completed()), "complete")
		var group sync.WaitGroup
		group.Go(func() {
			for more := true; more; {
				_, left, err := r.store.Rescue(r.Context(), offstage.Peer{ID: w.id, Dead: true}, 10)
				if err != nil && offstage.ClassOf(err) != offstage.FaultBusy {
					r.Errorf("rescue: %v", err)
					return
				}
				more = left || err != nil
			}
		})
		err := t.commit()
		group.Wait()
		got := r.get(id)
		same(r, "attempts", len(got.Attempts), 1)
		want := offstage.Completed
		if err != nil {
			want = offstage.Ready
		}
		same(r, "state after a commit that answered "+errText(err), got.State, want)
		r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: id})
	}
}

func errText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
