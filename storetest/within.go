package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var withinCases = []Case{
	{"within/commit", "What is inserted in a caller's transaction is unseen until it commits, and there when it has.", withinCommit},
	{"within/rollback", "What is inserted in a caller's transaction that is rolled back never was.", withinRollback},
	{"within/many", "A transaction takes many calls of many jobs; delays and new names count as elsewhere.", withinMany},
	{"within/unique", "A unique key is taken if and only if the transaction commits; the transaction sees its own.", withinUnique},
	{"within/complete", "Complete ends the attempt as completed if and only if the transaction commits.", withinComplete},
	{"within/complete rolled back", "A Complete that was rolled back leaves the job running, and its result still counts.", withinCompleteRolledBack},
	{"within/complete with others", "A completion and the jobs that were inserted with it happen together.", withinCompleteInsert},
	{"within/complete releases the key", "A completion in a transaction frees the unique key, or lets the follower go, when it commits.", withinCompleteUnique},
	{"within/complete fenced", "Complete answers ErrLeaseLost if the claim is gone, is another's, or the attempt has ended.", withinFenced},
	{"within/complete other outcomes", "Complete takes no other outcome than completed.", withinOtherOutcome},
	{"within/foreign transaction", "Within answers ErrForeignTx to a transaction of another kind of database.", withinForeign},
	{"within/complete races a rescue", "Of a completion in a transaction and a rescue that race, exactly one takes effect.", withinRescueRace},
}

// tx is a caller's transaction.
type tx struct {
	*rig
	store            offstage.TxStore
	commit, rollback func() error
}

// begin starts a transaction. While it is open, a case only reads outside it: a
// store may have one writer at a time.
func (r *rig) begin() *tx {
	r.Helper()
	foreign, commit, rollback := r.h.Begin(r.T, r.store)
	store, err := r.store.Within(foreign)
	r.must(err, "within")
	return &tx{rig: r, store: store, commit: commit, rollback: rollback}
}

// insert stores new jobs in the transaction.
func (t *tx) insert(jobs ...offstage.NewJob) []offstage.ID {
	t.Helper()
	inserted, err := t.store.Insert(t.Context(), jobs)
	t.must(err, "insert in a transaction")
	ids := make([]offstage.ID, len(inserted))
	for i, in := range inserted {
		same(t.rig, "existed", in.Existed, false)
		ids[i] = in.ID
	}
	return ids
}

// unknown checks that nobody knows the jobs.
func (r *rig) unknown(ids ...offstage.ID) {
	r.Helper()
	for _, id := range ids {
		if _, err := r.store.Get(r.Context(), id); !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("get job %d: got %v, want ErrNotFound", id, err)
		}
	}
	same(r, "jobs", r.jobs(), 0)
}

func withinCommit(r *rig) {
	r.insert(echoIn("other", 5))
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: r.insertOne(echo())})
	t := r.begin()
	ids := t.insert(echo(), echo())
	if _, err := r.store.Get(r.Context(), ids[0]); !errors.Is(err, offstage.ErrNotFound) {
		r.Errorf("get before the commit: got %v, want ErrNotFound", err)
	}
	same(r, "jobs before the commit", r.jobs(), 1)
	r.must(t.commit(), "commit")
	r.wantState(offstage.Ready, ids...)
	same(r, "jobs after the commit", r.jobs(), 3)
	same(r, "claimed", idsOf(r.worker().take(2)), ids)
}

func withinRollback(r *rig) {
	t := r.begin()
	ids := t.insert(echo(), echoAfter(time.Minute))
	r.must(t.rollback(), "roll back")
	r.unknown(ids...)
	r.pass(time.Hour)
	r.chore(offstage.Promote)
	same(r, "claimed", len(r.worker().claim(pool(5, offstage.DefaultQueue))), 0)
}

func withinMany(r *rig) {
	t := r.begin()
	var ids []offstage.ID
	for range 3 {
		ids = append(ids, t.insert(echoes(800)...)...)
	}
	job := echoIn("never-heard-of-queue", 5)
	job.Kind, job.Delay = "never_heard_of_kind", time.Hour
	late := t.insert(job)[0]
	r.must(t.commit(), "commit")
	w := r.worker()
	same(r, "claimed", idsOf(w.claim(pool(3000, offstage.DefaultQueue))), ids)
	got := r.get(late)
	same(r, "names", got.Kind+" "+got.Queue, "never_heard_of_kind never-heard-of-queue")
	r.pass(time.Hour)
	same(r, "promoted", r.chore(offstage.Promote), 1)
	same(r, "claimed when due", idsOf(w.claim(pool(1, "never-heard-of-queue"))), []offstage.ID{late})
}

func withinUnique(r *rig) {
	job := uniqueEcho(offstage.Skip, "key")
	t := r.begin()
	t.insert(job)
	r.must(t.rollback(), "roll back")
	t = r.begin()
	id := t.insert(job)[0]
	again, err := t.store.Insert(r.Context(), []offstage.NewJob{job, echo()})
	r.must(err, "insert in a transaction")
	same(r, "second enqueue in the transaction", again[0], offstage.Inserted{ID: id, Existed: true})
	r.must(t.commit(), "commit")
	same(r, "enqueue after the commit", r.enqueue(job), offstage.Inserted{ID: id, Existed: true})
	t = r.begin()
	again, err = t.store.Insert(r.Context(), []offstage.NewJob{withArgs(uniqueEcho(offstage.Replace, "key"), `"new"`)})
	r.must(err, "insert in a transaction")
	same(r, "replaced in a transaction", again[0], offstage.Inserted{ID: id, Existed: true})
	same(r, "args before the commit", string(r.get(id).Args), `{}`)
	r.must(t.commit(), "commit")
	same(r, "args after the commit", string(r.get(id).Args), `"new"`)
	same(r, "jobs", r.jobs(), 2)
}

func withinComplete(r *rig) {
	id, w, job := r.bring(echo(), offstage.Running)
	t := r.begin()
	r.must(t.store.Complete(r.Context(), w.id, job.completedWith(`"done"`)), "complete")
	r.wantState(offstage.Running, id)
	ended, err := r.store.Ended(r.Context(), id, 1)
	r.must(err, "ended")
	same(r, "ended before the commit", ended, false)
	r.must(t.commit(), "commit")
	got := r.get(id)
	same(r, "state", got.State, offstage.Completed)
	same(r, "result", string(got.Result), `"done"`)
	same(r, "attempt's worker and outcome", [2]any{got.Attempts[0].Worker, got.Attempts[0].Outcome}, [2]any{w.id, offstage.OutcomeCompleted})
	ended, err = r.store.Ended(r.Context(), id, 1)
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
	r.wantState(offstage.Blocked, follower)
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

// foreignTx is a transaction that no store knows.
type foreignTx struct{}

// StoreTx returns nothing that a store could use.
func (foreignTx) StoreTx() any { return struct{}{} }

func withinForeign(r *rig) {
	if _, err := r.store.Within(foreignTx{}); !errors.Is(err, offstage.ErrForeignTx) {
		r.Errorf("got %v, want ErrForeignTx", err)
	}
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
