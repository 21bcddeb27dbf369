//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/offstagehq/offstage/worker"
)

const (
	idleFor     = time.Minute
	idleAfter   = 15 * time.Second // what a start brings with it is over by then
	forgetFor   = 20 * time.Second
	idleCPU     = 0.2 // per cent of a core
	idleQueries = 3.0 // statements a second

	rusageThread = 1 // RUSAGE_THREAD of getrusage(2)
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
func measureIdle(ctx context.Context, g *ground, out *report) (err error) {
	asleep, err := wakeUp()
	if err != nil {
		return err
	}
	stop, err := keepAwake()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	cost, err := wakeUp()
	if err != nil {
		return err
	}
	out.say("a thread that wakes, and does nothing", "%s of processor on this machine, now; %s if the processor has slept", short(cost), short(asleep))
	for _, queues := range []int{1, 50} {
		if err := idle(ctx, g, out, fmt.Sprintf("idle with %d queues", queues), queues); err != nil {
			return err
		}
	}
	return nil
}

// share returns how much of a core a process takes for so long, in per cent. When it
// fails the process is ended.
func (p *process) share(ctx context.Context, d time.Duration) (float64, error) {
	before, err := p.used()
	if err == nil && !sleep(ctx, d) {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, errors.Join(err, p.kill())
	}
	after, err := p.used()
	return float64(after-before) / float64(d) * 100, err
}

// manySchedules is how many none of which is due may cost nothing.
const manySchedules = 10_000

// measureSchedules is measureIdle for a worker with schedules, after it has told what it
// takes to declare them, and to declare them again as each deploy does.
func measureSchedules(ctx context.Context, g *ground, out *report) (err error) {
	stop, err := keepAwake()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, what := range []string{"declare %d schedules", "declare the same %d again"} {
		began := time.Now()
		if err := g.client.DeclareSchedules(ctx, "default", yearly(manySchedules)...); err != nil {
			return err
		}
		out.say(fmt.Sprintf(what, manySchedules), "%s", short(time.Since(began)))
	}
	g.schedules = manySchedules
	return idle(ctx, g, out, fmt.Sprintf("idle with %d schedules", manySchedules), 1)
}

func idle(ctx context.Context, g *ground, out *report, what string, queues int) error {
	p, err := g.start(ctx, false, worker.Pool{Queues: queuesNamed(queues)})
	if err != nil {
		return err
	}
	sleep(ctx, idleAfter)
	asked, err := g.statements(ctx)
	if err != nil {
		return err
	}
	stop := remind(p.cmd.Process.Pid)
	share, err := p.share(ctx, idleFor)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	out.hold(share < idleCPU, what+": share of a core", fmt.Sprintf("%.1f%%", idleCPU), "%.3f%%", share)
	now, err := g.statements(ctx)
	if err != nil {
		return err
	}
	forgetful, err := p.share(ctx, forgetFor)
	if err != nil {
		return err
	}
	out.say("… if its memory is not kept at hand", "%.3f%%, for %s", forgetful, forgetFor)
	if sent, n := now.since(asked); now != nil {
		rate := float64(n) / idleFor.Seconds()
		out.hold(rate <= idleQueries, what+": statements a second", fmt.Sprint(idleQueries), "%.2f", rate)
		if rate > idleQueries {
			fmt.Println(sent)
		}
	}
	return p.stop()
}

// wakeUp returns what it costs to wake a thread that has nothing to do.
func wakeUp() (time.Duration, error) {
	const times, nap = 100, 35 * time.Millisecond
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &before); err != nil {
		return 0, err
	}
	span := syscall.NsecToTimespec(int64(nap))
	for range times {
		if err := syscall.Nanosleep(&span, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return 0, err
		}
	}
	if err := syscall.Getrusage(rusageThread, &after); err != nil {
		return 0, err
	}
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	return time.Duration(used) / times, nil
}
