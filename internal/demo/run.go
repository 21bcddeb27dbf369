package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/worker"
)

// DefaultMaxUpload is the largest upload when nothing else is said.
const DefaultMaxUpload = 1 << 30

// Grace is how long running jobs may go on when the demo stops. They are short,
// or begin again without harm.
const Grace = 5 * time.Second

// Role says which part a process plays. The zero value plays all.
type Role string

// The roles.
const (
	RoleAll    Role = "all"    // the web pages and a worker
	RoleWeb    Role = "web"    // the web pages; jobs wait for a worker
	RoleWorker Role = "worker" // a worker, without pages
)

// Roles lists every role.
func Roles() []Role { return []Role{RoleAll, RoleWeb, RoleWorker} }

// Config says what the demo runs on. Store, Tables, Dir and, unless the role is
// worker, Listener are needed.
type Config struct {
	Store     offstage.Store // open and migrated; the caller closes it afterwards
	Tables    *Tables        // in the store's database
	Dir       string         // a folder that exists; the demo keeps to a subfolder of its own
	Listener  net.Listener   // for the pages; Run closes it
	Role      Role
	MaxUpload int64 // bytes of one upload; 0: DefaultMaxUpload
	// MailAfter is how long after a report's end its page has time to be seen before
	// a mail is sent; 0: DefaultMailAfter.
	MailAfter time.Duration
	Logger    *slog.Logger // nil: slog.Default()
	// Hurry, when it is closed, cancels what a stop still waits for. nil: never.
	Hurry <-chan struct{}
}

func (c Config) withDefaults() Config {
	if c.Role == "" {
		c.Role = RoleAll
	}
	if c.MaxUpload == 0 {
		c.MaxUpload = DefaultMaxUpload
	}
	if c.MailAfter == 0 {
		c.MailAfter = DefaultMailAfter
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Run serves the demo until ctx ends, and returns when all of it has ended. An
// error means that it could not start, or that a part of it broke.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if cfg.Listener != nil {
		defer func() { _ = cfg.Listener.Close() }() // serve has done so, unless it was not reached
	}
	s, err := newService(ctx, cfg)
	if err != nil && ctx.Err() != nil {
		return nil // told to stop before it had started
	}
	if err != nil {
		return err
	}
	var parts []part
	if cfg.Role != RoleWorker {
		s.localOnly, s.address = IsLoopback(cfg.Listener.Addr()), addressOf(cfg.Listener.Addr())
		parts = append(parts, func(ctx context.Context) error { return serve(ctx, cfg.Listener, s.routes(), cfg.Logger) })
	}
	if cfg.Role != RoleWeb {
		parts = append(parts, func(ctx context.Context) error { return s.work(ctx, cfg) })
	}
	return s.withDevices(ctx, func(ctx context.Context) error {
		return s.withInbox(ctx, func(ctx context.Context) error { return together(ctx, parts) })
	})
}

// withDevices simulates the devices while do runs. Each process has the same
// ones: their memory is in the folder that the processes share.
func (s *service) withDevices(ctx context.Context, do func(context.Context) error) error {
	fleet, err := device.New(device.Options{Dir: s.files.devices(), Faults: device.Unreliable(), Seed: 1})
	if err != nil {
		return err
	}
	listener, url, err := device.Listen()
	if err != nil {
		return errors.Join(err, fleet.Close())
	}
	transport := &http.Transport{MaxIdleConnsPerHost: deviceSlots}
	s.devicesURL, s.devices = url, device.Client{HTTP: &http.Client{Transport: transport}, Timeout: deviceTimeout}

	// Detached: the last jobs still need their devices after ctx has ended.
	devices, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- fleet.Serve(devices, listener) }()
	err = do(ctx)
	transport.CloseIdleConnections()
	stop()
	return errors.Join(err, <-served, fleet.Close())
}

// part is something that runs until its context ends.
type part func(context.Context) error

// together runs the parts until ctx ends or one of them breaks, and returns when
// all have ended.
func together(ctx context.Context, parts []part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(parts))
	var group sync.WaitGroup
	for i, run := range parts {
		group.Go(func() {
			if errs[i] = run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

const (
	// deviceSlots is how many commands are sent at once.
	deviceSlots = 16
	// deviceTimeout is how long a call may take; devices sometimes never answer.
	deviceTimeout = 2 * time.Second
)

// work runs the jobs. Two lines decide what goes first: high_priority has a pool
// of its own, and comes first in the pool that it shares with low_priority.
func (s *service) work(ctx context.Context, cfg Config) error {
	w, err := worker.New(cfg.Store, worker.Config{
		Pools: []worker.Pool{
			{Name: "high", Queues: []string{highQueue}, Slots: highJobs},
			{Name: "shared", Queues: []string{highQueue, lowQueue}, Slots: sharedSlots},
			{Name: "reports", Queues: []string{"reports"}, Slots: 4},
			{Name: "devices", Queues: []string{"devices"}, Slots: deviceSlots},
			{Name: "billing", Queues: []string{"billing"}, Slots: billsAtOnce},
			{Name: "default", Queues: []string{offstage.DefaultQueue}, Slots: 4},
		},
		Grace:  Grace,
		Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	worker.HandleResult(w, s.buildReport)
	worker.HandleResult(w, s.sendCommand, worker.Retry(commandRetry))
	worker.HandleResult(w, s.mailReport)
	worker.Handle(w, s.archiveReading, worker.Keep(offstage.Retention{Completed: time.Hour}))
	worker.Handle(w, s.raiseAlert)
	worker.Handle(w, s.cleanUploads)
	billing := biller{tables: s.tables, devices: s.devices, url: s.devicesURL, at: func(offstage.ID, string) {}}
	worker.Handle(w, billing.bill, worker.Retry(billRetry))
	worker.Handle(w, s.billMonth)
	worker.Handle(w, s.sendDigest)
	worker.HandleResult(w, s.reportUploads)
	worker.Handle(w, s.refreshSearch, worker.Keep(offstage.Retention{Completed: time.Hour})) // one a minute
	if err := s.client.DeclareSchedules(ctx, scheduleOwner, ownSchedules()...); err != nil && ctx.Err() == nil {
		return fmt.Errorf("declare the schedules: %w", err)
	}
	ended := make(chan struct{})
	hurried := make(chan struct{})
	go func() {
		defer close(hurried)
		select {
		case <-cfg.Hurry:
			w.Stop(true)
		case <-ended:
		}
	}()
	err = w.Run(ctx)
	close(ended)
	<-hurried
	return err
}
