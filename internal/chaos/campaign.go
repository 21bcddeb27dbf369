//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/offstagehq/offstage/internal/chaos/checker"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/internal/chaos/plan"
)

// campaign is one run, from the making of the database to the last stop.
type campaign struct {
	config
	history string // the directory of the recorders' files
	logs    string
	rec     *history.Recorder
	world   *world
	crew    *crew
}

// parent is this process's name in the history.
const parent = "parent"

// runCampaign runs a campaign and checks it.
func runCampaign(ctx context.Context, cfg config) (events []history.Event, report *checker.Report, err error) {
	dir := cfg.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "offstage-chaos-"); err != nil {
			return nil, nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	c := &campaign{config: cfg, history: filepath.Join(dir, "history"), logs: filepath.Join(dir, "logs")}
	for _, d := range []string{dir, c.history, c.logs} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, nil, err
		}
	}
	if err := saveRules(c.history, cfg.rules()); err != nil {
		return nil, nil, err
	}
	if err := c.run(ctx, dir); err != nil {
		return nil, nil, err
	}
	return check(c.history)
}

// run does everything but the check.
func (c *campaign) run(ctx context.Context, dir string) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if c.rec, err = history.Create(c.history, parent, clock, cancel); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.rec.Close()) }()
	if c.world, err = makeWorld(ctx, c.config, dir); err != nil {
		return fmt.Errorf("make the database: %w", err)
	}
	defer func() { err = errors.Join(err, c.world.close()) }()
	c.crew = newCrew(c)
	done := make(chan error, 1)
	keeping, abandon := context.WithCancel(ctx)
	defer abandon()
	go func() {
		err := c.crew.keep(keeping)
		if err != nil {
			cancel(err) // nobody need wait for a process that cannot be started
		}
		done <- err
	}()
	err = c.play(ctx)
	abandon()
	return errors.Join(err, <-done)
}

// The acts' lengths.
const (
	warmUp   = 2 * time.Second
	toSettle = time.Minute // how long everything may take to come to its end, beside ten leases
	toAppear = time.Minute
)

// play lets the faults strike and then brings everything to its end.
func (c *campaign) play(ctx context.Context) error {
	if err := c.crew.awaitUp(ctx, toAppear); err != nil {
		return err
	}
	if !sleep(ctx, warmUp) {
		return context.Cause(ctx)
	}
	n := &nemesis{campaign: c}
	err := n.act(ctx, plan.Make(c.counts, c.span, c.seed))
	err = errors.Join(err, c.world.heal())
	if err != nil {
		return err
	}
	c.rec.Write(history.Event{What: history.Healed})
	healed := time.Now()
	if !sleep(ctx, warmUp) {
		return context.Cause(ctx)
	}
	if err := c.crew.stop(ctx, producerRole); err != nil {
		return err
	}
	if err := c.settle(ctx, healed); err != nil {
		return err
	}
	if err := c.crew.stop(ctx, workerRole); err != nil {
		return err
	}
	listing, err := c.world.ground.List(ctx)
	if err != nil {
		return err
	}
	return listing.Save(c.history)
}

// settle lets the schedules have their ticks since the end of the faults, gives
// the signals that are owed, and waits until all jobs have ended, as long as that
// may take. What is left then is for the checker to find.
func (c *campaign) settle(ctx context.Context, healed time.Time) error {
	waiting, cancel := context.WithTimeout(ctx, toSettle+10*c.rules().Lease)
	defer cancel()
	began := time.Now()
	if err := c.world.ground.EndSchedules(waiting, healed); err != nil {
		return err
	}
	if err := c.world.ground.SignalLate(ctx, c.rec); err != nil {
		return err
	}
	left, err := c.world.ground.Drain(waiting)
	if waiting.Err() != nil && ctx.Err() == nil {
		err = nil // the listing will show them
	}
	c.say("after %s, %d jobs had not ended", time.Since(began).Round(time.Millisecond), left)
	return err
}

func (c *campaign) say(format string, args ...any) {
	if !c.json {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05")+" "+format+"\n", args...)
	}
}

// sleep waits and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
