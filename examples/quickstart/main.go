// Command quickstart is a complete program: it enqueues jobs into an SQLite
// database, runs them, waits for their results, and ends.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// Greet is the arguments of a job; its kind picks the handler.
type Greet struct {
	Name string `json:"name"`
}

// Kind names the kind.
func (Greet) Kind() string { return "greet" }

func greet(ctx context.Context, job *offstage.Job[Greet]) (string, error) {
	if job.Args.Name == "Grace" && job.Run == 1 {
		return "", offstage.RetryAfter(200 * time.Millisecond) // somebody was not at home
	}
	return "Hello, " + job.Args.Name + "!", nil
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	store, err := sqlite.Open(ctx, ":memory:") // a file's path keeps the jobs
	check(err)

	w, err := worker.New(store, worker.Config{})
	check(err)
	worker.HandleResult(w, greet)
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()

	client := offstage.NewClient(store)
	var receipts []*offstage.Receipt
	for _, name := range []string{"Ada", "Grace", "Barbara"} {
		receipt, err := client.Enqueue(ctx, Greet{Name: name})
		check(err)
		receipts = append(receipts, receipt)
	}
	for _, receipt := range receipts {
		greeting, err := offstage.Await[string](ctx, receipt)
		check(err)
		job, err := client.Get(ctx, receipt.ID)
		check(err)
		fmt.Printf("job %d, attempt %d: %s\n", job.ID, job.Run, greeting)
	}

	stop() // as at SIGTERM: running jobs would be given time to end
	check(<-ended)
	check(store.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
