package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// A kind can have a retry policy of its own, with rules for certain errors.
func ExampleRetry() {
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{})
	check(err)
	policy := offstage.RetryPolicy{
		MaxAttempts: 3,
		Backoff:     func(failed int) time.Duration { return time.Duration(failed) * time.Millisecond },
		Rules: []offstage.ErrorRule{
			{Match: offstage.Is(io.ErrUnexpectedEOF), Then: offstage.Failed}, // no use in trying again
		},
	}
	worker.HandleNamed(w, "import", func(ctx context.Context, job *offstage.Job[string]) error {
		if job.Args == "broken.csv" {
			return io.ErrUnexpectedEOF
		}
		if job.Errors < 2 {
			return errors.New("the disk is asleep")
		}
		return nil
	}, worker.Retry(policy))

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		for _, file := range []string{"broken.csv", "good.csv"} {
			receipt, err := client.Enqueue(ctx, offstage.Named("import", file))
			check(err)
			_, err = receipt.Wait(ctx)
			job, _ := client.Get(ctx, receipt.ID)
			fmt.Printf("%s: %s after %d attempts, %v\n", file, job.State, job.Run, err)
		}
	})
	// Output:
	// broken.csv: failed after 1 attempts, offstage: job 1 ended failed: unexpected EOF
	// good.csv: completed after 3 attempts, <nil>
}

// A timeout ends the context of one attempt.
func ExampleTimeout() {
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{})
	check(err)
	worker.HandleNamed(w, "slow", func(ctx context.Context, job *offstage.Job[int]) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}, worker.Timeout(10*time.Millisecond))

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		receipt, err := client.Enqueue(ctx, offstage.Named("slow", 1), offstage.MaxAttempts(1))
		check(err)
		_, err = receipt.Wait(ctx)
		fmt.Println(err)
	})
	// Output:
	// offstage: job 1 ended failed: offstage: the job's timeout has passed
}

// Middleware sees each attempt of each kind.
func ExampleMiddleware() {
	timing := func(next worker.HandlerFunc) worker.HandlerFunc {
		return func(ctx context.Context, job *offstage.Job[json.RawMessage]) (json.RawMessage, error) {
			fmt.Printf("%s begins with %s\n", job.Kind, job.Args)
			result, err := next(ctx, job)
			fmt.Printf("%s ends with %s\n", job.Kind, result)
			return result, err
		}
	}
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{Middleware: []worker.Middleware{timing}})
	check(err)
	worker.HandleNamedResult(w, "double", func(ctx context.Context, job *offstage.Job[int]) (int, error) {
		return 2 * job.Args, nil
	})

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		receipt, err := client.Enqueue(ctx, offstage.Named("double", 21))
		check(err)
		_, err = offstage.Await[int](ctx, receipt)
		check(err)
	})
	// Output:
	// double begins with 21
	// double ends with 42
}

// What a handler says of its progress and logs is kept for those who ask.
func Example_progressAndLog() {
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{})
	check(err)
	worker.HandleNamed(w, "count", func(ctx context.Context, job *offstage.Job[int]) error {
		for n := range job.Args {
			offstage.Progress(ctx, int64(n+1), int64(job.Args), "counting")
		}
		offstage.Logger(ctx).Debug("counted", "to", job.Args)
		return nil
	})

	client := offstage.NewClient(store)
	runWhile(w, func(ctx context.Context) {
		receipt, err := client.Enqueue(ctx, offstage.Named("count", 1000))
		check(err)
		_, err = receipt.Wait(ctx)
		check(err)
		job, err := client.Get(ctx, receipt.ID)
		check(err)
		fmt.Printf("%d of %d, %s\n", job.Progress.Done, job.Progress.Total, job.Progress.Message)
	})
	// Output:
	// 1000 of 1000, counting
}

// A handler that writes to the store's own database can complete its job in
// the same transaction: both happen or neither does.
func Example_completeInTransaction() {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	w, err := worker.New(store, worker.Config{})
	check(err)
	worker.HandleNamed(w, "order", func(ctx context.Context, job *offstage.Job[string]) error {
		tx := store.Begin() // with SQL: db.BeginTx, and sqlite.Tx or postgres.Tx below
		if _, err := client.In(offstagetest.Tx(tx)).Enqueue(ctx, offstage.Named("ship", job.Args)); err != nil {
			return err
		}
		if err := job.Complete(ctx, offstagetest.Tx(tx)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
	shipped := make(chan string)
	worker.HandleNamed(w, "ship", func(ctx context.Context, job *offstage.Job[string]) error {
		shipped <- job.Args
		return nil
	})

	runWhile(w, func(ctx context.Context) {
		_, err := client.Enqueue(ctx, offstage.Named("order", "a book"))
		check(err)
		fmt.Println("shipped:", <-shipped)
	})
	// Output:
	// shipped: a book
}
