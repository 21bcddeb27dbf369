//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/offstagehq/offstage/internal/chaos/fleet"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// The roles of processes.
const (
	workerRole   = "worker"
	producerRole = "producer"
)

// crew is all slots of processes.
type crew struct {
	*campaign
	slots []*fleet.Slot
}

// slotNames lists the slots of a campaign.
func slotNames(cfg config) []string {
	var names []string
	for n := range cfg.workers {
		names = append(names, fmt.Sprintf("%s-%d", workerRole, n+1))
	}
	for n := range cfg.producers {
		names = append(names, fmt.Sprintf("%s-%d", producerRole, n+1))
	}
	return names
}

func newCrew(c *campaign) *crew {
	crew := &crew{campaign: c}
	for _, name := range slotNames(c.config) {
		crew.slots = append(crew.slots, &fleet.Slot{
			Name: name, Program: "/proc/self/exe", LogDir: c.logs, Recorder: c.rec,
			Args: func(process string) ([]string, error) { return c.orders(name, process) },
		})
	}
	return crew
}

// orders are a process's arguments.
func (c *campaign) orders(slot, process string) ([]string, error) {
	at, err := c.world.from(slot)
	if err != nil {
		return nil, err
	}
	// Each process rolls dice of its own, all from the one seed.
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%d %s", c.seed, process)
	role, _, _ := strings.Cut(slot, "-")
	orders, err := json.Marshal(childOrders{
		Role: role, Name: process, History: c.history, Store: c.store, At: at,
		Lease: c.lease, Grace: c.grace, Rate: c.rate / float64(c.producers), Seed: hash.Sum64(), Only: c.only,
	})
	return []string{childCommand, string(orders)}, err
}

// keep runs the processes until ctx ends, or all slots are retired.
func (c *crew) keep(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(c.slots))
	var all sync.WaitGroup
	for i, slot := range c.slots {
		all.Go(func() {
			if errs[i] = slot.Keep(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// of returns the slots of a role.
func (c *crew) of(role string) []*fleet.Slot {
	var slots []*fleet.Slot
	for _, slot := range c.slots {
		if strings.HasPrefix(slot.Name, role) {
			slots = append(slots, slot)
		}
	}
	return slots
}

// awaitUp waits until every slot has a process that is up.
func (c *crew) awaitUp(ctx context.Context, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; {
		up := 0
		for _, slot := range c.slots {
			if slot.Up() {
				up++
			}
		}
		if up == len(c.slots) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d processes came up: %s", up, len(c.slots), c.lastWords())
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// lastWords returns the end of what a process said that is not up.
func (c *crew) lastWords() string {
	for _, slot := range c.slots {
		if text, err := os.ReadFile(fmt.Sprintf("%s/%s.1.log", c.logs, slot.Name)); err == nil && !slot.Up() {
			return slot.Name + " said: " + string(text[max(0, len(text)-2000):])
		}
	}
	return ""
}

// overdue is when a process that was told to stop, and did not, is killed.
const overdue = 30 * time.Second

// stop stops the processes of a role in order, all at once, for good.
func (c *crew) stop(ctx context.Context, role string) error {
	var all sync.WaitGroup
	slots, how := c.of(role), history.Stops
	if role == producerRole {
		how = history.Ends // a call under way may take its time
	}
	errs := make([]error, len(slots))
	for i, slot := range slots {
		all.Go(func() {
			if p := slot.Retire(); p != nil {
				errs[i] = c.stopOne(ctx, p, "stop", how)
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// stopOne tells a process to stop and waits for its end.
func (c *campaign) stopOne(ctx context.Context, p *fleet.Process, fault, how string) error {
	select {
	case <-p.Done():
		return nil
	default:
	}
	c.rec.Write(history.Event{What: history.FaultBegin, Fault: fault, Target: p.Name, How: how})
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(c.grace + overdue):
	}
	c.rec.Write(history.Event{What: history.FaultBegin, Fault: "overdue", Target: p.Name, How: history.Kills})
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	return nil
}
