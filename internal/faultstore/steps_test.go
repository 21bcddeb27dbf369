package faultstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// stepMethods are called by jobs that remember, wait, and split their work.
var stepMethods = []string{
	"Recall", "Remember", "RememberChild", "Signal", "FindSignal", "EndedOf", "Within",
	"Tx.Recall", "Tx.Remember", "Tx.Once", "Tx.Signal", "Tx.Insert",
}

// bill is a job of several steps.
type bill struct {
	N int `json:"n"`
}

func (bill) Kind() string { return "bill" }

// mail is the child of a bill, receipt what its transaction enqueues.
const (
	mail    = "mail"
	receipt = "receipt"
)

// clerk runs bills and notes what the store has promised to remember.
type clerk struct {
	*testing.T
	store  *offstagetest.Store
	client *offstage.Client // on the store that fails

	mu     sync.Mutex
	stored map[string]bool           // guarded by mu: steps whose result is stored, by job and name
	rows   map[int]int               // guarded by mu: how far each cursor was saved
	slept  map[offstage.ID]time.Time // guarded by mu: the first time that each came to its sleep
}

// step does a step that must not be done again once its result is stored.
func (c *clerk) step(ctx context.Context, job *offstage.Job[bill], name string) error {
	key := fmt.Sprint(job.ID, name)
	_, err := offstage.Step(ctx, name, func(context.Context) (string, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stored[key] {
			c.Errorf("job %d did %q again, though its result was stored", job.ID, name)
		}
		return name, nil
	})
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stored[key] = true
	}
	return err
}

// loop goes over rows; what was saved is not handled again.
func (c *clerk) loop(ctx context.Context, job *offstage.Job[bill]) error {
	cursor, err := offstage.OpenCursor[int](ctx, "rows", offstage.SaveEvery(0, 1))
	if err != nil {
		return err
	}
	last, _ := cursor.Value()
	c.mu.Lock()
	if saved := c.rows[job.Args.N]; last < saved {
		c.Errorf("job %d goes on from row %d, though %d was saved", job.ID, last, saved)
	}
	c.mu.Unlock()
	for row := last + 1; row <= 4; row++ {
		if err := cursor.Set(ctx, row); err != nil {
			return err
		}
		c.mu.Lock()
		c.rows[job.Args.N] = row
		c.mu.Unlock()
	}
	return nil
}

