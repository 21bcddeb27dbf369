package worker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// task is the kind of most jobs in these tests.
type task struct {
	N int `json:"n"`
}

func (task) Kind() string { return "task" }

// rig is a worker on a store, with a client.
type rig struct {
	*testing.T
	store  offstage.Store
	client *offstage.Client
	worker *Worker
	stop   context.CancelFunc
	ended  chan error
}

// newRig makes a worker that does not run yet. Its log is thrown away unless
// the configuration has one.
func newRig(t *testing.T, store offstage.Store, config Config) *rig {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	w, err := New(store, config)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, store: store, client: offstage.NewClient(store), worker: w}
}

// run starts the worker.
func (r *rig) run() {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.worker.Run(ctx) }()
}

// end stops the worker and returns what Run returned.
func (r *rig) end() error {
	r.stop()
	return <-r.ended
}

// endWell stops the worker and expects no error.
func (r *rig) endWell() {
	r.Helper()
	if err := r.end(); err != nil {
		r.Errorf("Run returned %v", err)
	}
}

func (r *rig) enqueue(args offstage.Args, options ...offstage.Option) offstage.ID {
	r.Helper()
	receipt, err := r.client.Enqueue(context.Background(), args, options...)
	if err != nil {
		r.Fatal(err)
	}
	return receipt.ID
}

func (r *rig) get(id offstage.ID) offstage.Details {
	r.Helper()
	details, err := r.client.Get(context.Background(), id)
	if err != nil {
		r.Fatal(err)
	}
	return details
}

// await lets time pass until the job is in the state.
func (r *rig) await(id offstage.ID, state offstage.State) offstage.Details {
	r.Helper()
	for range 100_000 {
		synctest.Wait()
		if details := r.get(id); details.State == state {
			return details
		}
		tick(10 * time.Millisecond)
	}
	r.Fatalf("job %d is %s; want %s", id, r.get(id).State, state)
	panic("unreachable")
}

// tick lets time pass in a bubble.
func tick(d time.Duration) { <-time.After(d) }

// log is a place for handlers to note things.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

func TestJobsRunAndAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, offstagetest.NewStore(), Config{})
		HandleResult(r.worker, func(ctx context.Context, job *offstage.Job[task]) (int, error) {
			if job.Args.N < 0 && job.Run == 1 {
				return 0, errors.New("negative")
			}
			return 2 * job.Args.N, nil
		})
		r.run()
		good, bad := r.enqueue(task{21}), r.enqueue(task{-1})
		if got := r.await(good, offstage.Completed); string(got.Result) != "42" || got.Run != 1 {
			t.Errorf("result %s in run %d; want 42 in run 1", got.Result, got.Run)
		}
		failed := r.await(bad, offstage.Retrying)
		if failed.Error != "negative" || failed.Errors != 1 {
			t.Errorf("error %q, %d errors", failed.Error, failed.Errors)
		}
		if got := r.await(bad, offstage.Completed); got.Run != 2 {
			t.Errorf("completed in run %d; want 2", got.Run)
		}
		r.endWell()
		stats, err := r.client.Stats(context.Background())
		if err != nil || len(stats.Workers) != 0 {
			t.Errorf("workers left: %v, %v", stats.Workers, err)
		}
	})
}

var _ = json.Marshal
