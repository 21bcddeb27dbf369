//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/internal/chaos/load"
)

// childCommand is the hidden command of the processes that the campaign starts.
const childCommand = "child"

// childOrders say what such a process is to be.
type childOrders struct {
	Role, Name, History string
	Store, At           string
	Lease, Grace        time.Duration
	Rate                float64
	Seed                uint64
	Only                []string
}

// child is the whole life of such a process; it returns the exit code.
func child(text string) int {
	if err := live(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return failed
	}
	return clean
}

func live(text string) (err error) {
	var orders childOrders
	if err := json.Unmarshal([]byte(text), &orders); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	rec, err := history.Create(orders.History, orders.Name, clock, func(err error) {
		fmt.Fprintln(os.Stderr, err)
		die() // what it does from now on nobody would know
	})
	if err != nil {
		return err
	}
	ground, err := load.Open(ctx, orders.Store, orders.At)
	if err != nil {
		return err
	}
	var aside sync.WaitGroup
	watching, endWatching := context.WithCancel(context.Background())
	aside.Go(func() { load.WatchStalls(watching, rec) })
	context.AfterFunc(ctx, func() { rec.Write(history.Event{What: history.Stopping}) })
	fmt.Println("up")
	switch orders.Role {
	case workerRole:
		err = work(ctx, orders, ground, rec)
	case producerRole:
		produce(ctx, orders, ground, rec)
	}
	stopped := history.Event{What: history.Stopped}
	if err != nil {
		stopped.Note = err.Error()
	}
	rec.Write(stopped)
	endWatching()
	aside.Wait()
	return err
}

func work(ctx context.Context, orders childOrders, ground *load.Ground, rec *history.Recorder) error {
	w := &load.Worker{
		Name: orders.Name, Lease: orders.Lease, Grace: orders.Grace, Ground: ground, Recorder: rec,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Die: die, Devour: devour,
	}
	err := w.Run(ctx)
	if err != nil && ctx.Err() != nil {
		// It was told to stop, and names handlers that ignored it: some do.
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	return err
}

// doomOrder on standard input tells a producer to die in its next enqueue.
const doomOrder = "die"

func produce(ctx context.Context, orders childOrders, ground *load.Ground, rec *history.Recorder) {
	doom := make(chan struct{})
	go func() { // ends with the process: a read cannot be called off
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			if lines.Text() == doomOrder {
				close(doom)
				return
			}
		}
	}()
	p := &load.Producer{
		Name: orders.Name, Rate: orders.Rate, Seed: orders.Seed, Only: orders.Only,
		Ground: ground, Recorder: rec, Doom: doom, Die: die,
	}
	p.Run(ctx)
}

// die kills this process as a kill -9 from outside would.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // a process may always kill itself
	select {}
}

// devour uses up what memory this process may have, until the Go runtime gives
// up. The limit is its own, so that the machine is spared.
func devour() {
	var pages uint64
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(statm), &pages) // 0 is a limit as well
	}
	most := pages*uint64(os.Getpagesize()) + 64<<20
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		die()
	}
	var hoard [][]byte
	for {
		hoard = append(hoard, make([]byte, 16<<20))
		runtime.KeepAlive(hoard)
	}
}

// clock is the time that all processes of the machine share.
func clock() (mono, wall int64) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // every Linux has this clock
	}
	return now.Nano(), time.Now().UnixNano()
}
