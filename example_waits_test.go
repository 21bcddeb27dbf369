package offstage_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// A job can sleep for days. Meanwhile it holds nothing, and what it has done before
// is not done again.
func ExampleSleep() {
	perform(offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[int]) error {
		if err := offstage.Sleep(ctx, "let them try it", 50*time.Millisecond); err != nil {
			return err // always: the job ends this attempt, and comes back
		}
		fmt.Printf("attempt %d: how do you like it?\n", job.Run)
		return nil
	})
	// Output:
	// attempt 2: how do you like it?
}

// A job can wait for what somebody else does.
func ExampleWaitFor() {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	_, err := client.Signal(context.Background(), "order 7 paid", 100) // as a webhook does, before or after
	check(err)
	perform(store, func(ctx context.Context, job *offstage.Job[int]) error {
		cents, err := offstage.WaitFor[int](ctx, fmt.Sprintf("order %d paid", job.Args), offstage.Within(48*time.Hour))
		if errors.Is(err, offstage.ErrNoSignal) {
			return offstage.Cancel(err)
		}
		if err != nil {
			return err
		}
		fmt.Println("paid:", cents)
		return nil
	})
	// Output:
	// paid: 100
}

// A job can split its work over others and wait for their results.
func ExampleClient_EnqueueChild() {
	ctx, stop := context.WithCancel(context.Background())
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	w, err := worker.New(store, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 1}}})
	check(err)
	worker.HandleNamedResult(w, "square", func(ctx context.Context, job *offstage.Job[int]) (int, error) {
		return job.Args * job.Args, nil
	})
	worker.HandleNamedResult(w, "sum_of_squares", func(ctx context.Context, job *offstage.Job[[]int]) (sum int, err error) {
		var parts []*offstage.Receipt
		for i, n := range job.Args {
			part, err := client.EnqueueChild(ctx, fmt.Sprint("part ", i), offstage.Named("square", n))
			if err != nil {
				return 0, err
			}
			parts = append(parts, part)
		}
		for _, part := range parts {
			square, err := offstage.Await[int](ctx, part) // the one slot is free meanwhile
			if err != nil {
				return 0, err
			}
			sum += square
		}
		return sum, nil
	})
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	receipt, err := client.Enqueue(ctx, offstage.Named("sum_of_squares", []int{1, 2, 3}))
	check(err)
	fmt.Println(offstage.Await[int](ctx, receipt))
	stop()
	check(<-ended)
	// Output:
	// 14 <nil>
}
