//go:build linux

package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is one run of a child.
type Process struct {
	// Name is the slot's, with a number of its own added.
	Name string

	cmd   *exec.Cmd
	stdin io.WriteCloser
	up    chan struct{} // closed when it has said that it is up
	upAt  time.Time     // set before up is closed
	done  chan struct{} // closed when it was waited for
	how   string        // set before done is closed
}

// launch starts the program, with standard error in a file. It is killed when
// this process dies.
func launch(name, program string, args []string, logFile string) (*Process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has a copy of its own
	p := &Process{Name: name, cmd: exec.Command(program, args...), up: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Stderr = log
	// A process group of its own, so that a Ctrl-C reaches us alone.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	go p.live(stdout, started)
	return p, <-started
}

// live starts the child and waits for its end, on one thread: the kernel takes
// the end of the thread that forked for the death of the parent.
func (p *Process) live(stdout io.Reader, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "" {
		p.upAt = time.Now()
		close(p.up)
	}
	_ = p.cmd.Wait() // the state says the same
	p.how = p.cmd.ProcessState.String()
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal; a process that has ended does not mind.
func (p *Process) Signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Order writes a line to the process's standard input.
func (p *Process) Order(line string) error {
	_, err := io.WriteString(p.stdin, line+"\n")
	return err
}

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// age returns for how long the process has been up; 0: it is not.
func (p *Process) age() time.Duration {
	select {
	case <-p.done:
		return 0
	default:
	}
	select {
	case <-p.up:
		return time.Since(p.upAt)
	default:
		return 0
	}
}
