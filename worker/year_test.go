package worker_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// longYear, if it is set, makes the time of dying leaders a virtual year.
const longYear = "OFFSTAGE_YEAR"

// yearTicks are the schedules of that time: across changes of the clock, in step with
// the kills and out of it.
var yearTicks = map[string]string{
	"hourly":  "0 * * * *",
	"odd":     "every 95m",
	"nightly": "every day at 2:30 in America/New_York",
	"quarter": "30 */6 * * * Europe/Berlin",
	"weekly":  "every monday at 9:00",
	"monthly": "last day of the month at 23:59",
}

// year is three workers whose leader is killed each hour.
type year struct {
	fleet
	random *rand.Rand

	mu   sync.Mutex
	jobs map[offstage.Tick]map[offstage.ID]struct{} // guarded by mu: by schedule and time
	bad  []offstage.Tick                            // guarded by mu: seen late
}

func newYear(t *testing.T, random rand.Source, open func() (offstage.Store, func())) *year {
	y := &year{
		fleet:  fleet{T: t, open: open, config: worker.Config{Lease: 20 * time.Second}},
		random: rand.New(random), jobs: map[offstage.Tick]map[offstage.ID]struct{}{},
	}
	y.handle = y.note
	for name, expression := range yearTicks {
		y.config.Schedules = append(y.config.Schedules, every(t, name, expression))
	}
	return y
}

func (y *year) note(_ context.Context, job *offstage.Job[task]) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	at := offstage.Tick{Schedule: job.Tick.Schedule, At: job.Tick.At.UTC()}
	if y.jobs[at] == nil {
		y.jobs[at] = map[offstage.ID]struct{}{}
	}
	y.jobs[at][job.ID] = struct{}{}
	if job.Tick.Late || job.Tick.Manual {
		y.bad = append(y.bad, *job.Tick)
	}
	return nil
}

// run lets the hours go by, and counts every tick of every schedule in the end.
func (y *year) run(hours int) {
	store, _ := y.open()
	client := offstage.NewClient(store)
	begin, kills := time.Now(), 0
	for range 3 {
		y.start()
	}
	for hour := range hours {
		next := begin.Add(time.Duration(hour) * time.Hour)
		if hour%3 == 0 {
			tick(time.Until(next.Add(time.Hour))) // at the very tick
		} else {
			tick(time.Until(next.Add(time.Duration(y.random.Int64N(int64(time.Hour))))))
		}
		if y.killLeader(client) {
			kills++
			y.start()
		}
	}
	tick(5 * time.Minute)
	end := time.Now()
	for _, m := range y.living {
		m.endWell()
	}
	y.check(client, begin, end)
	if kills < hours*9/10 {
		y.Errorf("in %d hours %d leaders died", hours, kills)
	}
	y.Logf("%d hours, %d leaders died, %d ticks", hours, kills, len(y.jobs))
}

func (y *year) check(client *offstage.Client, begin, end time.Time) {
	y.mu.Lock()
	defer y.mu.Unlock()
	last := end.Add(-2 * time.Minute) // whoever leads may be new
	wanted, seen := 0, 0
	for tick := range y.jobs {
		if !tick.At.After(last) {
			seen++
		}
	}
	for name := range yearTicks {
		info, err := client.Schedule(y.Context(), name)
		if err != nil {
			y.Fatal(err)
		}
		zone, err := schedule.Zone(info.Zone)
		if err != nil {
			y.Fatal(err)
		}
		e := schedule.MustParse(info.Expression, schedule.In(zone), schedule.Anchor(info.CreatedAt), schedule.Name(name))
		for at := range e.Ticks(info.CreatedAt) {
			if at.After(last) {
				break
			}
			wanted++
			if jobs := len(y.jobs[offstage.Tick{Schedule: name, At: at.UTC()}]); jobs != 1 {
				y.Errorf("the tick %s of %s has %d jobs", at, name, jobs)
			}
		}
	}
	if seen != wanted || wanted == 0 {
		y.Errorf("%d ticks were seen, want %d", seen, wanted)
	}
	if len(y.bad) > 0 {
		y.Errorf("%d ticks were late, such as %+v", len(y.bad), y.bad[0])
	}
}

// hours returns how long the time is: short, or long if that is asked for.
func hours(short, long int) int {
	if os.Getenv(longYear) != "" {
		return long
	}
	return short
}

// Three workers whose leader is killed each hour, for virtual days: every tick
// enqueues one job, none is lost, none comes twice.
func TestDyingLeadersForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		newYear(t, rand.NewPCG(1, 2), inMemory()).run(hours(2*24, 365*24))
	})
}

// The same on one SQLite file, which every worker has opened for itself.
func TestDyingLeadersForLongOnSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "year.db")
	synctest.Test(t, func(t *testing.T) {
		newYear(t, rand.NewPCG(3, 4), onFile(t, path)).run(hours(6, 30*24))
	})
}
