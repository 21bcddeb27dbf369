package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/builtin"
	"github.com/offstagehq/offstage/worker"
	"github.com/spf13/cobra"
)

func (p *program) workerCommand() *cobra.Command {
	var path string
	command := &cobra.Command{
		Use:   "worker --config FILE",
		Short: "Run the commands and calls that a file allows, by the file's schedules",
		Long: `Run jobs of the kinds “command” and “http”, as far as a file allows them, and
declare the schedules of that file: so Offstage stands in for a crontab. Jobs of
other kinds are left to the application's own workers.

The file is TOML. It names programs (whole paths and arguments, which no shell
reads), addresses, and schedules. A schedule that leaves the file is switched off.`,
		Example: `  offstage worker --config server.toml --store jobs.db`,
		Args:    arguments(0, 0, "no argument"),
		RunE:    func(command *cobra.Command, _ []string) error { return p.runWorker(command.Context(), path) },
	}
	command.Flags().StringVar(&path, "config", "", "the `file` that says what is allowed")
	p.storeFlag(command)
	return command
}

func (p *program) runWorker(ctx context.Context, path string) error {
	if path == "" {
		return usage("--config: a file is needed that says what is allowed")
	}
	data, err := p.readFile(path)
	if err != nil {
		return err
	}
	config, err := builtin.Read(path, data)
	if err != nil {
		return usage("%s: %v", path, err)
	}
	schedules, err := config.All()
	if err != nil {
		return usage("%s: %v", path, err)
	}
	at, err := p.place()
	if err != nil {
		return err
	}
	store, err := at.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(p.work(ctx, store, config, schedules), store.Close())
}

// work declares the schedules and works until ctx ends.
func (p *program) work(ctx context.Context, store offstage.Store, config *builtin.Config, schedules []offstage.Schedule) error {
	if err := offstage.NewClient(store).DeclareFileSchedules(ctx, config.Owner, schedules...); err != nil {
		return err
	}
	pool := worker.Pool{Queues: config.Queues, Slots: config.Slots}
	if len(pool.Queues) == 0 {
		pool.Queues = []string{offstage.DefaultQueue}
	}
	w, err := worker.New(store, worker.Config{Pools: []worker.Pool{pool}, Logger: slog.New(slog.NewTextHandler(p.stderr, nil))})
	if err != nil {
		return err
	}
	config.Register(w)
	if _, err := fmt.Fprintf(p.stdout, "schedules declared: %d; working until Ctrl-C\n", len(schedules)); err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-p.hurry:
			w.Stop(true)
		case <-ended:
		}
	}()
	return w.Run(ctx)
}
