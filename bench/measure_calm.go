package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage/bench/agent"
)

// latency measures an idle system whose worker is in another process; on SQLite,
// whose users have one process, in the same.
func latency(ctx context.Context, st *stage) (run, error) { return latencies(ctx, st, false) }

func latency50(ctx context.Context, st *stage) (run, error) { return latencies(ctx, st, true) }

func latencies(ctx context.Context, st *stage, loaded bool) (run, error) {
	worker, err := st.warm(ctx, agent.Env{})
	if err != nil {
		return run{}, err
	}
	inserter := worker
	if st.system.server != onSQLite && !st.system.local {
		if inserter, err = st.actor(ctx, agent.Env{}); err != nil {
			return run{}, err
		}
	}
	if !st.system.local {
		if err := st.work(ctx, worker, agent.WorkOrder{}); err != nil {
			return run{}, err
		}
	}
	load := 0.0
	if loaded {
		steady, err := rate(agent.Order[agent.Count](ctx, worker, "steady", st.steadyOrder(min(st.size.steady, 5))))
		if err != nil {
			return run{}, err
		}
		load = steady.Value / 2
	} else if st.system.local {
		// It keeps no connection that would have to be opened first.
	} else if _, err := st.insert(ctx, inserter, agent.InsertOrder{Jobs: 50, Callers: 1, Size: 1}); err != nil {
		return run{}, err
	}
	rest(ctx, 2*time.Second) // until the system is idle
	r, err := st.probe(ctx, inserter, worker, load)
	if loaded {
		r.More = map[string]float64{"load_jobs_per_s": load}
	}
	return r, err
}

// probe sends timed jobs at random gaps of 5 to 50 ms and gathers their times.
func (st *stage) probe(ctx context.Context, inserter, worker *agent.Process, load float64) (run, error) {
	order := agent.ProbeOrder{Jobs: st.size.probes, Least: 0.005, Most: 0.050, Seed: 1, Load: load}
	times, err := agent.Order[agent.Times](ctx, inserter, "probe", order)
	if err != nil {
		return run{}, err
	}
	if !st.system.local {
		times, err = agent.Order[agent.Times](ctx, worker, "took", agent.TookOrder{Jobs: order.Jobs, Seconds: 30})
		if err != nil {
			return run{}, err
		}
	}
	if len(times.MS) < order.Jobs {
		return run{}, fmt.Errorf("only %d of %d timed jobs started within 30 s", len(times.MS), order.Jobs)
	}
	slices.Sort(times.MS)
	return run{
		Value: percentile(times.MS, 0.50), P95: percentile(times.MS, 0.95), P99: percentile(times.MS, 0.99),
		Max: times.MS[len(times.MS)-1], Jobs: order.Jobs,
	}, nil
}

// idle measures a worker process that has nothing to do, with one queue and then
// another one with 50.
func idle(ctx context.Context, st *stage) (run, error) {
	var r run
	r.More = map[string]float64{}
	for _, queues := range []int{1, 50} {
		p, err := st.warm(ctx, agent.Env{Queues: queueNames(queues - 1)})
		if errors.Is(err, agent.ErrUnable) && queues > 1 {
			return r, nil
		}
		if err != nil {
			return run{}, err
		}
		if err := st.work(ctx, p, agent.WorkOrder{}); err != nil {
			return run{}, err
		}
		rest(ctx, seconds(st.size.settling))
		percent, statements, err := st.usage(ctx, p)
		if err != nil {
			return run{}, err
		}
		if queues == 1 {
			r.Value = percent
		} else {
			r.More["percent_of_a_core_50_queues"] = percent
		}
		if st.db != nil {
			r.More[fmt.Sprintf("statements_per_s_%d_queues", queues)] = statements
		}
		if err := st.stop(ctx, p); err != nil {
			return run{}, err
		}
	}
	return r, nil
}

