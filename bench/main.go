// Command bench measures Offstage, its floor and other job queues side by side,
// in one run on the same server:
//
//	go run . [--json] [--quick] [--only SCENARIO,…] [--systems NAME,…] [--charts DIR] [--profile DIR]
//	go run . --from results.json,… [--charts DIR]
//
// It starts a durable PostgreSQL (fsync and synchronous_commit on) and whatever
// else the systems need from what is installed, names what is missing and goes
// on without it. Each measurement begins with an empty database and a warm-up;
// systems take turns within each round of a scenario; what is published is the
// median. Standard output is the result, standard error the progress.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 4 && os.Args[1] == "agent" {
		// The conductor ends its agents itself, also after a Ctrl-C.
		if err := serveAgent(context.WithoutCancel(ctx), os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench agent:", err)
			os.Exit(1)
		}
		return
	}
	switch err := conduct(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errUsage means that the command line is wrong.
var errUsage = errors.New("wrong usage")

// conduct reads the command line, measures and writes the results.
func conduct(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.json, "json", false, "write only JSON to standard output, no table and no charts")
	flags.BoolVar(&o.quick, "quick", false, "measure briefly: at most 5 minutes for three systems")
	flags.BoolVar(&o.tiny, "tiny", false, "try whether everything works; the figures mean nothing")
	flags.StringVar(&o.only, "only", "", "the `scenarios` to measure, by comma: "+strings.Join(scenarioKeys(), ", "))
	flags.StringVar(&o.systems, "systems", "", "the `systems` to measure, by comma: "+strings.Join(systemNames(), ", ")+
		" (default: all; with -quick offstage,floor,river)")
	flags.StringVar(&o.charts, "charts", "", "a `folder` for SVG charts (default ../docs/benchmarks, none with -json, -quick or -tiny)")
	flags.StringVar(&o.from, "from", "", "measure nothing: show the results in these `files`, by comma, that --json wrote")
	flags.StringVar(&o.profile, "profile", "", "a `folder` for CPU profiles of Go systems and PostgreSQL's dearest statements")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: %q is not a flag", errUsage, flags.Arg(0))
	}
	b, err := newBench(o)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if o.from != "" {
		for _, path := range list(o.from) {
			if err := b.results.load(path); err != nil {
				return err
			}
		}
		return b.publish(out)
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	return b.publish(out)
}

// options are the command line.
type options struct {
	json, quick, tiny                    bool
	only, systems, charts, from, profile string
}

// list splits a list of names.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}
