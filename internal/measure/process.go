//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

// line is what a child said.
type line struct {
	word string
	at   time.Time
	id   offstage.ID
	n    int
}

// process is a worker in a process of its own.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer
	done   chan struct{}

	mu    sync.Mutex
	lines []line
	more  chan struct{} // closed, and made anew, when there are more lines
}

// start starts a worker and returns when it is up.
func (g *ground) start(ctx context.Context, quiet bool, pools ...worker.Pool) (*process, error) {
	return g.startAt(ctx, g.at, quiet, pools...)
}

func (g *ground) startAt(ctx context.Context, at string, quiet bool, pools ...worker.Pool) (*process, error) {
	return g.order(ctx, orders{Store: g.kind, At: at, Pools: pools, Quiet: quiet, Schedules: g.schedules})
}

// order starts a process and returns when it is up.
func (g *ground) order(ctx context.Context, o orders) (*process, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(program, childCommand, string(text)), stderr: new(bytes.Buffer), done: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(stdout)
	up := func(lines []line) bool { return len(lines) > 0 }
	if err := p.await(ctx, time.Minute, up); err != nil {
		return nil, errors.Join(fmt.Errorf("the worker did not come up: %w; it said %s", err, p.stderr), p.kill())
	}
	return p, nil
}

// listen keeps the lines until the process has ended.
func (p *process) listen(stdout io.Reader) {
	defer close(p.done)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var l line
		var nano int64
		if _, err := fmt.Sscan(lines.Text(), &l.word, &nano, &l.id, &l.n); err != nil {
			continue // half a line of a process that was killed
		}
		l.at = time.Unix(0, nano)
		p.mu.Lock()
		p.lines = append(p.lines, l)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // what matters is in its lines
}

// await waits until the lines are as wanted.
func (p *process) await(ctx context.Context, limit time.Duration, wanted func([]line) bool) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		p.mu.Lock()
		ok, more := wanted(p.lines), p.more
		p.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-more:
		case <-p.done:
			return fmt.Errorf("the worker ended: %s", strings.TrimSpace(p.stderr.String()))
		case <-late.C:
			return fmt.Errorf("waited in vain for %s", limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// said returns the lines with this word.
func (p *process) said(word string) []line {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []line
	for _, l := range p.lines {
		if l.word == word {
			found = append(found, l)
		}
	}
	return found
}

// count returns a wish of await: at least n lines with this word.
func count(word string, n int) func([]line) bool {
	return func(lines []line) bool {
		have := 0
		for _, l := range lines {
			if l.word == word {
				have++
			}
		}
		return have >= n
	}
}

// ran stops the process and returns how many jobs it ran.
func (p *process) ran() (int, error) {
	if err := p.stop(); err != nil {
		return 0, err
	}
	last := p.said(wordRan)
	if len(last) != 1 {
		return 0, fmt.Errorf("the worker did not say what it ran: %s", p.stderr)
	}
	return last[0].n, nil
}

// stop ends the process as a deploy does.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// kill ends it with -9.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// alive reports whether it has not ended.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// used returns how long the process's threads have had a processor, as the
// scheduler counts it: the ticks of its stat file are too coarse for an idle one.
func (p *process) used() (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, thread := range threads {
		var ran time.Duration
		text, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		if _, err := fmt.Sscan(string(text), &ran); err != nil {
			return 0, err
		}
		sum += ran
	}
	if sum == 0 {
		return 0, errors.New("this kernel does not count the time of threads (CONFIG_SCHED_INFO)")
	}
	return sum, nil
}

// sleep waits and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
