package main

import "github.com/spf13/cobra"

func (p *program) scheduleCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "schedule",
		Short:   "Say when an expression is due",
		Example: `  offstage schedule next "every weekday at 9:00" --tz Europe/Berlin`,
		Args:    cobra.ArbitraryArgs,
		RunE:    needVerb,
	}
	command.AddCommand(p.scheduleNextCommand())
	return command
}
