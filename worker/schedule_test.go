package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// every is a schedule of tasks.
func every(t *testing.T, name, expression string) offstage.Schedule {
	t.Helper()
	s, err := offstage.NewSchedule(name, schedule.MustParse(expression), task{N: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seenTicks notes which ticks' jobs were run.
type seenTicks struct {
	mu    sync.Mutex
	ticks []offstage.Tick                        // guarded by mu
	jobs  map[time.Time]map[offstage.ID]struct{} // guarded by mu
}

func (s *seenTicks) handle(_ context.Context, job *offstage.Job[task]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if job.Tick == nil {
		return errors.New("the job has no tick")
	}
	s.ticks = append(s.ticks, *job.Tick)
	if s.jobs == nil {
		s.jobs = map[time.Time]map[offstage.ID]struct{}{}
	}
	at := job.Tick.At.UTC()
	if s.jobs[at] == nil {
		s.jobs[at] = map[offstage.ID]struct{}{}
	}
	s.jobs[at][job.ID] = struct{}{}
	return nil
}

func (s *seenTicks) all() []offstage.Tick {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]offstage.Tick(nil), s.ticks...)
}

func TestADeclaredScheduleFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &seenTicks{}
		begin := time.Now()
		r := newRig(t, offstagetest.NewStore(), worker.Config{Schedules: []offstage.Schedule{every(t, "hourly", "0 * * * *")}})
		worker.Handle(r.worker, seen.handle)
		r.run()
		tick(6*time.Hour + 30*time.Minute)
		ticks := seen.all()
		if len(ticks) != 6 {
			t.Fatalf("%d ticks in six hours: %v", len(ticks), ticks)
		}
		for i, got := range ticks {
			want := offstage.Tick{Schedule: "hourly", At: begin.Truncate(time.Hour).Add(time.Duration(i+1) * time.Hour)}
			if i > 0 {
				want.Previous = ticks[i-1].At
			}
			if !got.At.Equal(want.At) || !got.Previous.Equal(want.Previous) || got.Schedule != want.Schedule || got.Late || got.Manual {
				t.Errorf("tick %d is %+v, want %+v", i, got, want)
			}
		}
		history, err := r.client.ScheduleHistory(t.Context(), "hourly", time.Time{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, tick := range history {
			if late := tick.SeenAt.Sub(tick.At); late < 0 || late > time.Second || tick.State != offstage.Completed || tick.Outcome != offstage.TickEnqueued {
				t.Errorf("in the history: %+v, %v late", tick, late)
			}
		}
		if len(history) != 6 {
			t.Errorf("the history has %d ticks", len(history))
		}
		r.endWell()
	})
}

// TestDyingLeaders runs three workers for virtual hours. Every five minutes the
// leader loses its database and dies, and another worker begins.
func TestDyingLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, begin, kills := &seenTicks{}, time.Now(), 0
		f := &fleet{T: t, open: inMemory(), config: worker.Config{Schedules: []offstage.Schedule{every(t, "minutely", "* * * * *")}}, handle: seen.handle}
		store, _ := f.open()
		client := offstage.NewClient(store)
		for range 3 {
			f.start()
		}
		for turn := range 24 {
			tick(5*time.Minute - time.Duration(turn)*time.Second)
			if f.killLeader(client) {
				kills++
			}
			f.start()
		}
		tick(time.Minute)
		end := time.Now()
		for _, m := range f.living {
			m.kill()
		}
		tick(10 * time.Second)
		seen.mu.Lock()
		defer seen.mu.Unlock()
		n := 0
		for at := begin.Truncate(time.Minute).Add(time.Minute); at.Before(end.Add(-30 * time.Second)); at = at.Add(time.Minute) {
			n++
			if jobs := len(seen.jobs[at.UTC()]); jobs != 1 {
				t.Errorf("the tick %s has %d jobs", at, jobs)
			}
		}
		if n < 110 || kills < 23 {
			t.Errorf("%d ticks, %d leaders died", n, kills)
		}
	})
}

