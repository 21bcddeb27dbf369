package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
)

// cost is what one job costs, on the average. Unlike a time it is the same on
// every machine.
type cost struct {
	statements float64 // that the server carried out
	wal        float64 // bytes of its write-ahead log
	buffers    float64 // pages that it looked at
	allocs     float64 // of this process
}

// limits are what a job may cost in groups of a thousand inserted, and of five
// hundred claimed and finished: a tenth more than it did when they were set.
var limits = map[string]cost{
	"postgres insert": {statements: 0.0033, wal: 505, buffers: 6.8, allocs: 1.6},
	"postgres cycle":  {statements: 0.0088, wal: 335, buffers: 10.1, allocs: 1.6},
	"sqlite insert":   {allocs: 7},
	"sqlite cycle":    {allocs: 11},
}

// benched is a store on which costs are counted.
type benched struct {
	offstage.Store
	count func(t *testing.T) cost // so far, in all
	seq   int64
	work  offstage.WorkerID
}

func TestCostsOnPostgres(t *testing.T) {
	ctx := t.Context()
	cluster, err := startPostgres(ctx)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	db, err := cluster.newDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(ctx, db.url)
	if err != nil {
		t.Fatal(err)
	}
	count(t, "postgres", &benched{Store: store, count: func(t *testing.T) cost {
		s, err := db.costs(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}})
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// costsSQL sums what the statements of database $1 have cost, without those that
// read the figures, which are made elsewhere.
const costsSQL = `SELECT coalesce(sum(calls), 0)::float8, coalesce(sum(wal_bytes), 0)::float8,
	coalesce(sum(shared_blks_hit + shared_blks_read), 0)::float8
FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = $1`

func (d *database) costs(ctx context.Context) (c cost, err error) {
	err = d.cluster.admin.QueryRow(ctx, costsSQL, d.name).Scan(&c.statements, &c.wal, &c.buffers)
	return c, err
}

func TestCostsOnSQLite(t *testing.T) {
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	count(t, "sqlite", &benched{Store: store, count: func(*testing.T) cost { return cost{} }})
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// count holds what jobs cost against the limits.
func count(t *testing.T, name string, b *benched) {
	const jobs = 10_000
	var err error
	if b.work, err = b.Register(t.Context(), offstage.WorkerInfo{Name: "costs", Queues: []string{offstage.DefaultQueue}}); err != nil {
		t.Fatal(err)
	}
	b.insert(t, 3000) // so that statements are prepared and connections open
	b.cycle(t, 3000)
	b.check(t, name+" insert", jobs, b.insert)
	b.check(t, name+" cycle", jobs, b.cycle)
}

func (b *benched) check(t *testing.T, name string, jobs int, do func(*testing.T, int)) {
	var before, after runtime.MemStats
	runtime.GC()
	first := b.count(t)
	runtime.ReadMemStats(&before)
	do(t, jobs)
	runtime.ReadMemStats(&after)
	last := b.count(t)
	n := float64(jobs)
	got := cost{
		statements: (last.statements - first.statements) / n, wal: (last.wal - first.wal) / n,
		buffers: (last.buffers - first.buffers) / n, allocs: float64(after.Mallocs-before.Mallocs) / n,
	}
	t.Logf("%s: %.4f statements, %.0f bytes of log, %.1f pages, %.1f allocations for each job",
		name, got.statements, got.wal, got.buffers, got.allocs)
	limit := limits[name]
	for _, c := range []struct {
		what       string
		got, limit float64
	}{
		{"statements", got.statements, limit.statements}, {"bytes of log", got.wal, limit.wal},
		{"pages", got.buffers, limit.buffers}, {"allocations", got.allocs, limit.allocs},
	} {
		if c.got > c.limit {
			t.Errorf("%s: %.4f %s for each job; the limit is %.4f", name, c.got, c.what, c.limit)
		}
	}
}

func (b *benched) insert(t *testing.T, n int) {
	jobs := make([]offstage.NewJob, 1000)
	for i := range jobs {
		args := json.RawMessage(fmt.Sprintf(`{"at":0,"pad":"%062d"}`, i))
		jobs[i] = offstage.NewJob{Kind: "ping", Queue: offstage.DefaultQueue, Priority: offstage.DefaultPriority, Args: args}
	}
	for ; n > 0; n -= len(jobs) {
		if _, err := b.Insert(t.Context(), jobs); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *benched) cycle(t *testing.T, n int) {
	const size = 500
	pools := []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: size}}
	for ; n > 0; n -= size {
		b.seq++
		claim, err := b.Claim(t.Context(), offstage.ClaimRequest{Worker: b.work, Seq: b.seq, Pools: pools})
		if err != nil || len(claim.Jobs) != size {
			t.Fatalf("claimed %d jobs, %v; want %d", len(claim.Jobs), err, size)
		}
		finish := offstage.FinishRequest{Worker: b.work, Release: []int64{b.seq}, Results: make([]offstage.Result, size)}
		for i, job := range claim.Jobs {
			finish.Results[i] = offstage.Result{
				Job: job.ID, Run: job.Run, Claim: b.seq, Outcome: offstage.OutcomeCompleted, Next: offstage.Completed,
				Started: true, Ran: time.Millisecond,
			}
		}
		verdicts, err := b.Finish(t.Context(), finish)
		if err != nil || verdicts[0].Kind != offstage.Counted {
			t.Fatalf("finished with %v, %v", verdicts[0], err)
		}
	}
}
