package offstagetest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// draining is a store with a client and workers.
type draining struct {
	*testing.T
	store  *offstagetest.Store
	client *offstage.Client
}

func (d *draining) enqueue(args offstage.Args, options ...offstage.Option) offstage.ID {
	d.Helper()
	receipt, err := d.client.Enqueue(d.Context(), args, options...)
	if err != nil {
		d.Fatal(err)
	}
	return receipt.ID
}

// drain has a new worker send mails, and make reports, each of which is mailed.
func (d *draining) drain() {
	d.Helper()
	w, err := worker.New(d.store, worker.Config{
		Pools:  []worker.Pool{{Queues: []string{offstage.DefaultQueue, "paused"}}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		d.Fatal(err)
	}
	worker.Handle(w, func(_ context.Context, job *offstage.Job[mail]) error {
		if job.Args.To == "nobody" && job.Run == 1 {
			return errors.New("nobody is there")
		}
		return nil
	}, worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return time.Hour }}))
	worker.Handle(w, func(ctx context.Context, _ *offstage.Job[report]) error {
		<-time.After(90 * time.Second) // it takes its time
		_, err := d.client.Enqueue(ctx, mail{"the boss"})
		return err
	})
	offstagetest.Drain(d, d.store, w)
}

// wantStates compares the states of jobs.
func (d *draining) wantStates(want string, ids ...offstage.ID) {
	d.Helper()
	var states []offstage.State
	for _, id := range ids {
		job, err := d.client.Get(d.Context(), id)
		if err != nil {
			d.Fatal(err)
		}
		states = append(states, job.State)
	}
	if got := fmt.Sprint(states); got != want {
		d.Errorf("the jobs are %s, want %s", got, want)
	}
}

type unknown struct{}

func (unknown) Kind() string { return "unknown" }

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		d := &draining{t, store, offstage.NewClient(store)}
		d.drain() // there is nothing to do
		if err := d.client.PauseQueue(t.Context(), "paused"); err != nil {
			t.Fatal(err)
		}
		ids := []offstage.ID{
			d.enqueue(report{}),
			d.enqueue(mail{"a"}),
			d.enqueue(mail{"nobody"}, offstage.After(time.Minute)), // while the report is made
			d.enqueue(mail{"b"}, offstage.After(24*time.Hour)),
			d.enqueue(mail{"c"}, offstage.InQueue("paused")),
			d.enqueue(mail{"d"}, offstage.InQueue("not_served")),
			d.enqueue(unknown{}),
		}
		d.drain()
		d.wantStates("[completed completed retrying scheduled ready ready blocked]", ids...)
		boss := offstagetest.RequireEnqueued(t, store, mail{"the boss"})
		d.wantStates("[completed]", boss.ID)

		<-time.After(25 * time.Hour)
		if err := d.client.ResumeQueue(t.Context(), "paused"); err != nil {
			t.Fatal(err)
		}
		d.drain()
		d.wantStates("[completed completed completed completed completed ready blocked]", ids...)
	})
}

// What keeps the worker from its work ends the test, and is said.
func TestDrainOfAClosedStore(t *testing.T) {
	store := offstagetest.NewStore()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(store, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if said := failure(t, func(tb testing.TB) { offstagetest.Drain(tb, store, w) }); !strings.Contains(said, offstage.ErrClosed.Error()) {
		t.Errorf("it said %q", said)
	}
}
