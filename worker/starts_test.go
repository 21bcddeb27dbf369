package worker_test

import (
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
	open      func() (store offstage.Store, kill func())
	schedules []offstage.Schedule
	seen      *seenTicks
	made      int
}

// member is one of them; kill ends it without a word, endWell in order.
type member struct {
	*rig
	kill func()
}

func (f *fleet) start() *member {
	f.Helper()
	f.made++
	store, kill := f.open()
	r := newRig(f.T, store, worker.Config{Name: fmt.Sprint("worker", f.made), Schedules: f.schedules, Grace: -1})
	worker.Handle(r.worker, f.seen.handle)
	r.run()
	return &member{r, func() {
		kill()
		r.worker.Stop(true)
		<-r.ended
		r.stop()
	}}
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
func (f *fleet) count(want int, when string) {
	f.Helper()
	tick(30 * time.Second)
	if got := len(f.seen.all()); got != want {
		f.Errorf("%s: %d jobs, want %d", when, got, want)
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
	f := &fleet{T: t, open: open, schedules: []offstage.Schedule{every(t, "boot", "@reboot")}, seen: &seenTicks{}}
	first := f.start()
	f.count(1, "at the first start")
	second, third := f.start(), f.start()
	f.count(1, "with more workers")
	first.kill()
	f.count(1, "after the leader died")
	fourth := f.start()
	f.count(1, "after another joined")
	second.endWell()
	f.count(1, "after the next leader left")
	third.endWell()
	f.count(1, "when the last of them was replaced")
	fourth.kill()
	tick(time.Hour)
	f.count(1, "while nobody was there")
	fifth := f.start()
	f.count(2, "after all had died")
	fifth.endWell()
	last := f.start()
	f.count(3, "after an orderly restart")
	for _, tick := range f.seen.all() {
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
		f := &fleet{T: t, open: inMemory(), seen: &seenTicks{}}
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
		f.count(0, "when it was made")
		restart()
		f.count(1, "at the next start")
		s.Description = "changed"
		must(w.client.SaveSchedule(t.Context(), s))
		f.count(1, "when it was edited")
		_, err := w.client.RunSchedule(t.Context(), "boot")
		must(err)
		f.count(2, "when it was run by hand")
		must(w.client.PauseSchedule(t.Context(), "boot"))
		restart()
		f.count(2, "while it is paused")
		must(w.client.ResumeSchedule(t.Context(), "boot"))
		f.count(2, "when it was resumed")
		restart()
		f.count(3, "at the start after that")
		s.MaxRuns = 2
		must(w.client.SaveSchedule(t.Context(), s))
		restart()
		f.count(3, "after its last run")
		w.endWell()
	})
}
