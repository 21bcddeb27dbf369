//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

const (
	fairProcesses = 4
	fairSlots     = 10
	fairJobs      = 100_000
)

// measureFair lets several processes work off one queue, which is opened when
// all of them are there.
func measureFair(ctx context.Context, g *ground, out *report) error {
	if err := g.client.PauseQueue(ctx, offstage.DefaultQueue); err != nil {
		return err
	}
	if _, err := g.client.EnqueueMany(ctx, naps(fairJobs, napOf(time.Millisecond))); err != nil {
		return err
	}
	var crew []*process
	for range fairProcesses {
		p, err := g.start(ctx, true, worker.Pool{Queues: []string{offstage.DefaultQueue}, Slots: fairSlots})
		if err != nil {
			return err
		}
		crew = append(crew, p)
	}
	sleep(ctx, 3*time.Second)
	began := time.Now()
	if err := g.client.ResumeQueue(ctx, offstage.DefaultQueue); err != nil {
		return err
	}
	if err := g.drained(ctx, 5*time.Minute); err != nil {
		return err
	}
	took := time.Since(began)
	var ran []int
	sum := 0
	for _, p := range crew {
		n, err := p.ran()
		if err != nil {
			return err
		}
		ran = append(ran, n)
		sum += n
	}
	out.say("all done in", "%s, %.0f jobs/s", short(took), fairJobs/took.Seconds())
	out.equal("starts", sum, fairJobs)
	ratio := float64(slices.Max(ran)) / float64(max(slices.Min(ran), 1))
	out.hold(ratio <= 1.5, "most over least of a process", "1.50", "%.2f: %v", ratio, ran)
	return nil
}

// drained waits until no job waits or runs.
func (g *ground) drained(ctx context.Context, limit time.Duration) error {
	for began := time.Now(); ; {
		left := 0
		for _, state := range []offstage.State{offstage.Ready, offstage.Running, offstage.Retrying, offstage.Scheduled} {
			page, err := g.client.List(ctx, offstage.Filter{State: state, Limit: 1})
			if err != nil {
				return err
			}
			if left += len(page.Jobs); page.Next != "" {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if time.Since(began) > limit || !sleep(ctx, 50*time.Millisecond) {
			return fmt.Errorf("after %s there still are jobs that have not ended", limit)
		}
	}
}

const (
	narrowSlots  = 1000
	narrowQueues = 50
	narrowJobs   = 20_000
)

// measureNarrow gives a large process two connections, one for work and one for
// beats (beside the one that listens).
func measureNarrow(ctx context.Context, g *ground, out *report) error {
	names, at := queuesNamed(narrowQueues), g.at
	if g.kind == postgresStore {
		at += "&pool_max_conns=1"
	}
	p, err := g.startAt(ctx, at, false, worker.Pool{Queues: names, Slots: narrowSlots})
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := g.client.EnqueueMany(ctx, naps(narrowJobs/narrowQueues, napOf(time.Second)), offstage.InQueue(name)); err != nil {
			return err
		}
	}
	cancels, err := g.cancels(ctx, p, 20, names[0])
	if err != nil {
		return err
	}
	out.atMost("cancelled while 1,000 run", cancels, 2*time.Second)
	if err := g.drained(ctx, 2*time.Minute); err != nil {
		return err
	}
	times, err := g.starts(ctx, p, 100, func() string { return names[narrowQueues-1] })
	if err != nil {
		return err
	}
	out.atMost("from the enqueue to the start, afterwards", times, g.startLimit())
	if err := p.stop(); err != nil {
		return err
	}
	out.equal("jobs that ran to their end", len(p.said(wordEnd)), narrowJobs+100)
	out.equal("jobs that were cut", len(p.said(wordCut)), len(cancels))
	most := peak(p)
	out.hold(most == narrowSlots, "most at once", fmt.Sprint(narrowSlots), "%d", most)
	return nil
}

// peak returns how many jobs a process ran at once, at most.
func peak(p *process) (most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := 0
	for _, l := range p.lines {
		switch l.word {
		case wordStart:
			now++
		case wordEnd, wordCut:
			now--
		}
		most = max(most, now)
	}
	return most
}
