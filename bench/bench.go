package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/offstagehq/offstage/bench/agent"
)

// bench is one run of the program.
type bench struct {
	options
	size     size
	tasks    []task
	profile  string
	postgres *cluster
	redis    map[server]*redisServer
	results  *results
	begin    time.Time
	budget   time.Duration // after which nothing new is begun; 0: none
}

// quickBudget is what a quick run takes for each system, at most: 5 minutes for
// three, with a reserve for what is under way when it is used up.
const quickBudget = 85 * time.Second

func newBench(o options) (*bench, error) {
	b := &bench{options: o, size: full, profile: o.profile, results: newResults(), begin: time.Now()}
	names := list(o.systems)
	if len(names) == 0 {
		names = systemNames()
		if o.quick || o.tiny {
			names = []string{"offstage", "floor", "river"}
		}
	}
	switch {
	case o.tiny:
		b.size = tiny
	case o.quick:
		b.size, b.budget = quick, quickBudget*time.Duration(len(names))
	}
	found, err := chosen(names)
	if err != nil {
		return nil, err
	}
	b.tasks, err = plan(found, list(o.only))
	if b.budget > 0 {
		hurry(b.tasks)
	}
	if err == nil && len(b.tasks) == 0 {
		err = errors.New("none of these systems has any of these scenarios")
	}
	return b, err
}

// run starts the servers that are needed and measures task by task.
func (b *bench) run(ctx context.Context) (err error) {
	if b.profile != "" {
		if err := os.MkdirAll(b.profile, 0o755); err != nil {
			return err
		}
	}
	b.results.machine = describeMachine()
	b.checkSystems(ctx)
	if b.needs(onPostgres) {
		b.say("starting PostgreSQL")
		if b.postgres, err = startPostgres(ctx); err != nil {
			b.leaveOut(func(s *system) bool { return s.server == onPostgres }, err)
		} else {
			defer func() { err = errors.Join(err, b.postgres.Close()) }()
			b.results.servers["postgres"] = b.postgres.settings
		}
	}
	defer func() { err = errors.Join(err, b.stopRedis()) }()
	b.startRedis(ctx)
	for _, t := range b.tasks {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.task(ctx, t)
	}
	b.results.took = time.Since(b.begin)
	return nil
}

// startRedis starts those Redis servers that are needed, or leaves out who needs
// them.
func (b *bench) startRedis(ctx context.Context) {
	b.redis = map[server]*redisServer{}
	for on, fsync := range map[server]string{onRedis: "everysec", onRedisAlways: "always"} {
		if !b.needs(on) {
			continue
		}
		r, err := startRedis(ctx, fsync)
		if err != nil {
			b.leaveOut(func(s *system) bool { return s.server == on }, err)
			continue
		}
		b.redis[on], b.results.servers[string(on)] = r, r.settings
	}
}

func (b *bench) stopRedis() error {
	var errs []error
	for _, r := range b.redis {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// needs reports whether any task has a system on this server.
func (b *bench) needs(on server) bool {
	for _, t := range b.tasks {
		for _, s := range t.systems {
			if s.server == on {
				return true
			}
		}
	}
	return false
}

// checkSystems leaves out what cannot run here.
func (b *bench) checkSystems(ctx context.Context) {
	for _, s := range systems {
		used := slices.ContainsFunc(b.tasks, func(t task) bool { return slices.Contains(t.systems, s) })
		if !used {
			continue
		}
		if cause := s.missing(ctx); cause != nil {
			b.say("%s is skipped: %v", s.name, cause)
			b.leaveOut(func(other *system) bool { return other == s }, cause)
		}
	}
}

// leaveOut takes systems out of all tasks.
func (b *bench) leaveOut(unfit func(*system) bool, cause error) {
	for i := range b.tasks {
		var rest []*system
		for _, s := range b.tasks[i].systems {
			if !unfit(s) {
				rest = append(rest, s)
			} else {
				b.results.skip(s.id(), cause.Error())
			}
		}
		b.tasks[i].systems = rest
	}
}

// task measures one scenario: in each round every system has its turn.
func (b *bench) task(ctx context.Context, t task) {
	rounds := b.size.rounds
	if t.once {
		rounds = 1
	}
	failed := map[*system]bool{}
	for round := range rounds {
		for _, s := range t.systems {
			if failed[s] || ctx.Err() != nil {
				continue
			}
			if b.budget > 0 && time.Since(b.begin) > b.budget {
				b.results.skip(fmt.Sprintf("%s/%s, round %d", t.key, s.name, round+1), "the time of a quick run was up")
				continue
			}
			r, err := b.measure(ctx, t, s, round)
			switch {
			case errors.Is(err, agent.ErrUnable):
				failed[s] = true
				b.results.skip(t.key+"/"+s.name, err.Error())
			case err != nil:
				failed[s] = true
				b.results.fail(t.key+"/"+s.name, err)
				b.say("%-16s %-18s failed: %v", t.key, s.name, err)
			default:
				b.results.add(t, s, r)
				b.say("%-16s %-18s round %d: %s %s", t.key, s.name, round+1, figure(r.Value), t.unit)
			}
		}
	}
}

// runLimit bounds one measurement.
const runLimit = 15 * time.Minute

// measure takes one measurement on a fresh store.
func (b *bench) measure(ctx context.Context, t task, s *system, round int) (r run, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	label := fmt.Sprintf("%s-%s-%d", strings.ReplaceAll(t.key, "/", "-"), s.name, round+1)
	speed := calibrate()
	st, err := openStage(ctx, b, s, label)
	if err == nil {
		r, err = t.measure(ctx, st)
		b.results.settings(t, s, st.settings)
	}
	r.Speed = speed
	if st != nil {
		err = errors.Join(err, st.close(ctx))
	}
	return r, err
}

// say tells the person at the terminal how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(b.begin).Seconds(), fmt.Sprintf(format, args...))
}

// publish writes the results in the form that was asked for.
func (b *bench) publish(out io.Writer) error {
	if b.json {
		return errors.Join(b.results.writeJSON(out), b.results.failure())
	}
	if err := b.results.writeTable(out); err != nil {
		return err
	}
	charts := b.charts
	if charts == "" && !b.quick && !b.tiny {
		charts = "../docs/benchmarks"
	}
	if charts != "" {
		if err := b.results.writeCharts(charts); err != nil {
			return err
		}
	}
	return b.results.failure()
}
