//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// How the cost of a step is measured.
const (
	stepsAlone = 2000 // one after the other, of one job
	stepCrowd  = 16   // jobs whose steps are remembered at the same time
	stepsEach  = 500
)

// claimed claims n new jobs and returns their holds.
func (g *ground) claimed(ctx context.Context, n int) ([]offstage.Hold, error) {
	worker, err := g.store.Register(ctx, offstage.WorkerInfo{Name: "measure", Queues: []string{offstage.DefaultQueue}, Kinds: []offstage.Kind{{Name: nap{}.Kind()}}})
	if err != nil {
		return nil, err
	}
	for range n {
		if _, err := g.client.Enqueue(ctx, nap{}); err != nil {
			return nil, err
		}
	}
	claim, err := g.store.Claim(ctx, offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: n}}})
	if err != nil {
		return nil, err
	}
	if len(claim.Jobs) != n {
		return nil, fmt.Errorf("claimed %d jobs of %d", len(claim.Jobs), n)
	}
	holds := make([]offstage.Hold, n)
	for i, job := range claim.Jobs {
		holds[i] = offstage.Hold{Worker: worker, Claim: 1, Job: job.ID, Run: job.Run}
	}
	return holds, nil
}

// logged returns how many bytes the database has written to its log: PostgreSQL's
// position, or the size of SQLite's file, which is truncated now and then.
func (g *ground) logged(ctx context.Context) (n int64, err error) {
	if g.kind == sqliteStore {
		info, err := os.Stat(g.at + "-wal")
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return info.Size(), err
	}
	conn, err := pgx.Connect(ctx, g.at)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }() // what was read is read
	err = conn.QueryRow(ctx, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").Scan(&n)
	return n, err
}

func measureSteps(ctx context.Context, g *ground, out *report) error {
	holds, err := g.claimed(ctx, stepCrowd)
	if err != nil {
		return err
	}
	value := []byte(`{"charge": "ch_3MmlLrLkdIwHu7ix0snN0B15", "cents": 2000}`)
	remember := func(hold offstage.Hold, name string, kind offstage.StepKind, raise bool) error {
		return g.store.Remember(ctx, hold, offstage.NewStep{Name: name, Kind: kind, Tries: 1, Took: time.Millisecond, Value: value}, raise)
	}
	for _, hold := range holds {
		if err := remember(hold, "first", offstage.StepDone, true); err != nil {
			return err
		}
	}
	for _, kind := range []offstage.StepKind{offstage.StepDone, offstage.StepCursor} {
		before, err := g.logged(ctx)
		if err != nil {
			return err
		}
		var took []time.Duration
		for n := range stepsAlone {
			name := fmt.Sprint("step ", n)
			if kind == offstage.StepCursor {
				name = "rows"
			}
			if err := timed(&took, func() error { return remember(holds[0], name, kind, false) }); err != nil {
				return err
			}
		}
		after, err := g.logged(ctx)
		if err != nil {
			return err
		}
		out.say(fmt.Sprintf("a %s of one job", kind), "%s, %d bytes of log for each", spread(took), (after-before)/stepsAlone)
	}
	began := time.Now()
	errs := make([]error, len(holds))
	var crowd sync.WaitGroup
	for i, hold := range holds {
		crowd.Go(func() {
			for n := range stepsEach {
				if errs[i] = errors.Join(errs[i], remember(hold, fmt.Sprint("crowd ", n), offstage.StepDone, false)); errs[i] != nil {
					return
				}
			}
		})
	}
	crowd.Wait()
	out.say(fmt.Sprintf("steps of %d jobs at once", stepCrowd), "%.0f steps/s", float64(stepCrowd*stepsEach)/time.Since(began).Seconds())
	return errors.Join(errs...)
}
