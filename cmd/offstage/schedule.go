package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/spf13/cobra"
)

func (p *program) scheduleCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "schedule",
		Short: "Look at schedules, make and change them, say when they are due",
		Example: `  offstage schedule next "every weekday at 9:00" --tz Europe/Berlin
  offstage schedule add nightly "every day at 4:30" build_report --queue low_priority
  offstage schedule history nightly`,
		Args: cobra.ArbitraryArgs,
		RunE: needVerb,
	}
	group.AddCommand(p.scheduleNextCommand(), p.scheduleListCommand(), p.scheduleShowCommand(), p.scheduleHistoryCommand(),
		p.scheduleAddCommand(), p.scheduleEditCommand(), p.scheduleRunCommand(), p.scheduleImportCommand(), p.scheduleExportCommand())
	for _, verb := range []scheduleVerb{
		{"pause", "Switch schedules off; their jobs go on", "paused", (*offstage.Client).PauseSchedule},
		{"resume", "Switch paused schedules on again; the ticks of the meantime are not made up for", "resumed", (*offstage.Client).ResumeSchedule},
		{"remove", "Remove schedules with their history; their jobs stay", "removed", (*offstage.Client).RemoveSchedule},
	} {
		group.AddCommand(p.scheduleVerbCommand(verb))
	}
	return group
}

// scheduleVerb is something that is done to single schedules.
type scheduleVerb struct {
	name, short, done string
	do                func(*offstage.Client, context.Context, string) error
}

func (p *program) scheduleVerbCommand(verb scheduleVerb) *cobra.Command {
	command := &cobra.Command{
		Use:     verb.name + " NAME...",
		Short:   verb.short,
		Example: "  offstage schedule " + verb.name + " nightly",
		Args:    arguments(1, -1, "the names of schedules"),
		RunE: func(command *cobra.Command, names []string) error {
			return p.operateSchedules(command.Context(), verb, names)
		},
	}
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

// operatedSchedule is what became of one schedule.
type operatedSchedule struct {
	Name  string  `json:"name"`
	Error *string `json:"error"`
}

// operateSchedules does the verb to each schedule, also when one before it failed.
func (p *program) operateSchedules(ctx context.Context, verb scheduleVerb, names []string) error {
	return p.withClient(ctx, func(client *offstage.Client) error {
		var failure error
		all := make([]operatedSchedule, len(names))
		for i, name := range names {
			all[i].Name = name
			err := verb.do(client, ctx, name)
			if err != nil {
				text := message(err)
				all[i].Error = &text
				if failure == nil || codeOf(failure) != exitUsage {
					failure = err
				}
				fmt.Fprintf(p.stderr, "schedule %s: %s\n", plain(name), strings.TrimPrefix(text, "schedule: "))
			} else if !p.json {
				fmt.Fprintf(p.stdout, "schedule %s: %s\n", plain(name), verb.done)
			}
		}
		if p.json {
			if err := writeJSON(p.stdout, all); err != nil {
				return err
			}
		}
		if failure != nil {
			return said(failure)
		}
		return nil
	})
}

// said marks an error as printed; its exit code stays.
func said(err error) error { return fmt.Errorf("%w: %w", errSaid, err) }

func (p *program) scheduleRunCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "run NAME",
		Short:   "Enqueue a schedule's job now, beside its ticks",
		Example: "  offstage schedule run nightly",
		Args:    arguments(1, 1, "the NAME of a schedule"),
		RunE: func(command *cobra.Command, args []string) error {
			return p.withClient(command.Context(), func(client *offstage.Client) error {
				receipt, err := client.RunSchedule(command.Context(), args[0])
				if err != nil {
					return err
				}
				return p.printReceipt(receipt)
			})
		},
	}
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}
