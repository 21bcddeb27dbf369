package offstagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/offstagehq/offstage"
)

// Trial is a world in which [Twice] runs a handler, new for each cut.
type Trial[A any] struct {
	// Handle is the handler under test.
	Handle func(ctx context.Context, job *offstage.Job[A]) error
	// Effects are what the handler does to the world, by names for the test's
	// messages: each returns what was done so far, for reflect.DeepEqual.
	Effects map[string]func() any
	// Store keeps the job, for handlers with transactions of its database; it
	// must be empty. nil is a new store in memory.
	Store offstage.Store
}

// Twice finds out whether a handler may run twice. It runs one job to its end, to
// see what effects it has; then once more for each moment at which its process
// might have died: before and after each step and each save of a cursor is
// remembered, and before the job's end is recorded. Each time the handler is cut
// off there in a new world, its worker is taken for dead, and the job runs again
// to its end: the effects must be the same as those of the uncut run.
//
// Waits of the job are cut short: retries come at once, and sleeps are over. The
// handler is cut off by runtime.Goexit, so its deferred calls are made, as they
// would not be by a kill.
func Twice[A offstage.Args](tb testing.TB, args A, world func(tb testing.TB) Trial[A]) {
	tb.Helper()
	first := newTrial(tb, args, world)
	if state, trouble := first.toItsEnd(); state != offstage.Completed {
		tb.Fatalf("the handler does not complete even undisturbed: the job is %s: %s", state, trouble)
	}
	want, cuts := first.effects(), first.cutter.passed
	for at, moment := range cuts {
		trial := newTrial(tb, args, world)
		trial.cutter.at = at + 1
		state, trouble := trial.toItsEnd()
		if state != offstage.Completed {
			tb.Errorf("cut %s, the job does not complete when it runs again: it is %s: %s", moment, state, trouble)
			continue
		}
		for name, got := range trial.effects() {
			if !reflect.DeepEqual(got, want[name]) {
				tb.Errorf("cut %s, the effect %q differs: once it is %v, cut and run again %v", moment, name, want[name], got)
			}
		}
	}
}

// trial is a world with its one job.
type trial[A any] struct {
	tb     testing.TB
	world  Trial[A]
	cutter *cutter
	job    offstage.ID
}

func newTrial[A offstage.Args](tb testing.TB, args A, world func(tb testing.TB) Trial[A]) *trial[A] {
	tb.Helper()
	t := &trial[A]{tb: tb, world: world(tb)}
	store := t.world.Store
	if store == nil {
		store = NewStore()
	}
	t.cutter = &cutter{Store: store}
	receipt, err := offstage.NewClient(store).Enqueue(tb.Context(), args)
	if err != nil {
		tb.Fatalf("enqueue: %v", err)
	}
	t.job = receipt.ID
	return t
}

// effects looks at what was done.
func (t *trial[A]) effects() map[string]any {
	done := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(t.world.Effects)) {
		done[name] = t.world.Effects[name]()
	}
	return done
}

// maxRuns is how often the job of a trial is run before it counts as one that
// never ends.
const maxRuns = 50

// toItsEnd runs the job until it has ended.
func (t *trial[A]) toItsEnd() (offstage.State, string) {
	t.tb.Helper()
	for range maxRuns {
		info, err := t.cutter.Get(t.tb.Context(), t.job)
		if err != nil {
			t.tb.Fatalf("look at the job: %v", err)
		}
		switch {
		case info.State.Terminal():
			return info.State, info.Error
		case info.State == offstage.Blocked:
			return info.State, info.Waits
		case info.State != offstage.Ready:
			if _, err := t.cutter.Apply(t.tb.Context(), offstage.Change{Verb: offstage.VerbRunNow, Job: t.job}); err != nil {
				t.tb.Fatalf("cut the job's wait short: %v", err)
			}
		}
		if err := t.attempt(info.Facts); err != nil {
			t.tb.Fatalf("run the job: %v", err)
		}
	}
	return offstage.Retrying, fmt.Sprintf("it has run %d times", maxRuns)
}

// attempt claims the job as a new worker, runs its handler and records the end,
// unless it was cut off.
func (t *trial[A]) attempt(facts offstage.Facts) error {
	ctx := t.tb.Context()
	worker, err := t.cutter.Register(ctx, offstage.WorkerInfo{Name: "twice", Queues: []string{facts.Queue}, Kinds: []offstage.Kind{{Name: facts.Kind}}, Slots: 1})
	if err != nil {
		return err
	}
	claim, err := t.cutter.Claim(ctx, offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{facts.Queue}, Slots: 1}}})
	if err != nil {
		return err
	}
	if len(claim.Jobs) != 1 || claim.Jobs[0].ID != t.job {
		return fmt.Errorf("%d jobs were claimed where the one job was expected: the trial's store must have no others", len(claim.Jobs))
	}
	x := newExecution(t.cutter, worker, claim.Jobs[0], facts)
	err = run(ctx, t.cutter, x, t.world.Handle)
	if t.cutter.dies("before the job's end is recorded") {
		_, _, err := t.cutter.Rescue(ctx, offstage.Peer{ID: worker, Dead: true}, 1)
		t.cutter.revive()
		return err
	}
	if err := x.finish(ctx, err); err != nil {
		return err
	}
	return t.cutter.Unregister(ctx, worker)
}

var errCut = errors.New("offstagetest: the handler was cut off")

// run calls a handler on a goroutine of its own, which it or the cutter may end.
func run[A any](ctx context.Context, c *cutter, x *execution, handle func(context.Context, *offstage.Job[A]) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.begin(func() { cancel(offstage.ErrLeaseLost) })
	returned := make(chan error, 1)
	go func() {
		err := errCut
		defer func() { returned <- err }()
		var job *offstage.Job[A]
		if job, err = decode[A](x); err == nil {
			err = errCut
			err = handle(offstage.WithExecution(offstage.WithCarried(ctx, x.job.Carry), x), job)
		}
	}()
	return <-returned
}
