// Command offstage operates Offstage's stores and shows what it does.
//
//	offstage demo       a small web service with its workers; open the address that it prints
//	offstage jobs       list, show, retry, cancel, delete jobs, or run them now
//	offstage enqueue    enqueue a job
//	offstage schedule   look at schedules, make and change them; say when an expression is due
//	offstage worker     run the commands and calls that a file allows, by the file's schedules
//	offstage migrate    bring a store's schema up to date, or print it
//	offstage version    what this program is
//
// It exits with 0 when it is done, 1 when it failed, and 2 when it was used
// wrongly or given input that cannot be right.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is one run of the command.
type program struct {
	getenv func(string) string
	hurry  <-chan struct{} // closed when a stop shall wait for nothing; nil: never
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	store  string // the flag --store
	schema string // the flag --schema
	json   bool   // the flag --json
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	hurry := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		close(hurry)
		signal.Stop(signals) // a third one ends the process whatever it does
	}()
	p := &program{getenv: os.Getenv, hurry: hurry}
	os.Exit(p.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Run carries out a command line, without the program's name, and returns the
// exit code.
func (p *program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	stderr = &oneAtATime{to: stderr}
	p.stdin, p.stdout, p.stderr = stdin, stdout, stderr
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	code := codeOf(err)
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(stderr, "offstage: %s\n", byFlag(command, err))
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "See “%s --help”.\n", command.CommandPath())
	}
	return code
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "offstage",
		Short: "Background jobs for Go web applications",
		Long: `Offstage runs the background side of a web application: work that happens
offstage while the user watches the stage.

“offstage demo” shows it. The other commands look at a store and operate on it.`,
		Example: `  offstage demo
  offstage jobs list --store app.db --state failed
  OFFSTAGE_STORE=postgres://localhost/app offstage jobs retry 1234`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // needVerb says what is wrong with them
		RunE:          needVerb,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err.Error()} })
	root.AddCommand(p.demoCommand(), p.jobsCommand(), p.enqueueCommand(), p.scheduleCommand(), p.workerCommand(), p.migrateCommand(), p.versionCommand())
	return root
}

// needVerb is what a command does that only groups others.
func needVerb(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		command.SetOut(command.ErrOrStderr())
		return errors.Join(command.Help(), errSaid, &usageError{})
	}
	command.SuggestionsMinimumDistance = 2
	problem := fmt.Sprintf("%q is not a command of %q", args[0], command.CommandPath())
	if near := command.SuggestionsFor(args[0]); len(near) > 0 {
		problem += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{problem}
}

// usageError is a command line that cannot be right, in words for its author.
type usageError struct{ problem string }

// Error returns the problem.
func (e *usageError) Error() string { return e.problem }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errSaid marks an error about which everything has been printed.
var errSaid = errors.New("said")

// codeOf is the one table from errors to exit codes.
func codeOf(err error) int {
	var (
		wrong   *usageError
		invalid *offstage.InvalidError
		parse   *schedule.ParseError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &wrong), errors.As(err, &invalid), errors.As(err, &parse):
		return exitUsage
	}
	return exitFailed
}

// oneAtATime lets the demo's parts write messages at the same time.
type oneAtATime struct {
	mu sync.Mutex
	to io.Writer // guarded by mu
}

// Write writes p while no other write goes on.
func (w *oneAtATime) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// arguments returns a check of the number of arguments.
func arguments(least, most int, usageText string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usage("expected %s, got %s", usageText, countedArguments(len(args)))
		}
		return nil
	}
}

func countedArguments(n int) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "one"
	}
	return fmt.Sprint(n)
}
