//go:build linux

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/worker"
)

const (
	outageWorkers = 3
	outageLong    = 60                    // jobs that run through everything
	outageEvery   = 10 * time.Millisecond // between enqueues of short ones
)

// outages are how long the server is away.
var outages = []time.Duration{3 * time.Second, 20 * time.Second}

// measureOutage stops the server under load and starts it again.
func measureOutage(ctx context.Context, g *ground, out *report) error {
	var crew []*process
	for range outageWorkers {
		p, err := g.start(ctx, false, worker.Pool{Queues: []string{offstage.DefaultQueue}})
		if err != nil {
			return err
		}
		crew = append(crew, p)
	}
	ids, err := g.enqueueEach(ctx, outageLong, napOf(40*time.Second))
	if err != nil {
		return err
	}
	producing, stop := context.WithCancel(ctx)
	defer stop()
	f := &feed{g: g}
	var group sync.WaitGroup
	group.Go(func() { f.run(producing) })
	for _, away := range outages {
		sleep(ctx, 4*time.Second)
		if err := g.cluster.Stop(ctx, pgserver.Fast); err != nil {
			return err
		}
		sleep(ctx, away)
		if err := g.cluster.Start(ctx); err != nil {
			return err
		}
	}
	sleep(ctx, 4*time.Second)
	stop()
	group.Wait()
	if err := g.drained(ctx, time.Minute); err != nil {
		return err
	}
	return f.judge(ctx, out, crew, append(ids, f.ids...))
}

// feed enqueues short jobs all the time.
type feed struct {
	g       *ground
	ids     []offstage.ID // acknowledged
	refused int
	longest time.Duration // of a call that was acknowledged
}

func (f *feed) run(ctx context.Context) {
	for sleep(ctx, outageEvery) {
		began := time.Now()
		receipt, err := f.g.client.Enqueue(context.WithoutCancel(ctx), napOf(50*time.Millisecond))
		if err != nil {
			f.refused++
			continue
		}
		f.ids = append(f.ids, receipt.ID)
		f.longest = max(f.longest, time.Since(began))
	}
}

// judge holds what the workers said, and the store, against what was
// acknowledged.
func (f *feed) judge(ctx context.Context, out *report, crew []*process, ids []offstage.ID) error {
	starts, cuts, alive := map[offstage.ID]int{}, 0, 0
	for _, p := range crew {
		if p.alive() {
			alive++
		}
		if err := p.stop(); err != nil {
			return err
		}
		for _, l := range p.said(wordStart) {
			starts[l.id]++
		}
		cuts += len(p.said(wordCut))
	}
	lost, twice := 0, 0
	for _, id := range ids {
		job, err := f.g.client.Get(ctx, id)
		if err != nil && !errors.Is(err, offstage.ErrNotFound) {
			return err
		}
		if err != nil || job.State != offstage.Completed {
			lost++
		}
		if starts[id] > 1 || len(job.Attempts) > 1 {
			twice++
		}
	}
	out.say("acknowledged", "%d jobs; %d enqueues were answered with an error; the longest acknowledged one took %s", len(ids), f.refused, short(f.longest))
	out.equal("worker processes that live", alive, outageWorkers)
	out.equal("acknowledged and not completed", lost, 0)
	out.equal("started twice", twice, 0)
	out.equal("handlers whose context was cancelled", cuts, 0)
	return nil
}
