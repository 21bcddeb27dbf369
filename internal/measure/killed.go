//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

const killedJobs = 100

// measureKilled kills a worker, once while another one lives and once while none
// does until it is started again.
func measureKilled(ctx context.Context, g *ground, out *report) error {
	for _, survivor := range []bool{true, false} {
		if err := killed(ctx, g, out, survivor); err != nil {
			return err
		}
	}
	return nil
}

func killed(ctx context.Context, g *ground, out *report, survivor bool) error {
	queue := fmt.Sprintf("killed_%t", survivor)
	pool := worker.Pool{Queues: []string{queue}}
	victim, err := g.start(ctx, false, pool)
	if err != nil {
		return err
	}
	ids, err := g.enqueueEach(ctx, killedJobs, napOf(20*time.Second), offstage.InQueue(queue))
	if err != nil {
		return err
	}
	if err := victim.await(ctx, 20*time.Second, count(wordStart, killedJobs)); err != nil {
		return err
	}
	var heir *process
	if survivor {
		if heir, err = g.start(ctx, false, pool); err != nil {
			return err
		}
		sleep(ctx, 2*time.Second)
	}
	died := time.Now()
	if err := victim.kill(); err != nil {
		return err
	}
	name := "another lives"
	if !survivor {
		name = "none lives, one is started at once"
		if heir, err = g.start(ctx, false, pool); err != nil {
			return err
		}
	}
	if err := heir.await(ctx, time.Minute, count(wordEnd, killedJobs)); err != nil {
		return err
	}
	var times []time.Duration
	for _, l := range heir.said(wordStart) {
		times = append(times, l.at.Sub(died))
	}
	out.atMost("from the death to the next start, "+name, times, 10*time.Second)
	if err := heir.stop(); err != nil {
		return err
	}
	once, lost := 0, 0
	for _, id := range ids {
		job, err := g.client.Get(ctx, id)
		if err != nil {
			return err
		}
		completed := 0
		for _, attempt := range job.Attempts {
			switch attempt.Outcome {
			case offstage.OutcomeCompleted:
				completed++
			case offstage.OutcomeLost:
				lost++
			}
		}
		if job.State == offstage.Completed && completed == 1 && len(job.Attempts) == 2 {
			once++
		}
	}
	out.equal("jobs finished once, after one lost attempt", once, killedJobs)
	out.equal("attempts recorded as lost", lost, killedJobs)
	return nil
}
