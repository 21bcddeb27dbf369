//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

// startLimit is how soon a job starts in another process that is idle.
func (g *ground) startLimit() time.Duration {
	if g.kind == postgresStore {
		return 50 * time.Millisecond
	}
	return 20 * time.Millisecond
}

// measureStart enqueues now and then, and looks when the jobs start elsewhere.
func measureStart(ctx context.Context, g *ground, out *report) error {
	for _, queues := range []int{1, 50} {
		names := queuesNamed(queues)
		p, err := g.start(ctx, false, worker.Pool{Queues: names})
		if err != nil {
			return err
		}
		sleep(ctx, 3*time.Second) // it falls asleep
		stop := remind(p.cmd.Process.Pid)
		times, err := g.starts(ctx, p, 200, func() string { return names[rand.IntN(len(names))] })
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
		out.atMost(fmt.Sprintf("from the enqueue to the start, %d queues", queues), times, g.startLimit())
		if err := p.stop(); err != nil {
			return err
		}
	}
	return nil
}

// starts enqueues n jobs, one at a time, at odd moments, and returns how long
// each took from the call to its start.
func (g *ground) starts(ctx context.Context, p *process, n int, queue func() string) ([]time.Duration, error) {
	began := map[offstage.ID]time.Time{}
	before := len(p.said(wordStart))
	for range n {
		sleep(ctx, time.Duration(20+rand.IntN(130))*time.Millisecond)
		at := time.Now()
		receipt, err := g.client.Enqueue(ctx, nap{}, offstage.InQueue(queue()))
		if err != nil {
			return nil, err
		}
		began[receipt.ID] = at
	}
	if err := p.await(ctx, 30*time.Second, count(wordStart, before+n)); err != nil {
		return nil, err
	}
	var times []time.Duration
	for _, l := range p.said(wordStart) {
		if at, ours := began[l.id]; ours {
			times = append(times, l.at.Sub(at))
		}
	}
	return times, nil
}

// measureCancel cancels jobs that run in another process.
func measureCancel(ctx context.Context, g *ground, out *report) error {
	p, err := g.start(ctx, false, worker.Pool{Queues: []string{offstage.DefaultQueue}})
	if err != nil {
		return err
	}
	times, err := g.cancels(ctx, p, 40, offstage.DefaultQueue)
	if err != nil {
		return err
	}
	out.atMost("from the cancel to the end of the context", times, 2*time.Second)
	return p.stop()
}

// cancels enqueues n long jobs and cancels them at odd moments.
func (g *ground) cancels(ctx context.Context, p *process, n int, queue string) ([]time.Duration, error) {
	before, cutBefore := len(p.said(wordStart)), len(p.said(wordCut))
	ids, err := g.enqueueEach(ctx, n, napOf(time.Minute), offstage.InQueue(queue))
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, 30*time.Second, count(wordStart, before+n)); err != nil {
		return nil, err
	}
	asked := map[offstage.ID]time.Time{}
	for _, id := range ids {
		sleep(ctx, time.Duration(rand.IntN(200))*time.Millisecond)
		asked[id] = time.Now()
		if _, err := g.client.Cancel(ctx, id); err != nil {
			return nil, err
		}
	}
	if err := p.await(ctx, 30*time.Second, count(wordCut, cutBefore+n)); err != nil {
		return nil, err
	}
	var times []time.Duration
	for _, l := range p.said(wordCut) {
		if at, ours := asked[l.id]; ours {
			times = append(times, l.at.Sub(at))
		}
	}
	return times, nil
}

// enqueueEach enqueues n jobs, one by one.
func (g *ground) enqueueEach(ctx context.Context, n int, args nap, options ...offstage.Option) ([]offstage.ID, error) {
	ids := make([]offstage.ID, n)
	for i := range ids {
		receipt, err := g.client.Enqueue(ctx, args, options...)
		if err != nil {
			return nil, err
		}
		ids[i] = receipt.ID
	}
	return ids, nil
}
