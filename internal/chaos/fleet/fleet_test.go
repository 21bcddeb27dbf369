//go:build linux

package fleet

import (
	"context"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/offstagehq/offstage/internal/chaos/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crew is one slot whose processes say that they are up and then run what they
// are told on standard input.
type crew struct {
	*testing.T
	slot  *Slot
	dir   string
	end   context.CancelFunc
	ended chan error
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	dir := t.TempDir()
	rec, err := history.Create(dir, "parent", func() (int64, int64) { now := time.Now().UnixNano(); return now, now }, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	c := &crew{T: t, dir: dir, end: cancel, ended: make(chan error, 1), slot: &Slot{
		Name: "worker-1", Program: "/bin/sh", LogDir: dir, Recorder: rec,
		Args: func(string) ([]string, error) { return []string{"-c", "echo up; exec sh"}, nil },
	}}
	go func() { c.ended <- c.slot.Keep(ctx) }()
	return c
}

// take waits for a process that is up and not the one named.
func (c *crew) take(not string) *Process {
	for {
		if p := c.slot.Take(1); p != nil && p.Name != not {
			return p
		} else if p != nil {
			c.slot.Give()
		}
		runtime.Gosched()
	}
}

// lives lists the births and deaths of a history.
func (c *crew) lives() string {
	c.Helper()
	events, err := history.Read(c.dir)
	if err != nil {
		c.Fatal(err)
	}
	var all []string
	for _, e := range events {
		all = append(all, string(e.What)+" "+e.Target+" "+e.Note)
	}
	return strings.Join(all, "; ")
}

func TestAProcessThatDiesIsFollowedByAnother(t *testing.T) {
	c := newCrew(t)
	first := c.take("")
	if c.slot.Up() || c.slot.Take(0) != nil {
		t.Error("a slot that is taken can be taken again")
	}
	if err := first.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	c.slot.Give()
	second := c.take(first.Name)
	if err := second.Order("exit 7"); err != nil {
		t.Fatal(err)
	}
	<-second.Done()
	if err := second.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
	c.slot.Give()
	c.take(second.Name)
	c.end()
	if err := <-c.ended; err != nil {
		t.Errorf("the slot's end: %v", err)
	}
	want := "born worker-1.1 ; died worker-1.1 signal: killed; born worker-1.2 ; died worker-1.2 exit status 7; " +
		"born worker-1.3 ; died worker-1.3 signal: killed"
	if got := c.lives(); got != want {
		t.Errorf("the history is\n%s\nwant\n%s", got, want)
	}
}

func TestARetiredSlotStartsNoOther(t *testing.T) {
	c := newCrew(t)
	p := c.take("")
	c.slot.Give()
	if last := c.slot.Retire(); last != p {
		t.Errorf("the last process is %v; want %v", last, p)
	}
	if err := p.Order("exit 0"); err != nil {
		t.Fatal(err)
	}
	if err := <-c.ended; err != nil {
		t.Errorf("the slot's end: %v", err)
	}
	if got := c.lives(); got != "born worker-1.1 ; died worker-1.1 exit status 0" {
		t.Errorf("the history is %s", got)
	}
	c.end()
}

func TestWhatCannotBeStartedIsAnError(t *testing.T) {
	c := newCrew(t)
	c.end()
	<-c.ended
	c.slot.Program = "/nothing/here"
	if err := c.slot.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "worker-1.1") {
		t.Errorf("got %v; want an error that names the process", err)
	}
}
