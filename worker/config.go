package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// Config says how a [Worker] works. The zero value is a worker with 200 slots
// for the queue "default". [New] copies it; later changes have no effect.
type Config struct {
	// Name is for people, in lists of workers. "" is host name and process id.
	Name string
	// Pools are the slots of this process and the queues that they serve. nil
	// is one pool of 200 slots for the queue "default".
	Pools []Pool
	// Beat is how often the process says that it lives. 0 is a fifth of Lease.
	Beat time.Duration
	// Lease is the silence after which others take this process for dead and
	// run its jobs again. 0 is 5 s; the least is 200 ms. All workers of a store
	// must have the same.
	Lease time.Duration
	// Grace is how long running jobs may go on after the stop. 0 is 25 s;
	// negative is not at all.
	Grace time.Duration
	// Logger gets the worker's own lines and those of the jobs. nil is
	// slog.Default().
	Logger *slog.Logger
	// Middleware wraps every handler; the first is outermost.
	Middleware []Middleware
	// Carriers bring values that travelled with a job into its context. Give
	// the enqueuing client the same ones.
	Carriers []offstage.Carrier
	// Schedules are declared when the worker starts: see
	// [offstage.Client.DeclareSchedules]. nil declares nothing; empty, but not
	// nil, switches off those that the owner had.
	Schedules []offstage.Schedule
	// ScheduleOwner names the program that Schedules belong to: all workers of
	// one name declare the same. "" is "default".
	ScheduleOwner string
	// OnChange, if not nil, is told of each change of a job's state that this
	// worker made, after it was recorded, in order, from one goroutine. While it
	// is slow, no new jobs are fetched. A panic in it is logged.
	OnChange func(ctx context.Context, event Event)
}

// Pool is a number of slots that serve one or more queues. A queue may be in
// several pools.
type Pool struct {
	// Name is for people. "" is the names of its queues.
	Name string
	// Queues are the queues that it serves: 1 to 1,000, none twice.
	Queues []string
	// Slots is how many jobs it runs at once: 1 to 100,000. 0 is 200.
	Slots int
	// Order says which queue comes first when several have ready jobs.
	Order Order
	// Weights are for Weighted, one for each queue, 1 to 1,000. nil: all alike.
	Weights []int
}

// Order says in which order a pool serves its queues. The zero value is Strict.
type Order uint8

// The orders.
const (
	// Strict takes jobs from a queue only when those before it have none ready.
	Strict Order = iota
	// Weighted shares the slots out by weight among the queues that have jobs
	// ready, so that none is starved.
	Weighted
)

// Defaults and limits of a Config.
const (
	DefaultSlots = 200
	DefaultLease = 5 * time.Second
	DefaultGrace = 25 * time.Second
	MinLease     = 200 * time.Millisecond

	maxSlots  = 100_000
	maxQueues = 1000
	maxWeight = 1000
	beatsPer  = 5 // beats in a lease, by default
	leastPer  = 3 // the fewest beats in a lease
)

// withDefaults returns the configuration with zero fields filled in, sharing
// nothing with the caller.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		c.Name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	if len(c.Pools) == 0 {
		c.Pools = []Pool{{Name: offstage.DefaultQueue, Queues: []string{offstage.DefaultQueue}}}
	}
	pools := make([]Pool, len(c.Pools))
	for i, pool := range c.Pools {
		pools[i] = pool.withDefaults()
	}
	c.Pools = pools
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	if c.Beat == 0 {
		c.Beat = c.Lease / beatsPer
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	c.Grace = max(c.Grace, 0)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.ScheduleOwner == "" {
		c.ScheduleOwner = "default"
	}
	c.Schedules = slices.Clone(c.Schedules)
	c.Middleware = append([]Middleware(nil), c.Middleware...)
	c.Carriers = append([]offstage.Carrier(nil), c.Carriers...)
	return c
}

func (p Pool) withDefaults() Pool {
	p.Queues = append([]string(nil), p.Queues...)
	p.Weights = append([]int(nil), p.Weights...)
	if p.Name == "" {
		p.Name = fmt.Sprint(p.Queues)
	}
	if p.Slots == 0 {
		p.Slots = DefaultSlots
	}
	if p.Order == Weighted && len(p.Weights) == 0 {
		for range p.Queues {
			p.Weights = append(p.Weights, 1)
		}
	}
	return p
}

// validate reports the first thing wrong with a configuration that has its
// defaults, as an [offstage.InvalidError] that names the field.
func (c Config) validate() error {
	if c.Lease < MinLease {
		return invalid("lease", "%s is less than %s", c.Lease, MinLease)
	}
	if c.Beat <= 0 || c.Beat > c.Lease/leastPer {
		return invalid("beat", "%s is not between 0 and a third of the lease, which is %s", c.Beat, c.Lease/leastPer)
	}
	for i, middleware := range c.Middleware {
		if middleware == nil {
			return invalid(fmt.Sprintf("middleware[%d]", i), "nil")
		}
	}
	for i, carrier := range c.Carriers {
		if carrier == nil {
			return invalid(fmt.Sprintf("carriers[%d]", i), "nil")
		}
	}
	if err := c.validateSchedules(); err != nil {
		return err
	}
	for i, pool := range c.Pools {
		if err := pool.validate(fmt.Sprintf("pools[%d].", i)); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) validateSchedules() error {
	if err := offstage.CheckName("schedule owner", c.ScheduleOwner); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range c.Schedules {
		s := &c.Schedules[i]
		if err := s.Check(); err != nil {
			return fmt.Errorf("schedules[%d]: %w", i, err)
		}
		if seen[s.Name] {
			return invalid(fmt.Sprintf("schedules[%d]", i), "%q is there twice", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}

func (p Pool) validate(field string) error {
	if len(p.Queues) == 0 || len(p.Queues) > maxQueues {
		return invalid(field+"queues", "%d queues; a pool has 1 to %d", len(p.Queues), maxQueues)
	}
	seen := map[string]bool{}
	for _, queue := range p.Queues {
		if err := offstage.CheckName(field+"queues", queue); err != nil {
			return err
		}
		if seen[queue] {
			return invalid(field+"queues", "%q is there twice", queue)
		}
		seen[queue] = true
	}
	if p.Slots < 1 || p.Slots > maxSlots {
		return invalid(field+"slots", "%d is not from 1 to %d", p.Slots, maxSlots)
	}
	return p.validateOrder(field)
}

func (p Pool) validateOrder(field string) error {
	switch {
	case p.Order != Strict && p.Order != Weighted:
		return invalid(field+"order", "%d is not one of Strict, Weighted", p.Order)
	case p.Order == Strict && len(p.Weights) > 0:
		return invalid(field+"weights", "only a Weighted pool has weights")
	case p.Order == Weighted && len(p.Weights) != len(p.Queues):
		return invalid(field+"weights", "%d weights for %d queues", len(p.Weights), len(p.Queues))
	}
	for _, weight := range p.Weights {
		if weight < 1 || weight > maxWeight {
			return invalid(field+"weights", "%d is not from 1 to %d", weight, maxWeight)
		}
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return &offstage.InvalidError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
