//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage/worker"
)

const (
	idleFor     = time.Minute
	idleAfter   = 15 * time.Second // what a start brings with it is over by then
	idleCPU     = 0.2              // per cent of a core
	idleQueries = 3.0              // statements a second
)

// queuesNamed returns so many queues' names.
func queuesNamed(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("queue_%02d", i+1)
	}
	return names
}

// measureIdle lets a worker alone: the only one, so that it does the chores too.
func measureIdle(ctx context.Context, g *ground, out *report) error {
	for _, queues := range []int{1, 50} {
		if err := idle(ctx, g, out, fmt.Sprintf("idle with %d queues", queues), queues); err != nil {
			return err
		}
	}
	return nil
}

// manySchedules is how many none of which is due may cost nothing.
const manySchedules = 10_000

// measureSchedules is measureIdle for a worker with schedules.
func measureSchedules(ctx context.Context, g *ground, out *report) error {
	g.schedules = manySchedules
	return idle(ctx, g, out, fmt.Sprintf("idle with %d schedules", manySchedules), 1)
}

func idle(ctx context.Context, g *ground, out *report, what string, queues int) error {
	p, err := g.start(ctx, false, worker.Pool{Queues: queuesNamed(queues)})
	if err != nil {
		return err
	}
	sleep(ctx, idleAfter)
	cpu, err := p.used()
	if err != nil {
		return err
	}
	asked, err := g.statements(ctx)
	if err != nil {
		return err
	}
	if !sleep(ctx, idleFor) {
		return errors.Join(context.Cause(ctx), p.kill())
	}
	again, err := p.used()
	if err != nil {
		return err
	}
	share := float64(again-cpu) / float64(idleFor) * 100
	out.hold(share < idleCPU, what+": share of a core", fmt.Sprintf("%.1f%%", idleCPU), "%.3f%%", share)
	now, err := g.statements(ctx)
	if err != nil {
		return err
	}
	if sent, n := now.since(asked); now != nil {
		rate := float64(n) / idleFor.Seconds()
		out.hold(rate <= idleQueries, what+": statements a second", fmt.Sprint(idleQueries), "%.2f", rate)
		if rate > idleQueries {
			fmt.Println(sent)
		}
	}
	return p.stop()
}