// write enqueues a receipt and gives a signal, in a transaction of one step.
func (c *clerk) write(ctx context.Context, job *offstage.Job[bill]) error {
	tx := c.store.Begin()
	in := c.client.In(offstagetest.Tx(tx))
	_, err := offstage.StepTx(ctx, offstagetest.Tx(tx), "write", func(ctx context.Context) (bool, error) {
		first, err := offstage.Once(ctx, offstagetest.Tx(tx), fmt.Sprint("receipt of ", job.Args.N))
		if err == nil && !first {
			err = errors.New("the key was taken by a transaction that was not committed")
		}
		if err != nil {
			return false, err
		}
		if _, err := in.Signal(ctx, fmt.Sprint("written ", job.Args.N), job.Args.N); err != nil {
			return false, err
		}
		_, err = in.Enqueue(ctx, offstage.Named(receipt, job.Args.N))
		return true, err
	})
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// pause sleeps a second, and not less.
func (c *clerk) pause(ctx context.Context, job *offstage.Job[bill]) error {
	c.mu.Lock()
	if c.slept[job.ID].IsZero() {
		c.slept[job.ID] = time.Now()
	}
	since := c.slept[job.ID]
	c.mu.Unlock()
	err := offstage.Sleep(ctx, "nap", time.Second)
	if err == nil && time.Since(since) < time.Second {
		c.Errorf("job %d woke after %v", job.ID, time.Since(since))
	}
	return err
}

func (c *clerk) handle(ctx context.Context, job *offstage.Job[bill]) error {
	for _, part := range []func(context.Context, *offstage.Job[bill]) error{
		func(ctx context.Context, job *offstage.Job[bill]) error { return c.step(ctx, job, "charge") },
		c.write, c.loop, c.pause,
	} {
		if err := part(ctx, job); err != nil {
			return err
		}
	}
	child, err := c.client.EnqueueChild(ctx, "mail", offstage.Named(mail, job.Args.N))
	if err != nil {
		return err
	}
	if n, err := offstage.Await[int](ctx, child); err != nil {
		return err
	} else if n != job.Args.N {
		c.Errorf("the child of bill %d answered %d", job.Args.N, n)
	}
	paid, err := offstage.WaitFor[int](ctx, fmt.Sprint("paid ", job.Args.N))
	if err == nil && paid != job.Args.N {
		c.Errorf("bill %d got the signal %d", job.Args.N, paid)
	}
	return err
}

// playSteps has bills, and somebody who pays them.
func playSteps(t *testing.T, fault faultstore.Fault) {
	store := offstagetest.NewStore()
	faulty := faultstore.Wrap(store)
	c := &clerk{T: t, store: store, client: offstage.NewClient(faulty), stored: map[string]bool{}, rows: map[int]int{}, slept: map[offstage.ID]time.Time{}}
	end := run(t, worker.Config{}, func(w *worker.Worker) {
		worker.Handle(w, c.handle, every(3*time.Second))
		worker.HandleNamedResult(w, mail, func(_ context.Context, job *offstage.Job[int]) (int, error) { return job.Args, nil }, every(time.Second))
		worker.HandleNamed(w, receipt, func(context.Context, *offstage.Job[int]) error { return nil }, every(time.Second))
	}, faulty, faulty)
	client := offstage.NewClient(store)
	faulty.Break(fault)
	const bills = 6
	var ids []offstage.ID
	for n := 1; n <= bills; n++ {
		made, err := client.Enqueue(t.Context(), bill{n})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	var paying sync.WaitGroup
	for n := 1; n <= bills; n++ {
		paying.Go(func() {
			pass(time.Duration(n) * 4 * time.Second) // some before the bill waits, some after
			insist(t, "signal", func() error {
				_, err := c.client.Signal(t.Context(), fmt.Sprint("paid ", n), n)
				return err
			})
		})
	}
	pass(lasts)
	if struck := faulty.Heal(); struck == 0 {
		t.Error("the fault never struck")
	}
	paying.Wait()
	awaitAll(t, client, ids)
	pass(10 * time.Second) // the receipts
	end()
	c.check(ids)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// check expects one child, one receipt and one signal of each bill.
func (c *clerk) check(ids []offstage.ID) {
	client := offstage.NewClient(c.store)
	for i, id := range ids {
		wantOneCompletion(c.T, client, id)
		name := fmt.Sprint("written ", i+1)
		if payload, found, err := c.store.FindSignal(c.Context(), name); err != nil || !found || string(payload) != fmt.Sprint(i+1) {
			c.Errorf("the signal %q: %q, %t, %v", name, payload, found, err)
		}
	}
	counts := map[string]int{}
	eachJob(c.T, client, func(job offstage.JobInfo) {
		counts[job.Kind+" "+string(job.Facts.Args)]++
		if job.State != offstage.Completed {
			c.Errorf("%s %d is %s", job.Kind, job.ID, job.State)
		}
	})
	for n := 1; n <= len(ids); n++ {
		for _, kind := range []string{mail, receipt} {
			if got := counts[fmt.Sprint(kind, " ", n)]; got != 1 {
				c.Errorf("bill %d has %d jobs %q", n, got, kind)
			}
		}
	}
}

// eachJob looks at all jobs.
func eachJob(t *testing.T, client *offstage.Client, look func(offstage.JobInfo)) {
	t.Helper()
	for filter := (offstage.Filter{Limit: 100}); ; {
		page, err := client.List(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, job := range page.Jobs {
			look(job)
		}
		if filter.After = page.Next; page.Next == "" {
			return
		}
	}
}
