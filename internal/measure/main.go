//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// measurement is one promise and how it is measured.
type measurement struct {
	name, about string
	postgres    bool // it makes sense on PostgreSQL only
	run         func(ctx context.Context, g *ground, out *report) error
}

var measurements = []measurement{
	{"depth", "1,000,000 ready jobs: at least 90% of the rate and at most 1.5 times the p99 of 1,000", false, measureDepth},
	{"idle", "an idle process for a minute, 1 and 50 queues: under 0.2% of a core, at most 3 statements a second", false, measureIdle},
	{"schedules", "the same with 10,000 schedules, none of them due", false, measureSchedules},
	{"due", "1,000 schedules that are due in the same second, each minute, are enqueued within that second", false, measureDue},
	{"start", "a job of another process starts within 20 ms on SQLite, 50 ms on PostgreSQL", false, measureStart},
	{"cancel", "a running job of another process is cancelled within 2 s", false, measureCancel},
	{"fair", "4 processes of 10 slots, 100,000 jobs of 1 ms: none does more than 1.5 times another", false, measureFair},
	{"narrow", "1,000 slots, 50 queues, 2 database connections: every promise holds", false, measureNarrow},
	{"killed", "a worker killed with 100 running jobs: all run again within 10 s, none finishes twice", false, measureKilled},
	{"priority", "2,000 low jobs, then 10 high: own pool within 100 ms, shared pool strictly first", false, measurePriority},
	{"steps", "what it costs to remember a step, and to save a cursor", false, measureSteps},
	{"waits", "100,000 jobs that sleep or wait: no slot, no claim, no growth of the claim; each wakes within 1 s", false, measureWaits},
	{"outage", "the server stopped twice under load, once for 20 s: nothing lost, cancelled or run twice", true, measureOutage},
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		os.Exit(child(os.Args[2]))
	}
	if len(os.Args) == 2 && os.Args[1] == awakeCommand {
		fmt.Fprintln(os.Stderr, "measure:", awake())
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(2)
	case missed > 0:
		fmt.Fprintf(os.Stderr, "measure: %d limits were missed\n", missed)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (missed int, err error) {
	flags := flag.NewFlagSet("measure", flag.ContinueOnError)
	store := flags.String("store", sqliteStore, "sqlite or postgres")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: measure --store sqlite|postgres [CASE...]")
		for _, m := range measurements {
			fmt.Fprintf(os.Stderr, "  %-10s%s\n", m.name, m.about)
		}
	}
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if *store != sqliteStore && *store != postgresStore {
		return 0, fmt.Errorf("--store: %q is not one of %s, %s", *store, sqliteStore, postgresStore)
	}
	chosen, err := choose(flags.Args(), *store)
	if err != nil {
		return 0, err
	}
	out := &report{}
	for _, m := range chosen {
		if err := measure(ctx, m, *store, out); err != nil {
			return out.missed, fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return out.missed, nil
}

// choose returns the measurements of these names, all that the store has if
// there are none.
func choose(names []string, store string) ([]measurement, error) {
	var chosen []measurement
	for _, m := range measurements {
		if m.postgres && store != postgresStore {
			if slices.Contains(names, m.name) {
				return nil, fmt.Errorf("%s is for --store postgres", m.name)
			}
			continue
		}
		if len(names) == 0 || slices.Contains(names, m.name) {
			chosen = append(chosen, m)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(m measurement) bool { return m.name == name }) {
			return nil, fmt.Errorf("there is no case %q; --help lists them", name)
		}
	}
	return chosen, nil
}

// measure takes one measurement on a new database.
func measure(ctx context.Context, m measurement, store string, out *report) (err error) {
	fmt.Printf("%s, %s: %s\n", m.name, strings.ToLower(store), m.about)
	g, err := newGround(ctx, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	return m.run(ctx, g, out)
}
