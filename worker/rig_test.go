package worker_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
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
	worker *worker.Worker
	stop   context.CancelFunc
	ended  chan error
}

// newRig makes a worker that does not run yet. Its log is thrown away unless
// the configuration has one.
func newRig(t *testing.T, store offstage.Store, config worker.Config) *rig {
	t.Helper()
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	w, err := worker.New(store, config)
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
	return r.awaitRun(id, 0, state)
}

// awaitRun lets time pass until the job is in the state in this run or a later
// one.
func (r *rig) awaitRun(id offstage.ID, run int, state offstage.State) offstage.Details {
	r.Helper()
	for range 100_000 {
		synctest.Wait()
		if details := r.get(id); details.State == state && details.Run >= run {
			return details
		}
		tick(10 * time.Millisecond)
	}
	got := r.get(id)
	r.Fatalf("job %d is %s in run %d; want %s", id, got.State, got.Run, state)
	return got
}

// tick lets time pass in a bubble.
func tick(d time.Duration) { <-time.After(d) }

// journal is a place for handlers to note things.
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

// lines is a worker's log.
type lines struct {
	journal
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write notes a line.
func (l *lines) Write(line []byte) (int, error) {
	l.add(string(line))
	return len(line), nil
}

// count returns how many lines hold a text.
func (l *lines) count(text string) int {
	n := 0
	for _, line := range l.all() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
