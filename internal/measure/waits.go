//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

// How waiting jobs are measured: half of them sleep, to wake over wakeTime; half
// wait for signals, each of which is for many.
const (
	waiters   = 100_000
	wakeTime  = time.Minute
	perSignal = 500
	beginTime = 3 * time.Minute // for all to begin
	quietTime = 5 * time.Second // between the last wait that begins and the first that ends
)

// pausing is a job that waits. Until is when it wakes, in nanoseconds since 1970;
// 0: it waits for the signal.
type pausing struct {
	Until  int64 `json:"until"`
	Signal int   `json:"signal"`
}

func (pausing) Kind() string { return "pausing" }

// EnqueueOptions keeps them out of the way of those whose claims are timed.
func (pausing) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("pausing")}
}

func (p pausing) signal() string { return fmt.Sprint("signal ", p.Signal) }

// pauses are what the jobs tell of their waits.
type pauses struct {
	mu    sync.Mutex
	begun int                  // guarded by mu
	given map[string]time.Time // guarded by mu: signals
	slept []time.Duration      // guarded by mu: by how much each woke too late
	heard []time.Duration      // guarded by mu
}

func (p *pauses) handle(ctx context.Context, job *offstage.Job[pausing]) (err error) {
	if job.Run == 1 {
		p.mu.Lock()
		p.begun++
		p.mu.Unlock()
	}
	if job.Args.Until != 0 {
		err = offstage.Sleep(ctx, "nap", max(time.Until(time.Unix(0, job.Args.Until)), 0))
	} else {
		_, err = offstage.WaitFor[int](ctx, job.Args.signal())
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if job.Args.Until != 0 {
		p.slept = append(p.slept, time.Since(time.Unix(0, job.Args.Until)))
	} else {
		p.heard = append(p.heard, time.Since(p.given[job.Args.signal()]))
	}
	return nil
}

// working runs a worker while do does.
func (p *pauses) working(ctx context.Context, g *ground, do func() error) error {
	w, err := worker.New(g.store, worker.Config{Pools: []worker.Pool{{Queues: []string{"pausing"}}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	worker.Handle(w, p.handle)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	err = do()
	w.Stop(false)
	if end := <-ended; err == nil {
		err = end
	}
	return err
}

func measureWaits(ctx context.Context, g *ground, out *report) (err error) {
	p := &pauses{given: map[string]time.Time{}}
	var first time.Time
	err = p.working(ctx, g, func() (err error) {
		first, err = p.begin(ctx, g, out)
		return err
	})
	if err != nil {
		return err
	}
	if err := compareClaims(ctx, g, out); err != nil {
		return err
	}
	if wait := time.Until(first); wait < 0 {
		return fmt.Errorf("the machine is too slow: the first job should have woken %s ago", -wait)
	}
	return p.working(ctx, g, func() error { return p.end(ctx, g, out) })
}

// compareClaims takes turns on this database and on one with as many jobs of which
// none waits or ever began.
func compareClaims(ctx context.Context, g *ground, out *report) (err error) {
	other, err := newGround(ctx, g.kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.close()) }()
	later := func(yield func(offstage.Args) bool) {
		for n := range waiters {
			if !yield(offstage.With(pausing{Signal: n}, offstage.After(1000*time.Hour))) {
				return
			}
		}
	}
	if _, err := other.client.EnqueueMany(ctx, later); err != nil {
		return err
	}
	bare, full := &queueOf{ground: other}, &queueOf{ground: g}
	for _, q := range []*queueOf{bare, full} {
		if err := q.fill(ctx, shallowJobs, out); err != nil {
			return err
		}
		if _, err := q.store.Lead(ctx, q.worker, 0); err != nil { // a worker shall lead afterwards
			return err
		}
	}
	if err := takeTurns(ctx, bare, full); err != nil {
		return err
	}
	out.say("fetch and finish 100, nobody waits", "%s", spread(bare.fetch))
	out.say(fmt.Sprintf("the same, %d wait", waiters), "%s", spread(full.fetch))
	growth := float64(percentile(full.fetch, 50)) / float64(percentile(bare.fetch, 50))
	out.hold(growth <= 1.1, "fetch and finish: growth of the median", "1.10", "%.2f", growth)
	return nil
}

// begin lets all begin to wait, and returns when the first will wake.
func (p *pauses) begin(ctx context.Context, g *ground, out *report) (first time.Time, err error) {
	began := time.Now()
	first = began.Add(beginTime)
	if _, err := g.client.EnqueueMany(ctx, p.all(first)); err != nil {
		return first, err
	}
	for {
		p.mu.Lock()
		n := p.begun
		p.mu.Unlock()
		stats, err := g.client.Stats(ctx)
		if err != nil {
			return first, err
		}
		running := 0
		for _, w := range stats.Workers {
			running += w.Running
		}
		if n == waiters && running == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return first, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	took := time.Since(began)
	out.say(fmt.Sprintf("%d jobs begin to wait", waiters), "%s, %.0f jobs/s; then none runs", short(took), waiters/took.Seconds())
	return first, nil
}

func (p *pauses) all(first time.Time) iter.Seq[offstage.Args] {
	return func(yield func(offstage.Args) bool) {
		const half = waiters / 2
		for n := range half {
			wakes := first.Add(quietTime + time.Duration(n)*wakeTime/half)
			if !yield(pausing{Until: wakes.UnixNano()}) || !yield(pausing{Signal: n / perSignal}) {
				return
			}
		}
	}
}

// end gives the signals, evenly over the time in which the others wake, and waits
// for all.
func (p *pauses) end(ctx context.Context, g *ground, out *report) error {
	const signals = waiters / 2 / perSignal
	for n := range signals {
		name := pausing{Signal: n}.signal()
		p.mu.Lock()
		p.given[name] = time.Now()
		p.mu.Unlock()
		if woken, err := g.client.Signal(ctx, name, n); err != nil {
			return err
		} else if woken != perSignal {
			return fmt.Errorf("signal %d woke %d jobs, not %d", n, woken, perSignal)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wakeTime / signals):
		}
	}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		p.mu.Lock()
		slept, heard := p.slept, p.heard
		p.mu.Unlock()
		if len(slept)+len(heard) == waiters {
			out.say("woken by time, too late by", "%s, at most %s", spread(slept), short(percentile(slept, 100)))
			out.say("woken by a signal, after", "%s, at most %s", spread(heard), short(percentile(heard, 100)))
			out.hold(percentile(slept, 100) <= time.Second && percentile(heard, 100) <= time.Second, "the latest", "1s", "%s", short(max(percentile(slept, 100), percentile(heard, 100))))
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("only %d of %d have woken", len(slept)+len(heard), waiters)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
