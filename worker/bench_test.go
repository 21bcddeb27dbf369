package worker_test

import (
	"context"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// BenchmarkDrain runs jobs that do nothing, from a store in memory: what is left
// is the worker's own cost, and that store's.
func BenchmarkDrain(b *testing.B) {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	for range b.N {
		if _, err := client.Enqueue(b.Context(), task{}); err != nil {
			b.Fatal(err)
		}
	}
	w, err := worker.New(store, worker.Config{})
	if err != nil {
		b.Fatal(err)
	}
	left, done := b.N, make(chan struct{})
	count := make(chan struct{}, 1)
	count <- struct{}{}
	worker.Handle(w, func(context.Context, *offstage.Job[task]) error {
		<-count
		if left--; left == 0 {
			close(done)
		}
		count <- struct{}{}
		return nil
	})
	ended := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { ended <- w.Run(b.Context()) }()
	<-done
	b.StopTimer()
	w.Stop(false)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
