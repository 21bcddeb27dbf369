package worker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// Important work has slots of its own, and comes first in those that it shares.
func ExamplePool() {
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{Pools: []worker.Pool{
		{Name: "high", Queues: []string{"high_priority"}, Slots: 10},
		{Name: "shared", Queues: []string{"high_priority", "low_priority"}, Slots: 20},
	}})
	check(err)
	release, started := make(chan struct{}), make(chan offstage.ID)
	worker.HandleNamed(w, "low", func(ctx context.Context, job *offstage.Job[int]) error {
		<-release
		return nil
	})
	worker.HandleNamed(w, "high", func(ctx context.Context, job *offstage.Job[int]) error {
		started <- job.ID
		return nil
	})

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		for n := range 1000 {
			_, err := client.Enqueue(ctx, offstage.Named("low", n), offstage.InQueue("low_priority"))
			check(err)
		}
		receipt, err := client.Enqueue(ctx, offstage.Named("high", 1), offstage.InQueue("high_priority"))
		check(err)
		fmt.Println("the important job runs:", <-started == receipt.ID)
		close(release)
	})
	// Output:
	// the important job runs: true
}

// A job that runs can be cancelled from anywhere. Its handler sees why.
func Example_cancel() {
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{})
	check(err)
	started := make(chan struct{})
	worker.HandleNamed(w, "long", func(ctx context.Context, job *offstage.Job[int]) error {
		close(started)
		<-ctx.Done()
		return context.Cause(ctx)
	})

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		receipt, err := client.Enqueue(ctx, offstage.Named("long", 1))
		check(err)
		<-started
		state, err := client.Cancel(ctx, receipt.ID)
		check(err)
		fmt.Println("it was", state)
		_, err = receipt.Wait(ctx)
		fmt.Println(err)
	})
	// Output:
	// it was running
	// offstage: job 1 ended cancelled: offstage: the job was cancelled
}

// At the stop running jobs are given time. Those that need more are handed
// back, and other workers begin them anew.
func ExampleWorker_Run() {
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{Grace: 10 * time.Millisecond})
	check(err)
	started := make(chan struct{})
	worker.HandleNamed(w, "long", func(ctx context.Context, job *offstage.Job[int]) error {
		close(started)
		<-ctx.Done()
		return context.Cause(ctx)
	})

	client := offstage.NewClient(store)
	receipt, err := client.Enqueue(context.Background(), offstage.Named("long", 1))
	check(err)
	runWhile(w, func(ctx context.Context) { <-started }) // then the context ends, as at SIGTERM
	job, err := client.Get(context.Background(), receipt.ID)
	check(err)
	fmt.Printf("%s; the first attempt was %s and cost %d of its attempts\n", job.State, job.Attempts[0].Outcome, job.Errors)
	// Output:
	// ready; the first attempt was interrupted and cost 0 of its attempts
}

// OnChange is told of every change of state, after it was recorded.
func ExampleConfig_onChange() {
	changes := make(chan string, 10)
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{OnChange: func(ctx context.Context, e worker.Event) {
		changes <- fmt.Sprintf("%s: %s to %s", e.Job.Kind, e.From, e.To)
	}})
	check(err)
	worker.HandleNamed(w, "mail", func(ctx context.Context, job *offstage.Job[string]) error { return nil })

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		_, err := client.Enqueue(ctx, offstage.Named("mail", "ann@example.com"))
		check(err)
		fmt.Println(<-changes)
		fmt.Println(<-changes)
	})
	// Output:
	// mail: ready to running
	// mail: running to completed
}
