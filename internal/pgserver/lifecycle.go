package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mode says how a server is stopped.
type Mode syscall.Signal

// The modes of stopping.
const (
	Fast      = Mode(syscall.SIGINT)  // ends the sessions, writes a checkpoint
	Immediate = Mode(syscall.SIGQUIT) // drops everything; the next start recovers
)

// Start starts the server again, with its data and on its port, and returns
// when it accepts connections. It is an error if the server is running.
func (c *Cluster) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.proc.running() {
		return errors.New("the cluster is closed or its server is running")
	}
	cmd := exec.Command(filepath.Join(c.install.Bin, "postgres"), "-D", c.data(), "-p", strconv.Itoa(c.port))
	proc, err := launch(cmd, c.as, c.log(), syscall.SIGQUIT)
	if err != nil {
		return err
	}
	c.proc, c.killed = proc, false
	if err := waitFor(ctx, proc, c.ping); err != nil {
		return errors.Join(fmt.Errorf("%w; its log ends with:\n%s", err, c.tail()), c.kill())
	}
	return nil
}

// waitFor pings a starting server until it answers, has ended, or ctx is done.
func waitFor(ctx context.Context, proc *process, ping func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-proc.done:
			return errors.New("the server ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready in time: %w", err)
		}
	}
}

// ping reports whether our server, and not somebody else's on the same port,
// answers queries.
func (c *Cluster) ping(ctx context.Context) error {
	return c.with(ctx, "postgres", func(conn *pgx.Conn) error {
		var data string
		if err := conn.QueryRow(ctx, "show data_directory").Scan(&data); err != nil {
			return err
		}
		if data != c.data() {
			return fmt.Errorf("another server, of %s, has the port", data)
		}
		return nil
	})
}

// Stop stops the server and returns when all its processes have ended. The
// data stay. Stopping a server that is not running does nothing.
func (c *Cluster) Stop(ctx context.Context, mode Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.proc.running() {
		return nil
	}
	if err := c.proc.cmd.Process.Signal(syscall.Signal(mode)); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal the server: %w", err)
	}
	select {
	case <-c.proc.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the server: %w", context.Cause(ctx))
	}
}

// Restart stops the server and starts it again.
func (c *Cluster) Restart(ctx context.Context, mode Mode) error {
	if err := c.Stop(ctx, mode); err != nil {
		return err
	}
	return c.Start(ctx)
}

// Kill9 kills every process of the server at once with SIGKILL, as a crash of
// the machine would, and returns when they are gone. The data stay.
func (c *Cluster) Kill9() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kill()
}

func (c *Cluster) kill() error {
	if !c.proc.running() {
		return nil
	}
	c.killed = true
	err := killTree(c.proc.cmd.Process.Pid)
	if err == nil {
		<-c.proc.done
	}
	return err
}

// closeWait is how long Close waits for an orderly stop before it kills.
const closeWait = 10 * time.Second

// Close stops the server, if need be by force, and removes everything of it.
// Closing again does nothing.
func (c *Cluster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	stopped := c.Stop(ctx, Immediate)

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if stopped != nil {
		if err := c.kill(); err != nil {
			return errors.Join(stopped, err)
		}
	}
	if c.killed {
		c.sweep(ctx)
	}
	return os.RemoveAll(c.as.home)
}

// sweep lets the kernel forget the shared memory that a killed server left
// behind: a server in single-user mode takes it over and frees it at its end.
// Nothing else depends on it, so its failures do not matter.
func (c *Cluster) sweep(ctx context.Context) {
	cmd := exec.Command(filepath.Join(c.install.Bin, "postgres"), "--single", "-D", c.data(), "postgres")
	proc, err := launch(cmd, c.as, c.log(), syscall.SIGQUIT)
	if err != nil {
		return
	}
	select {
	case <-proc.done:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-proc.done
	}
}
