//go:build linux

package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/offstagehq/offstage/internal/chaos/history"
)

// Slot is a place in which one process after the other runs.
type Slot struct {
	// Name is "worker-1"; its processes are "worker-1.1", "worker-1.2" …
	Name string
	// Program and Args, given a process's name, say what to run.
	Program string
	Args    func(process string) ([]string, error)
	// LogDir is where the processes' standard error goes.
	LogDir string
	// Recorder is told of births and deaths.
	Recorder *history.Recorder

	mu      sync.Mutex
	current *Process // guarded by mu
	busy    bool     // guarded by mu: somebody has taken the slot
	closed  bool     // guarded by mu: no more processes
}

// Keep starts a process, and another whenever it has ended, until the slot is
// retired or ctx ends; then it kills what is left and returns. A process that
// cannot be started is an error.
func (s *Slot) Keep(ctx context.Context) error {
	for n := 1; ; n++ {
		p, err := s.start(fmt.Sprintf("%s.%d", s.Name, n))
		if err != nil || p == nil {
			return err
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			err = p.Signal(syscall.SIGKILL)
			<-p.done
		}
		s.Recorder.Write(history.Event{What: history.Died, Target: p.Name, PID: p.PID(), Note: p.how})
		if err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(50*time.Millisecond + rand.N(150*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// start returns nil if the slot was retired.
func (s *Slot) start(name string) (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	args, err := s.Args(name)
	if err != nil {
		return nil, err
	}
	p, err := launch(name, s.Program, args, filepath.Join(s.LogDir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s.Recorder.Write(history.Event{What: history.Born, Target: name, PID: p.PID()})
	s.current = p
	return p, nil
}

// Retire keeps the slot from starting another process and returns the one that
// is left, which may have ended.
func (s *Slot) Retire() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.current
}

// Take reserves a slot that nobody else has reserved, whose process has been up
// for a while, and returns the process; nil if it is not so. Give it back.
func (s *Slot) Take(age time.Duration) *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || s.closed || s.current == nil || s.current.age() < age {
		return nil
	}
	s.busy = true
	return s.current
}

// Give ends what Take began.
func (s *Slot) Give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
}

// Up reports whether the slot's process is up and nobody has reserved it.
func (s *Slot) Up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.busy && s.current != nil && s.current.age() > 0
}
