package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Serve carries out orders until the input ends or the order to close comes.
// With a profile, the orders that take time leave CPU profiles in files whose
// names begin with it.
func Serve(ctx context.Context, open Open, profile string, in io.Reader, out io.Writer) error {
	d := &driver{open: open, profiler: profiler{prefix: profile}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var order call[json.RawMessage]
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		if order.Do == "close" {
			break
		}
		with, err := d.profiler.during(order.Do, func() (any, error) { return d.do(ctx, order) })
		reply := answer[any]{With: with}
		if err != nil {
			reply.Error, reply.Unable = err.Error(), errors.Is(err, ErrUnable)
		}
		if err := json.NewEncoder(out).Encode(reply); err != nil {
			return err
		}
	}
	return errors.Join(lines.Err(), d.close(ctx))
}

// driver is a system with what is under way in it.
type driver struct {
	open   Open
	system System
	tally  *Tally    // since the latest order to work
	since  time.Time // the time of that order
	cpu    float64   // spent before that order
	busy   bool      // Start without Stop
	keys   int       // unique keys given out
	profiler
}

// do carries out one order.
func (d *driver) do(ctx context.Context, order call[json.RawMessage]) (any, error) {
	if d.system == nil && order.Do != "open" {
		return nil, errors.New("the first order must be to open")
	}
	switch order.Do {
	case "open":
		return with(ctx, order.With, d.opened)
	case "insert":
		return with(ctx, order.With, d.insert)
	case "work":
		return with(ctx, order.With, d.work)
	case "finish":
		return with(ctx, order.With, d.finish)
	case "steady":
		return with(ctx, order.With, d.steady)
	case "probe":
		return with(ctx, order.With, d.probe)
	case "took":
		return with(ctx, order.With, d.took)
	case "usage":
		return Count{CPU: usedCPU(), RSS: mostRSS()}, nil
	case "stop":
		return nil, d.stop(ctx)
	}
	return nil, fmt.Errorf("there is no order %q", order.Do)
}

// with decodes an order's parameters and carries it out.
func with[In, Out any](ctx context.Context, raw json.RawMessage, do func(context.Context, In) (Out, error)) (any, error) {
	var in In
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	return do(ctx, in)
}

func (d *driver) opened(ctx context.Context, env Env) (Opened, error) {
	if d.system != nil {
		return Opened{}, errors.New("the system is open already")
	}
	var err error
	if d.system, err = d.open(ctx, env); err != nil {
		return Opened{}, err
	}
	return Opened{d.system.Settings()}, nil
}

func (d *driver) work(ctx context.Context, order WorkOrder) (any, error) {
	if d.busy {
		return nil, errors.New("the system works already")
	}
	d.tally, d.since, d.cpu = &Tally{work: order}, time.Now(), usedCPU()
	if err := d.system.Start(ctx, d.tally); err != nil {
		return nil, err
	}
	d.busy = true
	return nil, nil
}

func (d *driver) stop(ctx context.Context) error {
	if !d.busy {
		return nil
	}
	d.busy = false
	return d.system.Stop(ctx)
}

func (d *driver) close(ctx context.Context) error {
	if d.system == nil {
		return nil
	}
	return errors.Join(d.stop(ctx), d.system.Close())
}

// finish waits until as many jobs have started as are ordered and none is due
// or running any more.
func (d *driver) finish(ctx context.Context, order FinishOrder) (Count, error) {
	if !d.busy {
		return Count{}, errors.New("the system does not work")
	}
	until := time.Now().Add(seconds(order.Seconds))
	for {
		done := d.tally.count() >= order.Jobs
		if done {
			left, err := d.system.Left(ctx)
			if err != nil {
				return Count{}, err
			}
			done = !left
		}
		cut := !done && time.Now().After(until)
		if done || cut {
			return Count{
				Jobs: d.tally.count(), Seconds: time.Since(d.since).Seconds(), Cut: cut,
				CPU: usedCPU() - d.cpu, RSS: mostRSS(),
			}, nil
		}
		rest(ctx, time.Millisecond)
	}
}

func (d *driver) took(ctx context.Context, order TookOrder) (Times, error) {
	if !d.busy {
		return Times{}, errors.New("the system does not work")
	}
	until := time.Now().Add(seconds(order.Seconds))
	for len(d.tally.took()) < order.Jobs && time.Now().Before(until) {
		rest(ctx, time.Millisecond)
	}
	return Times{d.tally.took()}, nil
}

// rest waits for d or until the context ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
