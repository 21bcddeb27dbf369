package main

import (
	"fmt"
	"time"

	"github.com/offstagehq/offstage/schedule"
	"github.com/spf13/cobra"
)

// nextFlags are the flags of schedule next, as they were given.
type nextFlags struct {
	zone  string
	from  string
	name  string
	count int
}

// mostTicks is how many ticks schedule next lists at most.
const mostTicks = 10_000

func (p *program) scheduleNextCommand() *cobra.Command {
	var flags nextFlags
	command := &cobra.Command{
		Use:   "next EXPRESSION",
		Short: "Explain an expression and list its next ticks",
		Long: `Explain an expression and list its next ticks. It is cron ("30 4 * * MON-FRI"),
an interval ("every 40m") or plain language ("first monday of the month at 9:00"),
in quotes.

Ticks lie strictly after --from. Intervals count from there. A zone in the
expression wins over --tz. @reboot has no ticks.`,
		Example: `  offstage schedule next "30 4 * * MON-FRI" --tz Europe/Berlin
  offstage schedule next "every 2 weeks on monday at 9:00" --from 2026-01-05 -n 3
  offstage schedule next "H 4 * * *" --name nightly_report --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("expected one EXPRESSION, got %d; put it in quotes", len(args))
			}
			return arguments(1, 1, "an EXPRESSION in quotes")(nil, args)
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.scheduleNext(args[0], flags) },
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&flags.zone, "tz", "UTC", "the `zone` of an expression that names none, as Europe/Berlin")
	set.StringVar(&flags.from, "from", "", "the `time` after which ticks are listed, as 2026-01-31T15:04:05Z; without an offset, in --tz (default: now)")
	set.IntVarP(&flags.count, "count", "n", 5, "how many ticks")
	set.StringVar(&flags.name, "name", "", "what H and ~ are drawn from (default: the expression)")
	p.jsonFlag(command)
	return command
}

func (p *program) scheduleNext(text string, flags nextFlags) error {
	zone, err := schedule.Zone(flags.zone)
	if err != nil {
		return usage("--tz: %v", err)
	}
	from, err := flags.start(zone)
	if err != nil {
		return err
	}
	if flags.count < 1 || flags.count > mostTicks {
		return usage("-n: %d is not from 1 to %d", flags.count, mostTicks)
	}
	e, err := schedule.Parse(text, schedule.In(zone), schedule.Anchor(from), schedule.Name(flags.name))
	if err != nil {
		return err
	}
	ticks := []time.Time{}
	for tick := range e.Ticks(from) {
		if ticks = append(ticks, tick); len(ticks) == flags.count {
			break
		}
	}
	if p.json {
		return writeJSON(p.stdout, struct {
			Expression  string      `json:"expression"`
			Explanation string      `json:"explanation"`
			Zone        string      `json:"zone"`
			Ticks       []time.Time `json:"ticks"`
		}{text, e.Explain(), e.Zone().String(), ticks})
	}
	if _, err := fmt.Fprintln(p.stdout, e.Explain()); err != nil {
		return err
	}
	for _, tick := range ticks {
		if _, err := fmt.Fprintln(p.stdout, tick.Format("2006-01-02T15:04:05Z07:00 Mon")); err != nil {
			return err
		}
	}
	switch {
	case e.Reboot():
		_, err = fmt.Fprintln(p.stdout, "it has no ticks")
	case len(ticks) == 0:
		_, err = fmt.Fprintln(p.stdout, "it has no ticks after that")
	}
	return err
}

// start returns the time after which ticks are listed: to the second, since
// intervals count from it.
func (f nextFlags) start(zone *time.Location) (time.Time, error) {
	if f.from == "" {
		return time.Now().Truncate(time.Second), nil
	}
	return timeIn("from", f.from, zone)
}

// timeIn reads a time; without an offset it is one of the zone's clock.
func timeIn(flag, text string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--%s: %q is not a time: give 2026-01-31T15:04:05Z, 2026-01-31T15:04 or 2026-01-31", flag, text)
}
