package faultstore_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/worker"
)

// scene is what goes on above a store while one of its methods fails: work of
// engines, and calls of an application beside them.
type scene struct {
	methods []string // those that are sure to be called while the fault lasts
	play    func(*testing.T, faultstore.Fault)
}

// scenes drive every call of the contract.
var scenes = map[string]scene{
	"busy":      {busyMethods, playBusy},
	"rare":      {rareMethods, playRare},
	"steps":     {stepMethods, playSteps},
	"schedules": {scheduleMethods, playSchedules},
	"app":       {appMethods, playApp},
	"http":      {httpMethods, playHTTP},
}

// undriven are the calls that no scene makes, and why.
var undriven = map[string]string{
	"Close": "nothing is above a store that was closed",
}

// TestEveryCallOfTheContractIsDriven fails when the contract has gained a method
// that no scene drives.
func TestEveryCallOfTheContractIsDriven(t *testing.T) {
	contract := map[string]bool{}
	for prefix, part := range map[string]reflect.Type{
		"": reflect.TypeFor[offstage.Store](), "Tx.": reflect.TypeFor[offstage.TxStore](),
	} {
		for i := range part.NumMethod() {
			contract[prefix+part.Method(i).Name] = true
		}
	}
	for waker, i := reflect.TypeFor[offstage.Waker](), 0; i < waker.NumMethod(); i++ {
		contract[waker.Method(i).Name] = true
	}
	driven := map[string]bool{}
	for name, scene := range scenes {
		for _, method := range scene.methods {
			driven[method] = true
			if !contract[method] {
				t.Errorf("the scene %q drives %s, which is not in the contract", name, method)
			}
		}
	}
	for method := range contract {
		if !driven[method] && undriven[method] == "" {
			t.Errorf("no scene drives %s: add it to the methods of one that calls it", method)
		}
	}
}

// TestEachCallFails breaks each method in each way, for half a minute, and
// expects all that was promised.
func TestEachCallFails(t *testing.T) {
	for name, scene := range scenes {
		for _, method := range append([]string{""}, scene.methods...) {
			for _, fault := range faults(method) {
				t.Run(fmt.Sprintf("%s/%s/%s/%s", name, method, fault.Mode, fault.Class), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { scene.play(t, fault) })
				})
			}
		}
	}
}

// blames are the methods for which FaultData speaks of the data of one result,
// with a meaning of its own for the caller.
var blames = []string{"", "Finish", "Tx.Complete"}

// faults are the ways in which a method can fail: before, with each class of
// error; after, when nobody knows; and slowly.
func faults(method string) []faultstore.Fault {
	fault := faultstore.Fault{Method: method, Delay: 2 * time.Second}
	var all []faultstore.Fault
	add := func(mode faultstore.Mode, class offstage.FaultClass) {
		fault.Mode, fault.Class = mode, class
		all = append(all, fault)
	}
	for _, class := range []offstage.FaultClass{offstage.FaultUnknown, offstage.FaultDown, offstage.FaultBusy, offstage.FaultData} {
		if class != offstage.FaultData || !slices.Contains(blames, method) {
			add(faultstore.Before, class)
		}
	}
	add(faultstore.After, offstage.FaultUnknown)
	add(faultstore.Slow, offstage.FaultUnknown)
	return all
}

// lasts is how long a fault does.
const lasts = 30 * time.Second

// discard is the logger of everything here.
var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// run runs a worker with these handlers on each store; the first has time to take
// the lead. The returned function stops them.
func run(t *testing.T, config worker.Config, register func(*worker.Worker), stores ...offstage.Store) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	config.Logger = discard
	if config.Pools == nil {
		config.Pools = []worker.Pool{{Queues: []string{offstage.DefaultQueue}, Slots: 6}}
	}
	var running sync.WaitGroup
	for _, store := range stores {
		w, err := worker.New(store, config)
		if err != nil {
			t.Fatal(err)
		}
		register(w)
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		pass(200 * time.Millisecond)
	}
	return func() {
		stop()
		running.Wait()
	}
}

// insist makes a call again and again until it succeeds, as a caller does for
// whom a repeat is safe.
func insist(t *testing.T, what string, call func() error) {
	t.Helper()
	for began := time.Now(); ; pass(500 * time.Millisecond) {
		err := call()
		if err == nil {
			return
		}
		if time.Since(began) > 10*time.Minute {
			t.Errorf("%s: still %v", what, err)
			runtime.Goexit() // as FailNow, which is for the test's own goroutine
		}
	}
}

// awaitAll waits for the end of jobs.
func awaitAll(t *testing.T, client *offstage.Client, ids []offstage.ID) {
	t.Helper()
	for _, id := range ids {
		wait, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		if _, err := client.Receipt(id).Wait(wait); err != nil {
			details, _ := client.Get(t.Context(), id)
			t.Errorf("job %d: %v: %+v", id, err, details)
		}
		cancel()
	}
}

// every lets a job that has failed run again after a time.
func every(d time.Duration) worker.Option {
	return worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return d }})
}

// pass lets time go by, in the bubble.
func pass(d time.Duration) { <-time.After(d) }