// away is a schedule whose worker is away for three hours.
func away(t *testing.T, s offstage.Schedule, check func(r *rig, ticks []offstage.Tick)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		seen := &seenTicks{}
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.Handle(r.worker, seen.handle)
		if err := r.client.SaveSchedule(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		tick(3*time.Hour + 30*time.Minute)
		r.run()
		tick(10 * time.Second)
		check(r, seen.all())
		r.endWell()
	})
}

func TestMissedTicks(t *testing.T) {
	for missed, want := range map[offstage.Missed]int{"": 1, offstage.MissedOnce: 1, offstage.MissedSkip: 0, offstage.MissedAll: 3} {
		s := every(t, "hourly", "0 * * * *")
		s.Missed = missed
		away(t, s, func(r *rig, ticks []offstage.Tick) {
			if len(ticks) != want {
				r.Errorf("missed %q: %d jobs, want %d", missed, len(ticks), want)
			}
			for _, tick := range ticks {
				if !tick.Late {
					r.Errorf("missed %q: the tick %s is not late", missed, tick.At)
				}
			}
		})
	}
}

// long is a schedule each minute whose jobs take two and a half.
func long(t *testing.T, overlap offstage.Overlap) (started, cancelled []time.Duration, history []offstage.TickInfo) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := every(t, "minutely", "* * * * *")
		s.Overlap = overlap
		r := newRig(t, offstagetest.NewStore(), worker.Config{Schedules: []offstage.Schedule{s}, Grace: -1})
		begin := time.Now()
		var mu sync.Mutex
		worker.Handle(r.worker, func(ctx context.Context, _ *offstage.Job[task]) error {
			mu.Lock()
			started = append(started, time.Since(begin).Round(time.Second))
			mu.Unlock()
			select {
			case <-time.After(150 * time.Second):
				return nil
			case <-ctx.Done():
				mu.Lock()
				defer mu.Unlock()
				cancelled = append(cancelled, time.Since(begin).Round(time.Second))
				return ctx.Err()
			}
		})
		r.run()
		tick(5*time.Minute + 10*time.Second)
		var err error
		if history, err = r.client.ScheduleHistory(t.Context(), "minutely", time.Time{}, 10); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		started, cancelled = append([]time.Duration(nil), started...), append([]time.Duration(nil), cancelled...)
		mu.Unlock()
		r.endWell()
	})
	return started, cancelled, history
}

func TestOverlap(t *testing.T) {
	minute := time.Minute
	for _, c := range []struct {
		overlap offstage.Overlap
		started []time.Duration
	}{
		{offstage.OverlapAllow, []time.Duration{minute, 2 * minute, 3 * minute, 4 * minute, 5 * minute}},
		{offstage.OverlapSkip, []time.Duration{minute, 4 * minute}},
		{offstage.OverlapQueue, []time.Duration{minute, 3*minute + 30*time.Second}},
	} {
		started, _, history := long(t, c.overlap)
		if len(started) < len(c.started) {
			t.Errorf("%s: started at %v, want %v", c.overlap, started, c.started)
			continue
		}
		for i, want := range c.started {
			if got := started[i]; got < want || got > want+time.Second {
				t.Errorf("%s: started at %v, want %v", c.overlap, started, c.started)
			}
		}
		if len(started) != len(c.started) || len(history) != 5 {
			t.Errorf("%s: started at %v, history %+v", c.overlap, started, history)
		}
	}
	started, cancelled, _ := long(t, offstage.OverlapCancel)
	if len(started) != 5 || len(cancelled) < 4 {
		t.Fatalf("cancel: started at %v, cancelled at %v", started, cancelled)
	}
	for i := range 4 {
		if cancelled[i] > started[i+1] || started[i+1]-started[i] < 50*time.Second {
			t.Errorf("cancel: started at %v, cancelled at %v", started, cancelled)
		}
	}
}

func TestPauseResumeRunAndChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &seenTicks{}
		r := newRig(t, offstagetest.NewStore(), worker.Config{Schedules: []offstage.Schedule{every(t, "hourly", "0 * * * *")}})
		worker.Handle(r.worker, seen.handle)
		r.run()
		count := func(want int, when string) {
			t.Helper()
			if got := len(seen.all()); got != want {
				t.Errorf("%s: %d jobs, want %d", when, got, want)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		tick(90 * time.Minute)
		count(1, "at first")
		must(r.client.PauseSchedule(t.Context(), "hourly"))
		tick(2 * time.Hour)
		count(1, "paused")
		receipt, err := r.client.RunSchedule(t.Context(), "hourly")
		must(err)
		r.await(receipt.ID, offstage.Completed)
		if last := seen.all()[1]; !last.Manual {
			t.Errorf("run by hand: %+v", last)
		}
		must(r.client.ResumeSchedule(t.Context(), "hourly"))
		tick(10 * time.Second)
		count(2, "resumed")
		tick(time.Hour)
		count(3, "an hour later")

		var wrong *offstage.InvalidError
		if err := r.client.SaveSchedule(t.Context(), every(t, "hourly", "30 * * * *")); !errors.As(err, &wrong) {
			t.Errorf("a person may change a declared schedule: %v", err)
		}
		if err := r.client.RemoveSchedule(t.Context(), "hourly"); !errors.As(err, &wrong) {
			t.Errorf("a person may remove a declared schedule: %v", err)
		}
		must(r.client.DeclareSchedules(t.Context(), "default", every(t, "hourly", "30 * * * *")))
		before := len(seen.all())
		tick(3 * time.Hour)
		count(before+3, "after a change")
		must(r.client.DeclareSchedules(t.Context(), "default"))
		tick(3 * time.Hour)
		count(before+3, "after it left the code")
		s, err := r.client.Schedule(t.Context(), "hourly")
		must(err)
		if s.LeftAt.IsZero() {
			t.Errorf("the schedule that left is %+v", s)
		}
		must(r.client.RemoveSchedule(t.Context(), "hourly"))
		if _, err := r.client.Schedule(t.Context(), "hourly"); !errors.Is(err, offstage.ErrNoSchedule) {
			t.Errorf("removed: %v", err)
		}
		r.endWell()
	})
}

// edit is an expression that a schedule gets, and how long nothing happens then.
type edit struct {
	expression string
	wait       time.Duration
}

// unwatched edits a schedule while no worker is there, then lets one run for a moment.
// It returns the ticks whose jobs were run, since the beginning.
func unwatched(t *testing.T, edits []edit) (ticks []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, seen, begin := offstagetest.NewStore(), &seenTicks{}, time.Now()
		for _, e := range edits {
			s := every(t, "s", e.expression)
			s.Missed = offstage.MissedAll
			if err := offstage.NewClient(store).SaveSchedule(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			tick(e.wait)
		}
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, seen.handle)
		r.run()
		tick(10 * time.Second)
		r.endWell()
		for at, jobs := range seen.jobs {
			if ticks = append(ticks, at.Sub(begin)); len(jobs) != 1 {
				t.Errorf("the tick %s has %d jobs", at, len(jobs))
			}
		}
	})
	slices.Sort(ticks)
	return ticks
}

// Nobody is there while a schedule misses ticks, is edited twice and misses more: all
// of them are made up for, each by the expression that it was due by.
func TestWhatWasMissedBeforeEditsIsOwed(t *testing.T) {
	const h, m = time.Hour, time.Minute
	got := unwatched(t, []edit{{"0 * * * *", 150 * m}, {"15 * * * *", 2 * h}, {"45 * * * *", h}})
	if want := []time.Duration{h, 2 * h, 3*h + 15*m, 4*h + 15*m, 4*h + 45*m}; !slices.Equal(got, want) {
		t.Errorf("made up for %s, want %s", got, want)
	}
}

// Of more edits than MaxOwed, with ticks due before each and no worker there, the
// earliest are given up.
func TestMoreEditsThanAreOwed(t *testing.T) {
	var edits []edit
	var want []time.Duration
	for n := range offstage.MaxOwed + 3 {
		edits = append(edits, edit{fmt.Sprintf("%d * * * *", 10+n), time.Hour})
		if n >= 2 { // of 22 edits
			want = append(want, time.Duration(n)*time.Hour+time.Duration(10+n)*time.Minute)
		}
	}
	if got := unwatched(t, edits); !slices.Equal(got, want) {
		t.Errorf("made up for %s, want %s", got, want)
	}
}

