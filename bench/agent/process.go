package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// Process is a system under test as the conductor sees it. One goroutine at a
// time may give orders. It must be closed.
type Process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	kill context.CancelFunc
}

// Start starts the process of a system. The command's Stderr is the caller's
// choice. The context bounds its life.
func Start(ctx context.Context, name string, command func(context.Context) *exec.Cmd) (*Process, error) {
	ctx, kill := context.WithCancel(ctx)
	cmd := command(ctx)
	cmd.WaitDelay = 5 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		kill()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		kill()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		kill()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &Process{name: name, cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20), kill: kill}, nil
}

// Order gives an order and waits for its answer. When the context ends first,
// the process is killed. An error that is [ErrUnable] leaves it usable.
func Order[Out any](ctx context.Context, p *Process, do string, with any) (Out, error) {
	var reply answer[Out]
	end := context.AfterFunc(ctx, p.kill)
	defer end()
	err := json.NewEncoder(p.in).Encode(call[any]{do, with})
	if err == nil {
		var line []byte
		if line, err = p.out.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &reply)
		}
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	case err != nil:
		err = fmt.Errorf("the process failed: %w", err)
	case reply.Unable:
		err = fmt.Errorf("%w: %s", ErrUnable, reply.Error)
	case reply.Error != "":
		err = errors.New(reply.Error)
	}
	if err != nil {
		return reply.With, fmt.Errorf("%s: %s: %w", p.name, do, err)
	}
	return reply.With, nil
}

// Close asks the process to end, waits, and kills it if it takes longer than
// ten seconds.
func (p *Process) Close() error {
	timer := time.AfterFunc(10*time.Second, p.kill)
	defer timer.Stop()
	defer p.kill()
	_ = json.NewEncoder(p.in).Encode(call[any]{Do: "close"}) // fails only if it has ended
	_ = p.in.Close()
	_, _ = io.Copy(io.Discard, p.out) // Wait closes the pipe: it must be read to its end
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}
