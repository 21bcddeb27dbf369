package main

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/offstagehq/offstage/bench/agent"
)

// run is what one measurement found. Beside the value, all fields are
// particulars that some scenarios have.
type run struct {
	Value   float64            `json:"value"`
	P95     float64            `json:"p95,omitempty"`
	P99     float64            `json:"p99,omitempty"`
	Max     float64            `json:"max,omitempty"`
	Jobs    int                `json:"jobs,omitempty"`
	Seconds float64            `json:"seconds,omitempty"`
	CPU     float64            `json:"cpu_us_per_job,omitempty"` // of the system's processes
	RSS     float64            `json:"rss_mb,omitempty"`
	Cut     bool               `json:"cut,omitempty"` // the longest time was up before all was done
	Windows []float64          `json:"windows,omitempty"`
	More    map[string]float64 `json:"more,omitempty"`
	Speed   float64            `json:"machine_ms"` // see calibrate
}

// rate makes a run of a count of jobs.
func rate(c agent.Count, err error) (run, error) {
	if err != nil || c.Jobs == 0 || c.Seconds == 0 {
		return run{}, err
	}
	n := float64(c.Jobs)
	return run{
		Value: n / c.Seconds, Jobs: c.Jobs, Seconds: c.Seconds, CPU: c.CPU / n * 1e6, RSS: c.RSS,
		Cut: c.Cut, Windows: c.Windows,
	}, nil
}

// slots is how many jobs run at once in the scenarios that ask for the greatest
// throughput.
const slots = 1000

func insert1(ctx context.Context, st *stage) (run, error)  { return inserts(ctx, st, 1, 1, false) }
func insert16(ctx context.Context, st *stage) (run, error) { return inserts(ctx, st, 16, 1, false) }
func bulk(ctx context.Context, st *stage) (run, error)     { return inserts(ctx, st, 1, 1000, false) }
func unique(ctx context.Context, st *stage) (run, error)   { return inserts(ctx, st, 16, 1, true) }

func inserts(ctx context.Context, st *stage, callers, size int, unique bool) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	order := agent.InsertOrder{Jobs: math.MaxInt32, Seconds: 0.2, Callers: callers, Size: size, Unique: unique}
	if _, err := st.insert(ctx, p, order); err != nil { // so that connections are open
		return run{}, err
	}
	if err := st.settle(ctx); err != nil {
		return run{}, err
	}
	order.Seconds = st.size.insert
	return rate(st.insert(ctx, p, order))
}

func drain(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.drain)}, agent.WorkOrder{}))
}

func steady(ctx context.Context, st *stage) (run, error) {
	return steadily(ctx, st, st.size.steady)
}

// steadily inserts while working.
func steadily(ctx context.Context, st *stage, seconds float64) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	if err := st.settle(ctx); err != nil {
		return run{}, err
	}
	if err := st.work(ctx, p, agent.WorkOrder{}); err != nil {
		return run{}, err
	}
	return rate(agent.Order[agent.Count](ctx, p, "steady", st.steadyOrder(seconds)))
}

func (st *stage) steadyOrder(seconds float64) agent.SteadyOrder {
	return agent.SteadyOrder{Seconds: seconds, Size: 1000, Ahead: max(st.jobs(20_000), 1000), Window: max(seconds/15, 0.2)}
}

// memory is what steady work takes under Go's own settings: to collect seldom costs
// memory.
func memory(ctx context.Context, st *stage) (run, error) {
	st.plain = true
	r, err := steady(ctx, st)
	r.Value = r.RSS
	return r, err
}

// backlog takes the rate of the first seconds; the rest is not worked off.
func backlog(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	st.size.limit = st.size.backlogFor
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.backlog)}, agent.WorkOrder{}))
}

func scheduled(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	if err := st.preload(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.backlog), Delay: (24 * time.Hour).Seconds()}); err != nil {
		return run{}, err
	}
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.drain)}, agent.WorkOrder{}))
}

func queues50(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots, Queues: queueNames(50)})
	if err != nil {
		return run{}, err
	}
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.drain), Queues: 50}, agent.WorkOrder{}))
}

func queueNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = agent.QueueName(i)
	}
	return names
}

func retries(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.drain / 2)}, agent.WorkOrder{Fail: true}))
}

func busy1ms(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{})
	if err != nil {
		return run{}, err
	}
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.drain)}, agent.WorkOrder{Sleep: 0.001}))
}

func workers4(ctx context.Context, st *stage) (run, error) {
	first, err := st.warm(ctx, agent.Env{Slots: slots / 4})
	if err != nil {
		return run{}, err
	}
	all := []*agent.Process{first}
	for range 3 {
		p, err := st.actor(ctx, agent.Env{Slots: slots / 4})
		if err != nil {
			return run{}, err
		}
		all = append(all, p)
	}
	if err := st.preload(ctx, first, agent.InsertOrder{Jobs: st.jobs(st.size.drain)}); err != nil {
		return run{}, err
	}
	return rate(st.together(ctx, all))
}

// together lets several processes work until nothing is left. The time is from
// the first order until the last one has seen the end.
func (st *stage) together(ctx context.Context, all []*agent.Process) (sum agent.Count, err error) {
	var mu sync.Mutex // guards sum
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range all {
		group.Go(func() error {
			if err := st.work(ctx, p, agent.WorkOrder{}); err != nil {
				return err
			}
			count, err := st.finish(ctx, p, 0, st.size.limit)
			mu.Lock()
			defer mu.Unlock()
			sum.Jobs += count.Jobs
			sum.CPU += count.CPU
			sum.RSS = max(sum.RSS, count.RSS)
			sum.Cut = sum.Cut || count.Cut
			return err
		})
	}
	err = group.Wait()
	sum.Seconds = time.Since(begin).Seconds()
	return sum, err
}

func rtt2ms(ctx context.Context, st *stage) (run, error) {
	var err error
	if st.line, err = startLine(st.db.cluster.Addr(), time.Millisecond); err != nil {
		return run{}, err
	}
	p, err := st.warm(ctx, agent.Env{Slots: slots, URL: replaceAddr(st.url, st.line.addr())})
	if err != nil {
		return run{}, err
	}
	return rate(st.drain(ctx, p, agent.InsertOrder{Jobs: st.jobs(st.size.drain)}, agent.WorkOrder{}))
}

// percentile returns the value below which a part of the sorted values lies.
func percentile(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// median returns the middle one of the values, which it leaves alone.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	switch n := len(sorted); {
	case n == 0:
		return 0
	case n%2 == 0:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	default:
		return sorted[n/2]
	}
}
