package model

import (
	"errors"
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/storetest"
)

// explore performs random operations of machines of a kind.
func explore(t *testing.T, h storetest.Harness, begin func(*rapid.T, *scope) rapid.StateMachine) {
	setFlag(t, "rapid.nofailfile", "true")
	if h.Advance == nil {
		setFlag(t, "rapid.shrinktime", "5m") // of the bubble: seconds, and a minute with the race detector
	}
	check := func(t *testing.T) {
		// A testing.T in a bubble may not be asked for its deadline.
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) {
			scope := &scope{TB: t}
			defer scope.close()
			rt.Repeat(rapid.StateMachineActions(begin(rt, scope)))
		})
	}
	if h.Advance != nil {
		check(t)
		return
	}
	synctest.Test(t, check)
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
}

// scope is a testing.TB whose cleanups run at the end of one sequence.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup keeps f for the end of the sequence.
func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) close() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// driver is what every machine has: a store, two workers of it, and time.
type driver struct {
	scope   *scope
	h       storetest.Harness
	store   offstage.Store
	workers []offstage.WorkerID
	term    int64
	seq     int64
}

func newDriver(rt *rapid.T, scope *scope, h storetest.Harness) driver {
	d := driver{scope: scope, h: h, store: h.Open(scope)}
	for range 2 {
		d.workers = append(d.workers, d.register(rt))
	}
	term, err := d.store.Lead(scope.Context(), d.workers[0], 10_000*time.Hour)
	if err != nil || term == 0 {
		rt.Fatalf("lead: term %d, %v", term, err)
	}
	d.term = term
	return d
}

func (d *driver) register(rt *rapid.T) offstage.WorkerID {
	id, err := d.store.Register(d.scope.Context(), offstage.WorkerInfo{
		Name: "model", Queues: []string{"a", "b"}, Kinds: []offstage.Kind{{Name: "k"}}, Slots: 4,
	})
	if err != nil {
		rt.Fatalf("register: %v", err)
	}
	return id
}

// pass lets time go by for the store.
func (d *driver) pass(by time.Duration) {
	if d.h.Advance != nil {
		d.h.Advance(d.scope, d.store, by)
	} else {
		time.Sleep(by)
	}
}

func (d *driver) chore(rt *rapid.T, chore offstage.Chore) {
	for more := true; more; {
		report, err := d.store.Chore(d.scope.Context(), d.term, chore, 100)
		if err != nil {
			rt.Fatalf("%s: %v", chore, err)
		}
		more = report.More
	}
}

// die lets a worker die and be rescued; another takes its place.
func (d *driver) die(rt *rapid.T) (dead offstage.WorkerID) {
	i := rapid.IntRange(0, len(d.workers)-1).Draw(rt, "worker")
	dead = d.workers[i]
	for more := true; more; {
		var err error
		if _, more, err = d.store.Rescue(d.scope.Context(), offstage.Peer{ID: dead, Dead: true}, 2); err != nil {
			rt.Fatalf("rescue: %v", err)
		}
	}
	if _, err := d.store.Beat(d.scope.Context(), dead); !errors.Is(err, offstage.ErrGone) {
		rt.Fatalf("a worker that was rescued beats: %v; want ErrGone", err)
	}
	d.workers[i] = d.register(rt)
	return dead
}