// usage returns what a process uses over a while: percent of a core, and
// statements per second on PostgreSQL.
func (st *stage) usage(ctx context.Context, p *agent.Process) (percent, perSecond float64, err error) {
	begin := time.Now()
	before, err := agent.Order[agent.Count](ctx, p, "usage", nil)
	if err != nil {
		return 0, 0, err
	}
	var first, last statements
	if st.db != nil {
		if first, err = st.db.statements(ctx); err != nil {
			return 0, 0, err
		}
	}
	rest(ctx, seconds(st.size.idle))
	after, err := agent.Order[agent.Count](ctx, p, "usage", nil)
	if err != nil {
		return 0, 0, err
	}
	took := time.Since(begin).Seconds()
	if st.db != nil {
		if last, err = st.db.statements(ctx); err != nil {
			return 0, 0, err
		}
	}
	return 100 * (after.CPU - before.CPU) / took, (last.calls - first.calls) / took, nil
}

// wal measures how many bytes of log a job costs from its insert to its record.
func wal(ctx context.Context, st *stage) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	if err := st.settle(ctx); err != nil {
		return run{}, err
	}
	before, err := st.db.statements(ctx)
	if err != nil {
		return run{}, err
	}
	jobs := st.jobs(st.size.wal)
	if _, err := st.insert(ctx, p, agent.InsertOrder{Jobs: jobs, Callers: 1, Size: 1000}); err != nil {
		return run{}, err
	}
	if err := st.work(ctx, p, agent.WorkOrder{}); err != nil {
		return run{}, err
	}
	count, err := st.finish(ctx, p, jobs, st.size.limit)
	if err != nil {
		return run{}, err
	}
	after, err := st.db.statements(ctx)
	return run{Value: (after.wal - before.wal) / float64(count.Jobs), Jobs: count.Jobs, Cut: count.Cut}, err
}

// calm is held and idleTx without a disturbance: what those are compared with.
func calm(ctx context.Context, st *stage) (run, error) {
	return st.disturbed(ctx, pgx.TxOptions{}, "")
}

// held measures steady work while somebody's snapshot stays open.
func held(ctx context.Context, st *stage) (run, error) {
	return st.disturbed(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, "SELECT count(*) FROM pg_class")
}

// idleTx measures steady work beside a transaction that has written something
// and is then left open.
func idleTx(ctx context.Context, st *stage) (run, error) {
	return st.disturbed(ctx, pgx.TxOptions{}, "CREATE TABLE bench_idle (n int)")
}

// disturbed measures steady work beside an open transaction, or none. The value is the
// mean rate of the last fifth of the time.
func (st *stage) disturbed(ctx context.Context, options pgx.TxOptions, sql string) (run, error) {
	p, err := st.warm(ctx, agent.Env{Slots: slots})
	if err != nil {
		return run{}, err
	}
	if err := st.settle(ctx); err != nil {
		return run{}, err
	}
	err = st.work(ctx, p, agent.WorkOrder{})
	if err != nil {
		return run{}, err
	}
	other, err := pgx.Connect(ctx, st.url)
	if err != nil {
		return run{}, err
	}
	defer func() { _ = other.Close(ctx) }() // and with it the transaction
	if sql != "" {
		tx, err := other.BeginTx(ctx, options)
		if err == nil {
			_, err = tx.Exec(ctx, sql)
		}
		if err != nil {
			return run{}, err
		}
	}
	seconds := st.size.rivals
	if st.system.name == "offstage" {
		seconds = st.size.disturbed
	}
	watch := watchBuffers(ctx, st.db, max(seconds/15, 0.5))
	r, err := rate(agent.Order[agent.Count](ctx, p, "steady", st.steadyOrder(seconds)))
	buffers, failed := watch.stop()
	if err == nil {
		err = failed
	}
	if err != nil || len(r.Windows) == 0 {
		return r, err
	}
	fifth := max(len(r.Windows)/5, 1)
	r.Value = mean(r.Windows[len(r.Windows)-fifth:])
	r.More = map[string]float64{"first_fifth": mean(r.Windows[:fifth])}
	if n := len(buffers); n > 1 {
		r.More["buffers_per_fetched_job_first"], r.More["buffers_per_fetched_job_last"] = buffers[0], buffers[n-1]
	}
	return r, nil
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// rest waits for d or until the context ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
