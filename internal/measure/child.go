//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// childCommand is the hidden command of the processes that are measured.
const childCommand = "child"

// orders say what such a process is to be.
type orders struct {
	Store, At string
	Pools     []worker.Pool
	Quiet     bool // it says only how many jobs it ran, at its end
	Schedules int  // that it declares; none is due before New Year
}

// nap is a job that takes its time.
type nap struct {
	Micros int64 `json:"micros"`
	High   bool  `json:"high,omitempty"`
}

// Kind returns "nap".
func (nap) Kind() string { return "nap" }

func napOf(d time.Duration) nap { return nap{Micros: d.Microseconds()} }

// The words of a child's lines.
const (
	wordUp    = "up"
	wordStart = "start" // id, run
	wordEnd   = "end"   // id, run: its time was over
	wordCut   = "cut"   // id, run: its context ended
	wordClaim = "claim" // id: in a claim that began at the line's time
	wordTicks = "ticks" // how many were recorded just now, with their jobs
	wordRan   = "ran"   // how many jobs it ran, at its end
)

// voice writes a child's lines.
type voice struct {
	mu    sync.Mutex
	out   *bufio.Writer
	quiet bool
	ran   int
}

// say writes a line: a word, a moment, up to two numbers.
func (v *voice) say(word string, at time.Time, id offstage.ID, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if word == wordStart {
		v.ran++
	}
	if v.quiet && word != wordUp && word != wordRan {
		return
	}
	fmt.Fprintln(v.out, word, at.UnixNano(), id, n)
	_ = v.out.Flush() // the parent has gone: so will this process
}

// child is the whole life of such a process; it returns the exit code.
func child(text string) int {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	go func() { // a process whose parent has gone goes too
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	v := &voice{out: bufio.NewWriter(os.Stdout), quiet: o.Quiet}
	err := work(ctx, o, v)
	v.say(wordRan, time.Now(), 0, v.ran)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(ctx context.Context, o orders, v *voice) error {
	store, err := open(ctx, o.Store, o.At)
	if err != nil {
		return err
	}
	if !o.Quiet {
		store = spy{store, store.(offstage.Waker), v}
	}
	w, err := worker.New(store, worker.Config{
		Schedules: yearly(o.Schedules), Pools: o.Pools, Grace: time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	worker.Handle(w, func(ctx context.Context, job *offstage.Job[nap]) error {
		v.say(wordStart, time.Now(), job.ID, job.Run)
		select {
		case <-time.After(time.Duration(job.Args.Micros) * time.Microsecond):
			v.say(wordEnd, time.Now(), job.ID, job.Run)
			return nil
		case <-ctx.Done():
			v.say(wordCut, time.Now(), job.ID, job.Run)
			return context.Cause(ctx)
		}
	})
	v.say(wordUp, time.Now(), 0, 0)
	if err := w.Run(ctx); err != nil {
		return err
	}
	return store.Close()
}

// yearly returns schedules that are due once a year, each at a minute of its own.
func yearly(n int) []offstage.Schedule {
	var all []offstage.Schedule
	for i := range n {
		when := schedule.MustParse(fmt.Sprintf("%d %d %d 1 *", i%60, i/60%24, i/1440+1))
		all = append(all, offstage.MustSchedule(fmt.Sprintf("yearly_%05d", i), when, nap{}))
	}
	return all
}

// spy is a store that tells when the claim of each job began, and when ticks had been
// recorded.
type spy struct {
	offstage.Store
	offstage.Waker
	voice *voice
}

// Claim claims, and tells.
func (s spy) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	began := time.Now()
	claim, err := s.Store.Claim(ctx, req)
	for _, job := range claim.Jobs {
		s.voice.say(wordClaim, began, job.ID, job.Run)
	}
	return claim, err
}

// ChangeSchedules changes, and tells.
func (s spy) ChangeSchedules(ctx context.Context, changes []offstage.ScheduleChange) ([]offstage.ScheduleChanged, error) {
	changed, err := s.Store.ChangeSchedules(ctx, changes)
	recorded := 0
	for _, c := range changed {
		recorded += len(c.Jobs)
	}
	if recorded > 0 {
		s.voice.say(wordTicks, time.Now(), 0, recorded)
	}
	return changed, err
}
