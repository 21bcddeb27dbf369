//go:build unix

package ticks_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// seconds is how many ticks each schedule is to have: -ticks 120 is two minutes.
var seconds = flag.Int("ticks", 12, "how many ticks of one second each schedule is to have")

const storeEnv = "OFFSTAGE_TICKS_STORE" // in a child's environment

func TestMain(m *testing.M) {
	if address := os.Getenv(storeEnv); address != "" {
		fmt.Fprintln(os.Stderr, child(address))
		os.Exit(1)
	}
	pgtest.Main(m)
}

// child is a worker until it is killed. All declare the same schedules.
func child(address string) error {
	ctx := context.Background()
	store, err := openStore(ctx, address)
	if err != nil {
		return err
	}
	w, err := worker.New(store, worker.Config{Name: fmt.Sprint(os.Getpid()), Lease: time.Second, Schedules: schedules()})
	if err != nil {
		return err
	}
	worker.HandleNamed(w, "tick", func(context.Context, *offstage.Job[struct{}]) error { return nil })
	return w.Run(ctx)
}

func openStore(ctx context.Context, address string) (offstage.Store, error) {
	if strings.HasPrefix(address, "postgres") {
		return postgres.Open(ctx, address)
	}
	return sqlite.Open(ctx, address)
}

// schedules are due each second, in different ways.
func schedules() (all []offstage.Schedule) {
	for name, expression := range map[string]string{"cron": "* * * * * *", "every": "every 1s", "zone": "CRON_TZ=Asia/Tokyo * * * * * *"} {
		s := offstage.MustSchedule(name, schedule.MustParse(expression), offstage.Named("tick", struct{}{}))
		s.Missed = offstage.MissedSkip // and yet none is lost
		all = append(all, s)
	}
	return all
}

func TestOnSQLite(t *testing.T) { killLeaders(t, filepath.Join(t.TempDir(), "ticks.db")) }

func TestOnPostgreSQL(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, db *pgtest.Database) { killLeaders(t, db.URL) })
}

// crew are the living processes, by the names of their workers.
type crew struct {
	*testing.T
	address string
	living  map[string]*exec.Cmd
}

func (c *crew) start() {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), storeEnv+"="+c.address)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		c.Fatal(err)
	}
	c.living[fmt.Sprint(command.Process.Pid)] = command
}

func (c *crew) kill(name string) {
	command := c.living[name]
	delete(c.living, name)
	if err := command.Process.Kill(); err != nil {
		c.Error(err)
	}
	_ = command.Wait() // it says that it was killed
}

// killLeaders kills the leader after every third tick, until there are enough.
func killLeaders(t *testing.T, address string) {
	store, err := openStore(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	client := offstage.NewClient(store)
	c := &crew{t, address, map[string]*exec.Cmd{}}
	t.Cleanup(func() {
		for name := range c.living {
			c.kill(name)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		c.start()
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	kills, killedAt := 0, 0
	for n := 0; n < *seconds; n = c.count(client) {
		<-again.C
		if n < killedAt+3 {
			continue
		}
		if leader := c.leader(client); leader != "" {
			c.kill(leader)
			c.start()
			kills, killedAt = kills+1, n
		}
	}
	for name := range c.living {
		c.kill(name)
	}
	if kills < *seconds/6 {
		t.Errorf("only %d leaders were killed", kills)
	}
	n := c.check(client)
	t.Logf("%d leaders killed, %d ticks, each enqueued once", kills, n)
}

// leader returns the name of the living worker that leads.
func (c *crew) leader(client *offstage.Client) string {
	stats, err := client.Stats(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, w := range stats.Workers {
		if w.Leads && c.living[w.Name] != nil {
			return w.Name
		}
	}
	return ""
}

// count returns how many ticks the schedule with the fewest has.
func (c *crew) count(client *offstage.Client) int {
	least := *seconds
	for _, s := range schedules() {
		info, err := client.Schedule(c.Context(), s.Name)
		if err != nil {
			return 0 // it is not declared yet
		}
		least = min(least, int(info.Runs))
	}
	return least
}

// check expects one tick in each second of a schedule's life, and one job of each.
func (c *crew) check(client *offstage.Client) (n int) {
	jobs := c.jobs(client)
	for _, s := range schedules() {
		history, err := client.ScheduleHistory(c.Context(), s.Name, time.Time{}, 1000)
		if err != nil {
			c.Fatal(err)
		}
		for i, tick := range history {
			n++
			if i > 0 && history[i-1].At.Sub(tick.At) != time.Second {
				c.Errorf("%s: after the tick %s comes %s", s.Name, tick.At, history[i-1].At)
			}
			if tick.Outcome != offstage.TickEnqueued || jobs[s.Name+tick.At.UTC().String()] != 1 {
				c.Errorf("%s: the tick %s was %s and has %d jobs", s.Name, tick.At, tick.Outcome, jobs[s.Name+tick.At.UTC().String()])
			}
		}
	}
	if len(jobs) != n {
		c.Errorf("%d ticks have jobs, %d are recorded", len(jobs), n)
	}
	return n
}

// jobs counts all jobs by their schedule and tick.
func (c *crew) jobs(client *offstage.Client) map[string]int {
	counted := map[string]int{}
	for filter := (offstage.Filter{Limit: 1000}); ; {
		page, err := client.List(c.Context(), filter)
		if err != nil {
			c.Fatal(err)
		}
		for _, job := range page.Jobs {
			counted[job.Tick.Schedule+job.Tick.At.UTC().String()]++
		}
		if filter.After = page.Next; filter.After == "" {
			return counted
		}
	}
}
