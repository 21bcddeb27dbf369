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
		if err := idle(ctx, g, out, queues); err != nil {
			return err
		}
	}
	return nil
}

func idle(ctx context.Context, g *ground, out *report, queues int) error {
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
	out.hold(share < idleCPU, fmt.Sprintf("idle with %d queues: share of a core", queues), fmt.Sprintf("%.1f%%", idleCPU), "%.3f%%", share)
	now, err := g.statements(ctx)
	if err != nil {
		return err
	}
	if sent, n := now.since(asked); now != nil {
		rate := float64(n) / idleFor.Seconds()
		out.hold(rate <= idleQueries, fmt.Sprintf("idle with %d queues: statements a second", queues), fmt.Sprint(idleQueries), "%.2f", rate)
		if rate > idleQueries {
			fmt.Println(sent)
		}
	}
	return p.stop()
}
