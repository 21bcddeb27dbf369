//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

const (
	dueSchedules = 1000
	dueMinutes   = 2                // how often each is due
	dueAfter     = 10 * time.Second // the worker is up and leads by then
	dueWithin    = time.Second
)

// measureDue lets many schedules be due in the same second, beside the jobs that they
// enqueue.
func measureDue(ctx context.Context, g *ground, out *report) error {
	minutely := make([]offstage.Schedule, dueSchedules)
	for i := range minutely {
		minutely[i] = offstage.MustSchedule(fmt.Sprintf("minutely_%04d", i), schedule.MustParse("* * * * *"), nap{})
		minutely[i].Start = time.Now().Add(dueAfter)
	}
	if err := g.client.DeclareSchedules(ctx, "measure", minutely...); err != nil {
		return err
	}
	p, err := g.start(ctx, false, worker.Pool{Queues: []string{offstage.DefaultQueue}})
	if err != nil {
		return err
	}
	if err := p.await(ctx, (dueMinutes+1)*time.Minute, count(wordStart, dueMinutes*dueSchedules)); err != nil {
		return errors.Join(err, p.kill())
	}
	if err := p.stop(); err != nil {
		return err
	}
	recorded := 0
	for _, l := range p.said(wordTicks) {
		recorded += l.n
	}
	out.equal("ticks that were recorded", recorded, dueMinutes*dueSchedules)
	out.atMost("from the tick to the enqueue's commit", intoMinute(p.said(wordTicks)), dueWithin)
	out.say("from the tick to the job's start", "%s", spread(intoMinute(p.said(wordStart))))
	return nil
}

// intoMinute returns how far into its minute each line is.
func intoMinute(lines []line) (times []time.Duration) {
	for _, l := range lines {
		times = append(times, l.at.Sub(l.at.Truncate(time.Minute)))
	}
	return times
}