// Deploys declare the same again and again: nothing of that is seen.
func TestDeclaringAgainChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, seen := offstagetest.NewStore(), &seenTicks{}
		begin := time.Now()
		for range 30 {
			r := newRig(t, store, worker.Config{Schedules: []offstage.Schedule{every(t, "odd", "every 41m")}})
			worker.Handle(r.worker, seen.handle)
			r.run()
			tick(17 * time.Minute)
			r.endWell()
		}
		ticks := seen.all()
		want := int(time.Since(begin) / (41 * time.Minute))
		if len(ticks) != want {
			t.Fatalf("%d ticks, want %d", len(ticks), want)
		}
		for i, tick := range ticks {
			if i > 0 && tick.At.Sub(ticks[i-1].At) != 41*time.Minute {
				t.Errorf("tick %d is %s after the one before", i, tick.At.Sub(ticks[i-1].At))
			}
		}
	})
}

// A thousand schedules that are due in one second are enqueued within it.
func TestAThousandSchedulesInOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		var schedules []offstage.Schedule
		for i := range 1000 {
			schedules = append(schedules, every(t, fmt.Sprint("s", i), "0 * * * *"))
		}
		r := newRig(t, store, worker.Config{Schedules: schedules})
		seen := &seenTicks{}
		worker.Handle(r.worker, seen.handle)
		r.run()
		tick(time.Hour)
		next := time.Now().Truncate(time.Hour).Add(time.Hour)
		tick(time.Until(next) + time.Second)
		for _, name := range []string{"s0", "s500", "s999"} {
			history, err := r.client.ScheduleHistory(t.Context(), name, time.Time{}, 1)
			if err != nil || len(history) != 1 || !history[0].At.Equal(next) || history[0].SeenAt.Sub(next) > time.Second {
				t.Errorf("%s: %+v, %v", name, history, err)
			}
		}
		r.endWell()
	})
}

// An answer that is lost, or a call that never came, costs no tick and doubles
// none.
func TestSchedulesOutliveFaults(t *testing.T) {
	for _, mode := range []faultstore.Mode{faultstore.Before, faultstore.After} {
		for _, method := range []string{"FindSchedules", "ChangeSchedules"} {
			synctest.Test(t, func(t *testing.T) {
				seen := &seenTicks{}
				faulty := faultstore.Wrap(offstagetest.NewStore())
				r := newRig(t, faulty, worker.Config{Schedules: []offstage.Schedule{every(t, "minutely", "* * * * *")}})
				worker.Handle(r.worker, seen.handle)
				r.run()
				tick(10 * time.Second)
				begin := time.Now()
				for range 20 {
					faulty.Break(faultstore.Fault{Method: method, Mode: mode, Class: offstage.FaultUnknown, Count: 5})
					tick(3 * time.Minute)
					if faulty.Heal() == 0 {
						t.Fatal("the fault never struck")
					}
				}
				r.endWell()
				for at := begin.Truncate(time.Minute).Add(time.Minute); at.Before(time.Now().Add(-time.Minute)); at = at.Add(time.Minute) {
					if jobs := len(seen.jobs[at.UTC()]); jobs != 1 {
						t.Errorf("%s %s: the tick %s has %d jobs", method, mode, at, jobs)
					}
				}
			})
		}
	}
}

// A schedule that somebody makes while the leader sleeps does not wait for the
// leader's next look.
func TestANewScheduleIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &seenTicks{}
		r := newRig(t, offstagetest.NewStore(), worker.Config{})
		worker.Handle(r.worker, seen.handle)
		r.run()
		for minute := range 20 {
			tick(time.Minute + time.Duration(minute)*300*time.Millisecond)
			name := fmt.Sprint("s", minute)
			s := every(t, name, "* * * * * *")
			s.MaxRuns = 1
			if err := r.client.SaveSchedule(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			tick(2500 * time.Millisecond)
			history, err := r.client.ScheduleHistory(t.Context(), name, time.Time{}, 5)
			if err != nil || len(history) != 1 {
				t.Errorf("%s: %+v, %v", name, history, err)
			}
		}
		r.endWell()
	})
}
