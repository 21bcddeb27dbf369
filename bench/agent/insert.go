package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// insert lets callers insert in a closed loop.
func (d *driver) insert(ctx context.Context, order InsertOrder) (Count, error) {
	order.Size = max(order.Size, 1)
	var given, stored atomic.Int64
	begin, cpu := time.Now(), usedCPU()
	callers, ctx := errgroup.WithContext(ctx)
	for range max(order.Callers, 1) {
		callers.Go(func() error {
			for order.Seconds == 0 || time.Since(begin) < seconds(order.Seconds) {
				first := int(given.Add(int64(order.Size))) - order.Size
				jobs := d.jobs(order, first, min(order.Size, order.Jobs-first))
				if len(jobs) == 0 {
					return nil
				}
				if err := d.system.Insert(ctx, jobs); err != nil {
					return err
				}
				stored.Add(int64(len(jobs)))
			}
			return nil
		})
	}
	err := callers.Wait()
	d.keys += order.Jobs
	return Count{
		Jobs: int(stored.Load()), Seconds: time.Since(begin).Seconds(), CPU: usedCPU() - cpu, RSS: mostRSS(),
	}, err
}

// jobs makes jobs first … first+n-1 of an order; none if n is not positive.
func (d *driver) jobs(order InsertOrder, first, n int) []Job {
	if n <= 0 {
		return nil
	}
	jobs := make([]Job, n)
	for i := range jobs {
		job := &jobs[i]
		job.Delay = seconds(order.Delay)
		if order.Queues > 0 {
			job.Queue = QueueName((first + i) % order.Queues)
		}
		if order.Unique {
			job.Key = "key " + strconv.Itoa(d.keys+first+i)
		}
	}
	return jobs
}

// QueueName names the queues over which an order spreads its jobs, from 0.
func QueueName(i int) string { return fmt.Sprintf("queue%02d", i) }

// steady inserts while the system works.
func (d *driver) steady(ctx context.Context, order SteadyOrder) (Count, error) {
	if !d.busy {
		return Count{}, fmt.Errorf("the system does not work")
	}
	before, cpu, begin := d.tally.count(), usedCPU(), time.Now()
	watch := watchWindows(d.tally, seconds(order.Window))
	inserted := 0
	for time.Since(begin) < seconds(order.Seconds) {
		if inserted-(d.tally.count()-before) > order.Ahead {
			rest(ctx, 500*time.Microsecond)
			continue
		}
		if err := d.system.Insert(ctx, make([]Job, order.Size)); err != nil {
			watch.stop()
			return Count{}, err
		}
		inserted += order.Size
	}
	windows := watch.stop()
	count, err := d.finish(ctx, FinishOrder{Jobs: before + inserted, Seconds: 60 + order.Seconds})
	count.Jobs, count.Seconds, count.CPU = count.Jobs-before, time.Since(begin).Seconds(), usedCPU()-cpu
	count.Windows = windows
	return count, err
}

// windows notes how many jobs start in each window of time.
type windows struct {
	end  chan struct{}
	done sync.WaitGroup
	seen []float64 // jobs per second
}

func watchWindows(t *Tally, width time.Duration) *windows {
	w := &windows{end: make(chan struct{})}
	if width <= 0 {
		return w
	}
	w.done.Go(func() {
		ticks := time.NewTicker(width)
		defer ticks.Stop()
		last, at := t.count(), time.Now()
		for {
			select {
			case <-w.end:
				return
			case now := <-ticks.C:
				n := t.count()
				w.seen = append(w.seen, float64(n-last)/now.Sub(at).Seconds())
				last, at = n, now
			}
		}
	})
	return w
}

// stop ends the watch and returns the rate of each whole window.
func (w *windows) stop() []float64 {
	close(w.end)
	w.done.Wait()
	return w.seen
}

// probe inserts timed jobs at random gaps. A [Prober] answers with their times;
// otherwise the worker, here or in another process, has them.
func (d *driver) probe(ctx context.Context, order ProbeOrder) (Times, error) {
	loading, end := context.WithCancel(ctx)
	var load errgroup.Group
	load.Go(func() error { return d.load(loading, order.Load) })
	times, err := d.probes(ctx, order)
	end()
	if failed := load.Wait(); err == nil {
		err = failed
	}
	return times, err
}

func (d *driver) probes(ctx context.Context, order ProbeOrder) (Times, error) {
	dice := rand.New(rand.NewPCG(order.Seed, order.Seed))
	prober, alone := d.system.(Prober)
	var times Times
	for range order.Jobs {
		rest(ctx, seconds(order.Least+dice.Float64()*(order.Most-order.Least)))
		if !alone {
			if err := d.system.Insert(ctx, []Job{{At: time.Now().UnixNano()}}); err != nil {
				return Times{}, err
			}
			continue
		}
		took, err := prober.Probe(ctx)
		if err != nil {
			return Times{}, err
		}
		times.MS = append(times.MS, took.Seconds()*1000)
	}
	return times, nil
}

// load inserts jobs at a rate, in calls of a hundredth of a second's each, until
// the context ends.
func (d *driver) load(ctx context.Context, rate float64) error {
	if rate <= 0 {
		return nil
	}
	begin, inserted := time.Now(), 0
	for ctx.Err() == nil {
		due := int(time.Since(begin).Seconds() * rate)
		if due-inserted < max(int(rate/100), 1) {
			rest(ctx, time.Millisecond)
			continue
		}
		n := min(due-inserted, 1000)
		if err := d.system.Insert(ctx, make([]Job, n)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		inserted += n
	}
	return nil
}
