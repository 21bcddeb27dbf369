//go:build linux

package main

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

const (
	highQueue = "high_priority"
	lowQueue  = "low_priority"
	lowJobs   = 2000
	highJobs  = 10
	napTime   = 100 * time.Millisecond
)

// measurePriority enqueues much that can wait and then a little that cannot.
func measurePriority(ctx context.Context, g *ground, out *report) error {
	shared := worker.Pool{Name: "shared", Queues: []string{highQueue, lowQueue}, Slots: 20}
	p, err := g.start(ctx, false, worker.Pool{Name: "high", Queues: []string{highQueue}, Slots: highJobs}, shared)
	if err != nil {
		return err
	}
	rush, err := g.rush(ctx, p)
	if err != nil {
		return err
	}
	var times []time.Duration
	for _, l := range p.said(wordStart) {
		if at, high := rush[l.id]; high {
			times = append(times, l.at.Sub(at))
		}
	}
	out.atMost("a pool of its own: from the enqueue to the start", times, 100*time.Millisecond)
	if err := p.stop(); err != nil {
		return err
	}

	if p, err = g.start(ctx, false, shared); err != nil {
		return err
	}
	if rush, err = g.rush(ctx, p); err != nil {
		return err
	}
	before, times := overtaken(p, rush)
	out.atMost("one shared strict pool: from the enqueue to the start", times, napTime+100*time.Millisecond)
	out.equal("low jobs of later fetches that started before", before, 0)
	return p.stop()
}

// rush enqueues the low jobs and then the high ones, waits until all have run,
// and returns when each high one was about to be enqueued.
func (g *ground) rush(ctx context.Context, p *process) (map[offstage.ID]time.Time, error) {
	sleep(ctx, 2*time.Second)
	if _, err := g.client.EnqueueMany(ctx, naps(lowJobs, napOf(napTime)), offstage.InQueue(lowQueue)); err != nil {
		return nil, err
	}
	if err := p.await(ctx, 10*time.Second, count(wordStart, 100)); err != nil {
		return nil, err
	}
	high := map[offstage.ID]time.Time{}
	for range highJobs {
		at := time.Now()
		receipt, err := g.client.Enqueue(ctx, napOf(napTime), offstage.InQueue(highQueue))
		if err != nil {
			return nil, err
		}
		high[receipt.ID] = at
	}
	high[0] = time.Now() // all ten are acknowledged
	return high, p.await(ctx, time.Minute, count(wordEnd, lowJobs+highJobs))
}

// overtaken counts the low jobs that started before the last high one although
// the fetch that took them began after all high ones were acknowledged, and
// returns how long the high ones waited.
func overtaken(p *process, rush map[offstage.ID]time.Time) (before int, times []time.Duration) {
	var last time.Time
	started := p.said(wordStart)
	for _, l := range started {
		if at, high := rush[l.id]; high {
			times = append(times, l.at.Sub(at))
			if l.at.After(last) {
				last = l.at
			}
		}
	}
	fetched := map[offstage.ID]time.Time{}
	for _, l := range p.said(wordClaim) {
		fetched[l.id] = l.at
	}
	for _, l := range started {
		if _, high := rush[l.id]; !high && l.at.Before(last) && fetched[l.id].After(rush[0]) {
			before++
		}
	}
	return before, times
}
