package faultstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// scheduleMethods are called by whoever leads, and by a person who changes
// schedules.
var scheduleMethods = []string{"FindSchedules", "ChangeSchedules", "Ticks"}

// chime is the kind of the jobs of schedules.
const chime = "chime"

// playSchedules has schedules of one second, one of which a person pauses, runs
// by hand and resumes.
func playSchedules(t *testing.T, fault faultstore.Fault) {
	store := offstagetest.NewStore()
	faulty := faultstore.Wrap(store)
	made := func(name string) offstage.Schedule {
		return offstage.MustSchedule(name, schedule.MustParse("* * * * * *"), offstage.Named(chime, name))
	}
	end := run(t, worker.Config{Schedules: []offstage.Schedule{made("every-second"), made("by-hand")}}, func(w *worker.Worker) {
		worker.HandleNamed(w, chime, func(context.Context, *offstage.Job[string]) error { return nil }, every(time.Second))
	}, faulty, faulty)
	pass(5 * time.Second)
	person := offstage.NewClient(faulty)
	faulty.Break(fault)
	pausing := make(chan struct{})
	go func() {
		defer close(pausing)
		for _, act := range []func() error{
			func() error { return person.PauseSchedule(t.Context(), "by-hand") },
			func() error { return person.ResumeSchedule(t.Context(), "by-hand") },
			func() error { _, err := person.RunSchedule(t.Context(), "by-hand"); return err },
			func() error { _, err := person.Schedules(t.Context(), "", 10); return err },
			func() error { _, err := person.ScheduleHistory(t.Context(), "by-hand", time.Time{}, 10); return err },
		} {
			insist(t, "change a schedule", act)
		}
	}()
	pass(lasts)
	if struck := faulty.Heal(); struck == 0 {
		t.Error("the fault never struck")
	}
	<-pausing
	pass(5 * time.Second)
	end()
	checkTicks(t, store)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// checkTicks expects the schedule that nobody touched to have had each tick of
// its life, and each tick of all to have one job.
func checkTicks(t *testing.T, store offstage.Store) {
	client := offstage.NewClient(store)
	jobs := map[string]int{}
	all := 0
	eachJob(t, client, func(job offstage.JobInfo) {
		jobs[job.Tick.Schedule+job.Tick.At.UTC().String()]++
		all++
	})
	ticks := 0
	for _, name := range []string{"every-second", "by-hand"} {
		history, err := client.ScheduleHistory(t.Context(), name, time.Time{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, tick := range history {
			if name == "every-second" && i > 0 && history[i-1].At.Sub(tick.At) != time.Second {
				t.Errorf("after the tick %s comes %s", tick.At, history[i-1].At)
			}
			if n := jobs[name+tick.At.UTC().String()]; n != 1 {
				t.Errorf("%s: the tick %s has %d jobs", name, tick.At, n)
			}
		}
		ticks += len(history)
	}
	if ticks != all || ticks < 40 {
		t.Errorf("there are %d ticks and %d jobs", ticks, all)
	}
}
