package faultstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// appMethods are called by an application that enqueues, looks and operates.
var appMethods = []string{
	"Migrate", "Insert", "InsertSeq", "InsertFlow", "Within", "Tx.Insert", "Tx.InsertFlow", "Tx.Once",
	"Apply", "Pause", "EndedOf", "Get", "List", "Stats", "Setting", "Look", "Place", "Line",
}

// task is the kind of its jobs, whose argument is the name of the enqueue.
const task = "task"

// side is a queue that it pauses.
const side = "side"

// app is an application above a store that fails.
type app struct {
	*testing.T
	store  *offstagetest.Store
	client *offstage.Client

	mu   sync.Mutex
	want map[string]jobsOf // guarded by mu: by the name of the enqueue
}

// jobsOf is how many jobs an enqueue may have led to.
type jobsOf struct{ least, most int }

// expect notes what an enqueue of n jobs led to, as far as its answer tells.
func (a *app) expect(name string, n int, err error) {
	want := jobsOf{n, n}
	if err != nil {
		want.least = 0
		if offstage.ClassOf(err) != offstage.FaultUnknown {
			want.most = 0
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.want[name] = want
}

// playApp has an application whose every call fails, above engines that go on.
func playApp(t *testing.T, fault faultstore.Fault) {
	store := offstagetest.NewStore()
	faulty := faultstore.Wrap(store)
	a := &app{T: t, store: store, client: offstage.NewClient(faulty), want: map[string]jobsOf{}}
	pools := []worker.Pool{{Queues: []string{offstage.DefaultQueue, side}, Slots: 6}}
	end := run(t, worker.Config{Pools: pools}, func(w *worker.Worker) {
		worker.HandleNamed(w, task, func(context.Context, *offstage.Job[string]) error { return nil }, every(time.Second))
	}, faulty, faulty)
	faulty.Break(fault)
	var parts sync.WaitGroup
	migrate := func() { insist(t, "migrate", func() error { return faulty.Migrate(t.Context()) }) }
	for _, part := range []func(){migrate, a.once, a.enqueueMany, a.inTx, a.requests, a.cancels, a.pauses, a.looks, a.setting} {
		parts.Go(part)
	}
	for n := range int(lasts / time.Second) {
		name := fmt.Sprint("plain ", n)
		_, err := a.client.Enqueue(t.Context(), offstage.Named(task, name))
		a.expect(name, 1, err)
		pass(time.Second)
	}
	if struck := faulty.Heal(); struck == 0 {
		t.Error("the fault never struck")
	}
	parts.Wait()
	pass(time.Minute)
	end()
	a.check()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// once repeats enqueues under a unique key until they are acknowledged, and waits
// for their ends.
func (a *app) once() {
	for n := range 5 {
		name := fmt.Sprint("once ", n)
		var made *offstage.Receipt
		insist(a.T, name, func() (err error) {
			made, err = a.client.Enqueue(a.Context(), offstage.Named(task, name),
				offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Period: 24 * time.Hour}))
			return err
		})
		a.expect(name, 1, nil)
		if _, err := made.Wait(a.Context()); err != nil {
			a.Errorf("%s: %v", name, err)
		}
	}
}

// enqueueMany enqueues sequences, all or nothing.
func (a *app) enqueueMany() {
	for n := range 10 {
		name := fmt.Sprint("many ", n)
		_, err := a.client.EnqueueMany(a.Context(), many(name, 7))
		a.expect(name, 7, err)
		pass(2 * time.Second)
	}
}

func many(name string, n int) iter.Seq[offstage.Args] {
	return func(yield func(offstage.Args) bool) {
		for range n {
			if !yield(offstage.Named(task, name)) {
				return
			}
		}
	}
}

// inTx enqueues in transactions: once for each key, whether that is told by
// Once or by a request, and nothing without a commit.
func (a *app) inTx() {
	for n := range 5 {
		name := fmt.Sprint("in a transaction ", n)
		insist(a.T, name, func() error {
			return a.transact(func(in *offstage.TxClient) error {
				first, err := in.Once(a.Context(), name)
				if err != nil || !first {
					return err
				}
				_, err = in.Enqueue(a.Context(), offstage.Named(task, name))
				return err
			})
		})
		a.expect(name, 1, nil)
		asked := fmt.Sprint("asked in a transaction ", n)
		insist(a.T, asked, func() error {
			return a.transact(func(in *offstage.TxClient) error {
				_, err := in.Enqueue(a.Context(), offstage.Named(task, asked), offstage.ForRequest(requestOf(asked)))
				return err
			})
		})
		a.expect(asked, 1, nil)
		pass(2 * time.Second)
	}
}

func (a *app) transact(do func(*offstage.TxClient) error) error {
	tx := a.store.Begin()
	if err := do(a.client.In(offstagetest.Tx(tx))); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func requestOf(name string) offstage.Request {
	return offstage.Request{Key: []byte(name), Fingerprint: []byte("the same")}
}

// requests repeats requests, each for a job and its follower.
func (a *app) requests() {
	for n := range 5 {
		name := fmt.Sprint("request ", n)
		insist(a.T, name, func() error {
			_, err := a.client.Enqueue(a.Context(), offstage.Named(task, name), offstage.ForRequest(requestOf(name)),
				offstage.Then(offstage.Named(task, "after "+name)))
			return err
		})
		a.expect(name, 1, nil)
		a.expect("after "+name, 1, nil)
		pass(2 * time.Second)
	}
}

// cancels calls jobs off that are to run in an hour.
func (a *app) cancels() {
	plain := offstage.NewClient(a.store)
	for n := range 5 {
		name := fmt.Sprint("cancelled ", n)
		made, err := plain.Enqueue(a.Context(), offstage.Named(task, name), offstage.After(time.Hour))
		if err != nil {
			a.Fatal(err)
		}
		a.expect(name, 1, nil)
		insist(a.T, name, func() error {
			state, err := a.client.Cancel(a.Context(), made.ID)
			if err == nil && state != offstage.Cancelled {
				a.Errorf("%s: the cancel answered %s", name, state)
			}
			return err
		})
		pass(2 * time.Second)
	}
}

// pauses stops a queue: what is enqueued to it meanwhile starts when it goes on.
func (a *app) pauses() {
	plain := offstage.NewClient(a.store)
	insist(a.T, "pause", func() error { return a.client.PauseQueue(a.Context(), side) })
	made, err := plain.Enqueue(a.Context(), offstage.Named(task, "paused"), offstage.InQueue(side))
	if err != nil {
		a.Fatal(err)
	}
	a.expect("paused", 1, nil)
	pass(5 * time.Second)
	if got, err := plain.Get(a.Context(), made.ID); err != nil || got.State != offstage.Ready {
		a.Errorf("a job of a paused queue is %s, %v", got.State, err)
	}
	insist(a.T, "resume", func() error { return a.client.ResumeQueue(a.Context(), side) })
}

// looks asks for a job in every way: what is answered is true.
func (a *app) looks() {
	plain := offstage.NewClient(a.store)
	made, err := plain.Enqueue(a.Context(), offstage.Named(task, "seen"), offstage.After(time.Hour))
	if err != nil {
		a.Fatal(err)
	}
	a.expect("seen", 1, nil)
	for range int(lasts / time.Second) {
		if got, err := a.client.Get(a.Context(), made.ID); err == nil && got.State != offstage.Scheduled {
			a.Errorf("Get says that it is %s", got.State)
		}
		if got, err := a.client.Look(a.Context(), []offstage.ID{made.ID}); err == nil && (len(got) != 1 || got[0].State != offstage.Scheduled) {
			a.Errorf("Look says %+v", got)
		}
		if got, err := a.client.List(a.Context(), offstage.Filter{Limit: 1000}); err == nil && len(got.Jobs) == 0 {
			a.Error("List says that there is nothing")
		}
		if got, err := a.client.Stats(a.Context()); err == nil && len(got.Queues) == 0 {
			a.Errorf("Stats says %+v", got)
		}
		if got, err := a.client.Place(a.Context(), made.ID, 10); err == nil && got.Ready {
			a.Errorf("Place says %+v", got)
		}
		if got, err := a.client.Line(a.Context(), "nobody's", 10); err == nil && got.Ready != 0 {
			a.Errorf("Line says %+v", got)
		}
		pass(time.Second)
	}
	insist(a.T, "cancel", func() error { _, err := plain.Cancel(a.Context(), made.ID); return err })
}

// setting keeps one value for all.
func (a *app) setting() {
	kept := ""
	for n := range 10 {
		insist(a.T, "setting", func() error {
			value, err := a.client.Setting(a.Context(), "test/name", []byte(fmt.Sprint(n)))
			if kept == "" {
				kept = string(value)
			}
			if err == nil && string(value) != kept {
				a.Errorf("the setting was %q and is %q", kept, value)
			}
			return err
		})
	}
}

// check holds the jobs against what the application was told.
func (a *app) check() {
	got := map[string]int{}
	eachJob(a.T, offstage.NewClient(a.store), func(job offstage.JobInfo) {
		got[string(job.Facts.Args)]++
		if !job.State.Terminal() {
			a.Errorf("job %d, %s, is %s", job.ID, job.Facts.Args, job.State)
		}
	})
	for name, want := range a.want {
		n := got[fmt.Sprintf("%q", name)]
		if n < want.least || n > want.most || n != 0 && n != want.most {
			a.Errorf("%q has %d jobs; want %+v", name, n, want)
		}
		delete(got, fmt.Sprintf("%q", name))
	}
	for name, n := range got {
		a.Errorf("nobody knows of %s, of which there are %d jobs", name, n)
	}
}
