package storetest

import (
	"errors"
	"time"

	"github.com/offstagehq/offstage"
)

var withinCases = []Case{
	{"within/commit", "What is inserted in a caller's transaction is unseen until it commits, and there when it has.", withinCommit},
	{"within/rollback", "What is inserted in a caller's transaction that is rolled back never was.", withinRollback},
	{"within/many", "A transaction takes many calls of many jobs; delays and new names count as elsewhere.", withinMany},
	{"within/unique", "A unique key is taken if and only if the transaction commits; the transaction sees its own.", withinUnique},
	{"within/foreign transaction", "Within answers ErrForeignTx to a transaction of another kind of database.", withinForeign},
}

// tx is a caller's transaction. A case that ends before it rolls it back.
type tx struct {
	*rig
	store offstage.TxStore
	ends  [2]func() error // commit and rollback
	ended bool
}

// begin starts a transaction. While it is open, a case only reads outside it: a
// store may have one writer at a time.
func (r *rig) begin() *tx {
	r.Helper()
	foreign, commit, rollback := r.h.Begin(r.T, r.store)
	store, err := r.store.Within(foreign)
	t := &tx{rig: r, store: store, ends: [2]func() error{commit, rollback}}
	r.Cleanup(func() {
		if !t.ended {
			r.must(t.rollback(), "roll back what the case left open")
		}
	})
	r.must(err, "within")
	return t
}

func (t *tx) commit() error {
	t.ended = true
	return t.ends[0]()
}

func (t *tx) rollback() error {
	t.ended = true
	return t.ends[1]()
}

// outside looks at the store from outside while the transaction is open, where
// that is possible.
func (r *rig) outside(look func()) {
	if !r.h.Exclusive {
		look()
	}
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
	r.outside(func() {
		if _, err := r.store.Get(r.Context(), ids[0]); !errors.Is(err, offstage.ErrNotFound) {
			r.Errorf("get before the commit: got %v, want ErrNotFound", err)
		}
		same(r, "jobs before the commit", r.jobs(), 1)
	})
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
	r.outside(func() { same(r, "args before the commit", string(r.get(id).Args), `{}`) })
	r.must(t.commit(), "commit")
	same(r, "args after the commit", string(r.get(id).Args), `"new"`)
	same(r, "jobs", r.jobs(), 2)
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
