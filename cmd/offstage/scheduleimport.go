package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/importing"
	"github.com/spf13/cobra"
)

// importFlags are the flags of schedule import, as they were given.
type importFlags struct {
	format, zone, goOut, goPackage, configOut string
	dryRun                                    bool
}

func (p *program) scheduleImportCommand() *cobra.Command {
	var flags importFlags
	command := &cobra.Command{
		Use:   "import FILE",
		Short: "Make schedules of a crontab, of whenever's, sidekiq's or Solid Queue's file",
		Long: `Read a crontab, whenever's schedule.rb, the YAML of sidekiq-scheduler or
sidekiq-cron, or Solid Queue's recurring.yml, and make schedules of it. Each entry
is shown beside its meaning here, with a warning where the original does not do
what it says. Ruby is read as text and never executed: what is beyond plain
declarations is refused with its line, and the rest is done.

A class, runner or rake task becomes the kind of its name in snake_case; --go-out
writes a Go file with a handler to fill in for each. Commands and addresses are
listed, but not stored: --config-out writes a file by which “offstage worker” runs
them.`,
		Example: `  offstage schedule import config/schedule.rb --dry-run
  offstage schedule import config/sidekiq.yml --tz Europe/Berlin --go-out jobs/imported.go
  crontab -l | offstage schedule import - --format crontab --dry-run`,
		Args: arguments(1, 1, "the FILE to read; - is standard input"),
		RunE: func(command *cobra.Command, args []string) error {
			return p.importSchedules(command.Context(), args[0], flags)
		},
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&flags.format, "format", "", "`crontab`, whenever, sidekiq-scheduler, sidekiq-cron or solid-queue (default: by the file's name)")
	set.StringVar(&flags.zone, "tz", "UTC", "the `zone` of entries that name none: that of the server where they ran")
	set.BoolVar(&flags.dryRun, "dry-run", false, "show what would be made, and make nothing; needs no store")
	set.StringVar(&flags.goOut, "go-out", "", "write a Go `file` with the handlers to fill in; it must not be there")
	set.StringVar(&flags.configOut, "config-out", "", "write the commands and addresses to a `file` for “offstage worker”; it must not be there")
	set.StringVar(&flags.goPackage, "go-package", "imported", "the `package` of that file")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

// importedEntry is an entry with what became of it.
type importedEntry struct {
	importing.Entry
	Stored bool    `json:"stored"`
	Error  *string `json:"error"`
}

// imported is what schedule import answers.
type imported struct {
	Format  string              `json:"format"`
	Entries []importedEntry     `json:"entries"`
	Refused []importing.Refusal `json:"refused"`
	Ignored []importing.Refusal `json:"ignored"`
}

func (p *program) importSchedules(ctx context.Context, path string, flags importFlags) error {
	if flags.format == "" {
		if path == "-" {
			return usage("--format: standard input has no name to tell the format by")
		}
		flags.format = importing.Guess(path)
	}
	data, err := p.readFile(path)
	if err != nil {
		return err
	}
	result, err := importing.Read(flags.format, data, flags.zone)
	if err != nil {
		return usage("%s: %v", path, err)
	}
	answer := imported{Format: flags.format, Entries: []importedEntry{}, Refused: append([]importing.Refusal{}, result.Refused...), Ignored: append([]importing.Refusal{}, result.Ignored...)}
	for _, e := range result.Entries {
		answer.Entries = append(answer.Entries, importedEntry{Entry: e})
	}
	if flags.dryRun {
		err = writeFiles(flags, result.Entries)
	} else {
		err = p.withClient(ctx, func(client *offstage.Client) error {
			if err := writeFiles(flags, result.Entries); err != nil {
				return err
			}
			return storeEntries(ctx, client, answer.Entries)
		})
	}
	if err != nil {
		return err
	}
	return p.printImported(path, answer, flags.dryRun)
}

// readFile reads a file, or standard input, up to a little more than is allowed.
func (p *program) readFile(path string) ([]byte, error) {
	from := p.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usage("%v", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		from = file
	}
	return io.ReadAll(io.LimitReader(from, importing.MaxFile+1))
}

// writeFiles writes the files that the flags name.
func writeFiles(flags importFlags, entries []importing.Entry) error {
	if flags.goOut != "" {
		text, err := importing.GoFile(flags.goPackage, entries)
		if err != nil {
			return usage("--go-package: %v", err)
		}
		if err := writeNew(flags.goOut, text); err != nil {
			return usage("--go-out: %v", err)
		}
	}
	if flags.configOut != "" {
		text, err := importing.ConfigFile(entries)
		if err != nil {
			return usage("--config-out: %v", err)
		}
		if err := writeNew(flags.configOut, text); err != nil {
			return usage("--config-out: %v", err)
		}
	}
	return nil
}

// writeNew writes a file that must not be there.
func writeNew(path string, text []byte) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.Write(text)
	return err
}

