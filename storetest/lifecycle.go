package storetest

import (
	"errors"
	"sync"

	"github.com/offstagehq/offstage"
)

var lifecycleCases = []Case{
	{"lifecycle/migrate again", "Migrate may be called by many at once and on what is up to date; it leaves the jobs alone.", migrateAgain},
	{"lifecycle/other handle", "What one handle stores, another sees.", otherHandle},
	{"lifecycle/closed", "After Close every call answers ErrClosed; closing again does nothing.", closed},
}

func migrateAgain(r *rig) {
	id := r.insertOne(echo())
	stores := []offstage.Store{r.store, r.peer()}
	var group sync.WaitGroup
	for g := range 6 {
		group.Go(func() {
			if err := stores[g%2].Migrate(r.Context()); err != nil {
				r.Errorf("migrate: %v", err)
			}
		})
	}
	group.Wait()
	r.wantState(offstage.Ready, id)
}

func otherHandle(r *rig) {
	peer := r.peer()
	id := r.insertOne(echoIn("new-queue", 5))
	w := r.workerOn(peer, offstage.WorkerInfo{Queues: []string{"new-queue"}, Kinds: []offstage.Kind{{Name: "echo"}}})
	jobs := w.takeFrom(1, "new-queue")
	same(r, "claimed", idsOf(jobs), []offstage.ID{id})
	r.wantState(offstage.Running, id)
	w.finishAll([]offstage.Result{jobs[0].completed()}, jobs[0].claim)
	r.wantState(offstage.Completed, id)
	details, err := peer.Get(r.Context(), id)
	r.must(err, "get")
	same(r, "by the other handle", details, r.get(id))
}

func closed(r *rig) {
	ctx := r.Context()
	id, w, job := r.bring(echo(), offstage.Running)
	r.must(r.store.Close(), "close")
	r.must(r.store.Close(), "close again")
	calls := map[string]func() error{
		"insert":     func() error { _, err := r.store.Insert(ctx, echoes(1)); return err },
		"insert seq": func() error { _, err := r.store.InsertSeq(ctx, sequence(1, nil)); return err },
		"claim": func() error {
			_, err := r.store.Claim(ctx, offstage.ClaimRequest{Worker: w.id, Seq: 9, Pools: []offstage.PoolRequest{pool(1, "x")}})
			return err
		},
		"finish": func() error {
			_, err := r.store.Finish(ctx, offstage.FinishRequest{Worker: w.id, Results: []offstage.Result{job.completed()}})
			return err
		},
		"claims":   func() error { _, err := r.store.Claims(ctx, w.id); return err },
		"progress": func() error { return r.store.SaveProgress(ctx, []offstage.JobProgress{{Job: id, Run: 1}}) },
		"register": func() error { _, err := r.store.Register(ctx, offstage.WorkerInfo{}); return err },
		"beat":     func() error { _, err := r.store.Beat(ctx, w.id); return err },
		"lead":     func() error { _, err := r.store.Lead(ctx, w.id, 1); return err },
		"get":      func() error { _, err := r.store.Get(ctx, id); return err },
		"list":     func() error { _, err := r.store.List(ctx, offstage.Filter{}); return err },
		"ended of": func() error { _, err := r.store.EndedOf(ctx, []offstage.ID{id}); return err },
		"stats":    func() error { _, err := r.store.Stats(ctx); return err },
		"apply": func() error {
			_, err := r.store.Apply(ctx, offstage.Change{Verb: offstage.VerbCancel, Job: id})
			return err
		},
		"pause": func() error { return r.store.Pause(ctx, offstage.PauseTarget{Queue: "x"}, true) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, offstage.ErrClosed) {
			r.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
}
