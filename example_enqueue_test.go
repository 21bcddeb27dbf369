package offstage_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/sqlite"
)

// Newsletter is the arguments of a job.
type Newsletter struct {
	To string `json:"to"`
}

// Kind names the kind.
func (Newsletter) Kind() string { return "newsletter" }

// What belongs to one job goes with its arguments, what belongs to all is an option.
func ExampleClient_EnqueueMany() {
	ctx := context.Background()
	client := offstage.NewClient(offstagetest.NewStore())
	n, err := client.EnqueueMany(ctx, func(yield func(offstage.Args) bool) {
		for _, to := range []string{"ada", "grace", "the boss"} { // rows of a query, as they are read
			var job offstage.Args = Newsletter{to}
			if to == "the boss" {
				job = offstage.With(job, offstage.Priority(0))
			}
			if !yield(job) {
				return
			}
		}
	}, offstage.InQueue("low_priority"), offstage.Timeout(time.Minute))
	check(err)
	fmt.Println(n, "jobs")
	// Output:
	// 3 jobs
}

// The job exists if and only if the application's own row does.
func ExampleClient_In() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, ":memory:")
	check(err)
	_, err = store.DB().ExecContext(ctx, "CREATE TABLE customer (name TEXT)")
	check(err)
	client := offstage.NewClient(store)

	signUp := func(name string, then func() error) error {
		tx, err := store.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after the commit
		if _, err := tx.ExecContext(ctx, "INSERT INTO customer VALUES (?)", name); err != nil {
			return err
		}
		if _, err := client.In(sqlite.Tx(tx)).Enqueue(ctx, Newsletter{name}); err != nil {
			return err
		}
		if err := then(); err != nil {
			return err
		}
		return tx.Commit()
	}
	fmt.Println(signUp("ada", func() error { return nil }))
	fmt.Println(signUp("grace", func() error { return errors.New("she thought better of it") }))
	page, err := client.List(ctx, offstage.Filter{Kind: "newsletter"})
	check(err)
	for _, job := range page.Jobs {
		fmt.Printf("%s\n", job.Args)
	}
	check(store.Close())
	// Output:
	// <nil>
	// she thought better of it
	// {"to":"ada"}
}

// An operator looks at what waits, page by page, and calls it off.
func ExampleClient_List() {
	ctx := context.Background()
	client := offstage.NewClient(offstagetest.NewStore())
	for _, to := range []string{"ada", "grace", "barbara"} {
		_, err := client.Enqueue(ctx, Newsletter{to}, offstage.After(time.Hour), offstage.Tags("autumn"))
		check(err)
	}
	filter := offstage.Filter{State: offstage.Scheduled, Tag: "autumn", Limit: 2}
	for {
		page, err := client.List(ctx, filter)
		check(err)
		for _, job := range page.Jobs {
			state, err := client.Cancel(ctx, job.ID)
			check(err)
			fmt.Printf("%s is %s\n", job.Args, state)
		}
		if page.Next == "" {
			break
		}
		filter.After = page.Next
	}
	// Output:
	// {"to":"barbara"} is cancelled
	// {"to":"grace"} is cancelled
	// {"to":"ada"} is cancelled
}

// However often it is asked for, at most one job an hour for each reader.
func ExampleUnique() {
	ctx := context.Background()
	client := offstage.NewClient(offstagetest.NewStore())
	once := offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Period: time.Hour})
	for _, to := range []string{"ada", "ada", "grace"} {
		receipt, err := client.Enqueue(ctx, Newsletter{to}, once)
		check(err)
		fmt.Println(to, receipt.Existed)
	}
	// Output:
	// ada false
	// ada true
	// grace false
}
