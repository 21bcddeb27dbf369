package offstagetest_test

import (
	"context"
	"fmt"
	"log"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// SignUp is the arguments of a job.
type SignUp struct{ Name string }

// Kind names the kind.
func (SignUp) Kind() string { return "sign_up" }

// Welcome is the arguments of the job that follows from it.
type Welcome struct{ Name string }

// Kind names the kind.
func (Welcome) Kind() string { return "welcome" }

// example is what a test has from its *testing.T.
type example struct{ testing.TB }

func (example) Helper()                        {}
func (example) Context() context.Context       { return context.Background() }
func (example) Fatalf(format string, a ...any) { log.Fatalf(format, a...) }

// A test enqueues what a request would, runs it, and looks at what became of it.
func ExampleDrain() {
	t := example{} // a test's own t
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	if _, err := client.Enqueue(t.Context(), SignUp{"Ada"}); err != nil {
		t.Fatalf("%v", err)
	}
	job := offstagetest.RequireEnqueued(t, store, SignUp{"Ada"})
	fmt.Println("the sign-up is", job.State)

	w, err := worker.New(store, worker.Config{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	worker.Handle(w, func(ctx context.Context, job *offstage.Job[SignUp]) error {
		_, err := client.Enqueue(ctx, Welcome(job.Args))
		return err
	})
	worker.Handle(w, func(_ context.Context, job *offstage.Job[Welcome]) error {
		fmt.Println("welcome,", job.Args.Name)
		return nil
	})
	offstagetest.Drain(t, store, w)

	fmt.Println("the sign-up is", offstagetest.RequireEnqueued(t, store, SignUp{"Ada"}).State)
	// Output:
	// the sign-up is ready
	// welcome, Ada
	// the sign-up is completed
}
