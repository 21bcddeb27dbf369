//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/offstagehq/offstage/internal/chaos/checker"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/internal/chaos/load"
	"github.com/offstagehq/offstage/internal/chaos/plan"
	"github.com/offstagehq/offstage/worker"
)

// The exit codes.
const (
	clean  = 0
	broken = 1 // a promise, or a fault that did not strike
	failed = 2 // the campaign itself
)

// config is what the command line asks for.
type config struct {
	store              string
	counts             map[string]int // how often each fault is to strike
	span               time.Duration
	seed               uint64
	lease, grace       time.Duration // lease 0: the product's default
	workers, producers int
	rate               float64
	unknown            int
	only               []string
	dir                string
	json               bool
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		os.Exit(child(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	var report *checker.Report
	var events []history.Event
	asJSON := false
	if len(args) == 2 && args[0] == "check" {
		var err error
		if events, report, err = check(args[1]); err != nil {
			return failed, err
		}
	} else {
		cfg, err := parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return failed, nil
		}
		if err != nil {
			return failed, err
		}
		asJSON = cfg.json
		if events, report, err = runCampaign(ctx, cfg); err != nil {
			return failed, err
		}
	}
	if err := show(report, events, asJSON); err != nil {
		return failed, err
	}
	if len(report.Violations) > 0 {
		return broken, fmt.Errorf("%d violations; seed %d", len(report.Violations), report.Seed)
	}
	return clean, nil
}

func parse(args []string) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.StringVar(&cfg.store, "store", load.SQLite, "sqlite or postgres")
	kills := flags.Int("kills", 10, "how many kill -9; of all faults, when none of them is such a kill")
	flags.DurationVar(&cfg.span, "for", 0, "the time over which the faults are spread; 0: 1.5 s for each")
	flags.Uint64Var(&cfg.seed, "seed", 0, "what chance comes from; 0: something new")
	faults := flags.String("faults", "", "the faults, separated by commas; empty: all that the store can be struck by")
	flags.BoolVar(&cfg.json, "json", false, "print the report on one line")
	flags.DurationVar(&cfg.lease, "lease", time.Second, "the workers' lease; 0: the product's default")
	flags.DurationVar(&cfg.grace, "grace", time.Second, "the workers' grace period")
	flags.IntVar(&cfg.workers, "workers", 4, "worker processes")
	flags.IntVar(&cfg.producers, "producers", 2, "producer processes")
	flags.Float64Var(&cfg.rate, "rate", 100, "enqueues a second, of all producers")
	flags.IntVar(&cfg.unknown, "unknown", 0, "how many unknown commits of enqueue, and of completion, pg-cut-commit goes on for")
	deploys := flags.Int("deploys", 0, "short for --faults term-deploy --kills N")
	only := flags.String("only", "", "the kinds of jobs, separated by commas; empty: all")
	flags.StringVar(&cfg.dir, "dir", "", "a new directory in which the history is kept; empty: nowhere")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if *deploys > 0 {
		*faults, *kills = plan.TermDeploy, *deploys
	}
	if cfg.store != load.SQLite && cfg.store != load.Postgres {
		return cfg, load.ErrStore
	}
	list, err := plan.Parse(*faults, cfg.store == load.Postgres)
	if err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 || cfg.workers < 3 || cfg.producers < 1 || cfg.rate <= 0 {
		return cfg, errors.New("no arguments; at least 3 workers and 1 producer, and a rate above 0")
	}
	if *only != "" {
		cfg.only = strings.Split(*only, ",")
	}
	cfg.fill(list, *kills)
	return cfg, nil
}

// fill decides what was left open.
func (cfg *config) fill(faults []string, kills int) {
	cfg.counts = plan.Counts(faults, kills)
	if cfg.unknown > 0 {
		cfg.counts[plan.PgCutCommit] = 1
	}
	strikes := 0
	for _, n := range cfg.counts {
		strikes += n
	}
	if cfg.span == 0 {
		cfg.span = time.Duration(strikes) * 1500 * time.Millisecond
	}
	if cfg.seed == 0 {
		cfg.seed = rand.Uint64()
	}
}

// rules are what the checker has to know of the campaign.
func (cfg config) rules() checker.Rules {
	rules := checker.Rules{
		Store: cfg.store, Seed: cfg.seed, Lease: cfg.lease, Grace: cfg.grace,
		Kinds: load.Kinds(), Faults: map[string]int{},
	}
	if rules.Lease == 0 {
		rules.Lease = worker.DefaultLease
	}
	for fault, n := range cfg.counts {
		rules.Faults[fault] = n
	}
	if _, ok := cfg.counts[plan.PgCutCommit]; ok {
		delete(rules.Faults, plan.PgCutCommit)
		rules.Faults[cutEnqueue], rules.Faults[cutFinish] = max(cfg.unknown, 1), max(cfg.unknown, 1)
	}
	return rules
}

// show prints the report, and on standard error what was broken.
func show(report *checker.Report, events []history.Event, line bool) error {
	printViolations(os.Stderr, report, events)
	out := json.NewEncoder(os.Stdout)
	if !line {
		out.SetIndent("", "  ")
	}
	return out.Encode(report)
}
