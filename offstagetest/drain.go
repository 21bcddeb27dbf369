package offstagetest

import (
	"context"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// Drain runs a worker until it has nothing left to do now, and stops it. So a test
// sees what became of the jobs, and of those that they enqueued in their turn:
//
//	w, err := worker.New(store, worker.Config{})
//	worker.Handle(w, sendMail)
//	offstagetest.Drain(t, store, w)
//	mail := offstagetest.RequireEnqueued(t, store, Mail{To: "ada"})
//
// What cannot run now stays as it is: jobs that wait for a time (also after an
// error, for their next attempt), for a signal or for a handler, those of paused
// queues, and those of queues that no worker serves. To go on with them, let time
// pass in a bubble of testing/synctest, or make them ready, and drain the store with
// another worker. A handler that fails does not fail the test.
//
// The worker is a new *worker.Worker on the same store, which runs no others'
// jobs meanwhile: those are waited for as well. The test ends if Run returns an error.
func Drain(tb testing.TB, store *Store, worker interface{ Run(context.Context) error }) {
	tb.Helper()
	ctx, stop := context.WithCancel(tb.Context())
	defer stop()
	before := store.newest()
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	for wait := time.Millisecond; !store.drained(before); wait = min(2*wait, maxDrainWait) {
		select {
		case err := <-ended:
			tb.Fatalf("the worker ended before its jobs: %v", err)
		case <-time.After(wait):
		}
	}
	stop()
	if err := <-ended; err != nil {
		tb.Fatalf("the worker: %v", err)
	}
}

// maxDrainWait is the longest wait between two looks whether all is done.
const maxDrainWait = 50 * time.Millisecond

// newest returns the worker that registered last.
func (s *Store) newest() offstage.WorkerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastWorker
}

// drained reports whether a worker that registered after this one, and all others,
// have nothing to do now.
func (s *Store) drained(before offstage.WorkerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	served, came := map[string]bool{}, false
	for id, w := range s.workers {
		came = came || id > before
		for _, queue := range w.info.Queues {
			served[queue] = served[queue] || !w.dead && !s.queueNamed(queue).paused
		}
	}
	now := time.Now()
	for _, j := range s.jobs {
		due := j.state == offstage.Ready || (j.state == offstage.Scheduled || j.state == offstage.Retrying) && !j.dueAt.After(now)
		if !j.deleted && (j.state == offstage.Running || due && served[j.Queue]) {
			return false
		}
	}
	return came
}