// storeEntries makes the schedules of the entries that a handler can run. One whose
// name is taken by another is left alone.
func storeEntries(ctx context.Context, client *offstage.Client, entries []importedEntry) error {
	for i := range entries {
		e := &entries[i]
		if !e.Runs() {
			continue
		}
		s := e.schedule()
		known, err := client.Schedule(ctx, s.Name)
		switch {
		case err == nil && (known.Expression != s.Expression || known.Zone != s.Zone || known.Job.Kind != s.Job.Kind):
			text := "there is another schedule of this name: " + known.Expression
			e.Error = &text
			continue
		case err == nil:
			e.Stored = true
			continue
		case !errors.Is(err, offstage.ErrNoSchedule):
			return err
		}
		if err = client.SaveSchedule(ctx, s); err == nil && e.Off {
			err = client.PauseSchedule(ctx, s.Name)
		}
		var invalid *offstage.InvalidError
		switch {
		case errors.As(err, &invalid):
			text := message(err)
			e.Error = &text
		case err != nil:
			return err
		default:
			e.Stored = true
		}
	}
	return nil
}

func (e *importedEntry) schedule() offstage.Schedule {
	s := offstage.Schedule{
		Name: e.Name, Expression: e.Expression, Zone: e.Zone, Description: e.Description,
		Job: offstage.TickJob{Kind: e.Kind, Queue: offstage.DefaultQueue, Priority: offstage.DefaultPriority, Args: e.Args},
	}
	if e.Queue != "" {
		s.Job.Queue = e.Queue
	}
	if len(s.Job.Args) == 0 {
		s.Job.Args = []byte("{}")
	}
	return s
}

// printImported shows what was read. What was refused or failed is the exit code's
// business.
func (p *program) printImported(path string, answer imported, dry bool) error {
	failed := len(answer.Refused) > 0
	for _, e := range answer.Entries {
		failed = failed || e.Error != nil
	}
	if p.json {
		if err := writeJSON(p.stdout, answer); err != nil {
			return err
		}
	} else if err := p.listImported(answer, dry); err != nil {
		return err
	}
	for _, r := range answer.Refused {
		fmt.Fprintf(p.stderr, "%s:%d: refused: %s: %s\n", plain(path), r.Line, plain(r.Text), plain(r.Problem))
	}
	if failed {
		return errSaid
	}
	return nil
}

func (p *program) listImported(answer imported, dry bool) error {
	for _, e := range answer.Entries {
		lines := []string{
			fmt.Sprintf("line %d: %s", e.Line, plain(e.Original)),
			fmt.Sprintf("  schedule %s: %s: %s", plain(e.Name), plain(e.Expression), plain(e.Meaning)),
		}
		switch {
		case e.Error != nil:
			lines = append(lines, "  not stored: "+*e.Error)
		case e.Kind == importing.CommandKind:
			lines = append(lines, "  not stored: a command, for “offstage worker” (see --config-out): "+plain(string(e.Args)))
		case e.Kind == importing.HTTPKind:
			lines = append(lines, "  not stored: an address, for “offstage worker” (see --config-out): "+plain(string(e.Args)))
		case dry:
			lines = append(lines, "  would enqueue jobs of the kind "+e.Kind)
		default:
			lines = append(lines, "  enqueues jobs of the kind "+e.Kind)
		}
		for _, w := range e.Warnings {
			lines = append(lines, "  warning: "+plain(w))
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(p.stdout, line); err != nil {
				return err
			}
		}
	}
	return nil
}
