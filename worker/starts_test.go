package worker_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// fleet is workers of one program, which come and go.
type fleet struct {
	*testing.T
	open   func() (store offstage.Store, kill func())
	config worker.Config
	handle func(context.Context, *offstage.Job[task]) error
	made   int
	living map[string]*member // by the worker's name
}

// member is one of them; kill ends it without a word, endWell in order.
type member struct {
	*rig
	kill func()
}

func (f *fleet) start() *member {
	f.Helper()
	f.made++
	config := f.config
	config.Name, config.Grace = fmt.Sprint("worker", f.made), -1
	store, kill := f.open()
	r := newRig(f.T, store, config)
	worker.Handle(r.worker, f.handle)
	r.run()
	m := &member{r, func() {
		kill()
		r.worker.Stop(true)
		<-r.ended
		r.stop()
		delete(f.living, config.Name)
	}}
	if f.living == nil {
		f.living = map[string]*member{}
	}
	f.living[config.Name] = m
	return m
}

// killLeader kills the worker that leads, and reports whether there was one.
func (f *fleet) killLeader(client *offstage.Client) bool {
	f.Helper()
	stats, err := client.Stats(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for _, w := range stats.Workers {
		if m := f.living[w.Name]; w.Leads && m != nil {
			m.kill()
			return true
		}
	}
	return false
}

// inMemory opens one store in memory for all.
func inMemory() func() (offstage.Store, func()) {
	store := offstagetest.NewStore()
	return func() (offstage.Store, func()) {
		faulty := faultstore.Wrap(store)
		return faulty, func() { faulty.Break(faultstore.Fault{Mode: faultstore.Before, Class: offstage.FaultUnknown}) }
	}
}

// onFile opens an SQLite file anew for each. Its handle is closed when the bubble ends.
func onFile(t *testing.T, path string) func() (offstage.Store, func()) {
	return func() (offstage.Store, func()) {
		store := openSQLite(t, path)
		t.Cleanup(func() { _ = store.Close() }) // it may be closed: see kill
		return store, func() {
			if err := store.Close(); err != nil { // as much of a death as fits into one process
				t.Error(err)
			}
		}
	}
}

// count expects so many jobs, after some time for it.
func (s *seenTicks) count(t *testing.T, want int, when string) {
	t.Helper()
	tick(30 * time.Second)
	if got := len(s.all()); got != want {
		t.Errorf("%s: %d jobs, want %d", when, got, want)
	}
}

// A schedule for @reboot enqueues when a worker starts and no other lives: not when
// one joins, dies or takes over the leadership, nor when all are replaced one by one.
func TestReboot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reboot.db")
	synctest.Test(t, func(t *testing.T) { reboot(t, inMemory()) })
	synctest.Test(t, func(t *testing.T) { reboot(t, onFile(t, path)) })
}

func reboot(t *testing.T, open func() (offstage.Store, func())) {
	seen := &seenTicks{}
	f := &fleet{T: t, open: open, config: worker.Config{Schedules: []offstage.Schedule{every(t, "boot", "@reboot")}}, handle: seen.handle}
	first := f.start()
	seen.count(t, 1, "at the first start")
	second, third := f.start(), f.start()
	seen.count(t, 1, "with more workers")
	first.kill()
	seen.count(t, 1, "after the leader died")
	fourth := f.start()
	seen.count(t, 1, "after another joined")
	second.endWell()
	seen.count(t, 1, "after the next leader left")
	third.endWell()
	seen.count(t, 1, "when the last of them was replaced")
	fourth.kill()
	tick(time.Hour)
	seen.count(t, 1, "while nobody was there")
	fifth := f.start()
	seen.count(t, 2, "after all had died")
	fifth.endWell()
	last := f.start()
	seen.count(t, 3, "after an orderly restart")
	for _, tick := range seen.all() {
		if tick.Late || tick.Manual || tick.Schedule != "boot" {
			t.Errorf("the tick %+v", tick)
		}
	}
	last.endWell()
}

// What is made, edited or resumed by hand while workers run waits for the next
// start; a pause lasts.
func TestRebootByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &seenTicks{}
		f := &fleet{T: t, open: inMemory(), handle: seen.handle}
		w := f.start()
		tick(time.Minute)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		restart := func() {
			w.endWell()
			w = f.start()
		}
		s := every(t, "boot", "@reboot")
		must(w.client.SaveSchedule(t.Context(), s))
		seen.count(t, 0, "when it was made")
		restart()
		seen.count(t, 1, "at the next start")
		s.Description = "changed"
		must(w.client.SaveSchedule(t.Context(), s))
		seen.count(t, 1, "when it was edited")
		_, err := w.client.RunSchedule(t.Context(), "boot")
		must(err)
		seen.count(t, 2, "when it was run by hand")
		must(w.client.PauseSchedule(t.Context(), "boot"))
		restart()
		seen.count(t, 2, "while it is paused")
		must(w.client.ResumeSchedule(t.Context(), "boot"))
		seen.count(t, 2, "when it was resumed")
		restart()
		seen.count(t, 3, "at the start after that")
		s.MaxRuns = 2
		must(w.client.SaveSchedule(t.Context(), s))
		restart()
		seen.count(t, 3, "after its last run")
		w.endWell()
	})
}
