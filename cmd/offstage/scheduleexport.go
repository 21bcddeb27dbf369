package main

import (
	"fmt"
	"path/filepath"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
	"github.com/spf13/cobra"
)

func (p *program) scheduleExportCommand() *cobra.Command {
	var format string
	command := &cobra.Command{
		Use:   "export",
		Short: "Write schedules as a crontab that runs them by this command",
		Long: `Write a crontab whose entries run the schedules by “offstage schedule run”, for a
machine that shall have cron instead of a worker that leads. What a crontab cannot
say is a comment in it, and so is a store whose address has a password: fill it in.
Pause the schedules here, or both will run them.`,
		Example: "  offstage schedule export --format crontab",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(command *cobra.Command, _ []string) error {
			if format != "crontab" {
				return usage("--format: %q is not crontab", format)
			}
			return p.withClient(command.Context(), func(client *offstage.Client) error {
				if err := p.exportStore(); err != nil {
					return err
				}
				zone := ""
				for after := ""; ; {
					page, err := client.Schedules(command.Context(), after, 500)
					if err != nil || len(page) == 0 {
						return err
					}
					for i := range page {
						if err := p.exportSchedule(&page[i], &zone); err != nil {
							return err
						}
					}
					after = page[len(page)-1].Name
				}
			})
		},
	}
	command.Flags().StringVar(&format, "format", "crontab", "what to write: `crontab`")
	p.storeFlag(command)
	return command
}

// exportStore writes where the entries find their store.
func (p *program) exportStore() error {
	at, err := p.place()
	if err != nil {
		return err
	}
	text, err := crontabStore(at)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(p.stdout, text)
	return err
}

// crontabStore returns the settings that name a store in a crontab: cron starts its
// entries in another folder, and in an environment of their own.
func crontabStore(at place) (settings string, err error) {
	if at.file != "" {
		if at.file, err = filepath.Abs(at.file); err != nil {
			return "", err
		}
	}
	settings = storeEnv + "=" + plain(at.String()) + "\n"
	if at.url != "" && at.String() != at.url {
		settings = "# with its password: " + settings
	}
	if at.schema != "" {
		settings += schemaEnv + "=" + plain(at.schema) + "\n"
	}
	return settings, nil
}

// exportSchedule writes an entry, in the zone that was set last or a new one.
func (p *program) exportSchedule(s *offstage.ScheduleInfo, zone *string) error {
	fields, ok := crontabFields(s)
	var text string
	switch {
	case !ok:
		text = fmt.Sprintf("# %s: a crontab cannot say %s (%s)\n", plain(s.Name), plain(s.Expression), plain(s.Zone))
	case s.Paused || !s.LeftAt.IsZero():
		text = fmt.Sprintf("# off: %s offstage schedule run %s\n", fields, plain(s.Name))
	default:
		text = fmt.Sprintf("%s offstage schedule run %s\n", fields, plain(s.Name))
	}
	if ok && s.Zone != *zone {
		*zone, text = s.Zone, "CRON_TZ="+s.Zone+"\n"+text
	}
	_, err := fmt.Fprint(p.stdout, text)
	return err
}

// crontabFields returns the five fields of an expression that cron understands.
func crontabFields(s *offstage.ScheduleInfo) (string, bool) {
	e, err := worker.ExpressionOf(s)
	if err != nil {
		return "", false
	}
	return e.Crontab()
}
