package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
	"github.com/spf13/cobra"
)

// scheduleFlags are the flags of schedule add and edit, as they were given.
type scheduleFlags struct {
	expression, kind, args string // edit

	zone, description, queue, missed, overlap string
	start, end, anchor                        string
	tags, jobTags                             []string
	priority, maxAttempts                     int
	timeout, missedWindow, jitter             time.Duration
	maxRuns                                   int64
}

func (f *scheduleFlags) bind(command *cobra.Command) {
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&f.zone, "tz", "UTC", "the `zone` of an expression that names none, as Europe/Berlin")
	set.StringVar(&f.description, "description", "", "a text for people")
	set.StringArrayVar(&f.tags, "tag", nil, "a label of the schedule; may be repeated")
	set.StringVar(&f.queue, "queue", offstage.DefaultQueue, "the `queue` that the jobs join")
	set.IntVar(&f.priority, "priority", offstage.DefaultPriority, "of the jobs, from 0 (first) to 9 (last)")
	set.StringArrayVar(&f.jobTags, "job-tag", nil, "a label of the jobs; may be repeated")
	set.IntVar(&f.maxAttempts, "max-attempts", 0, "how many attempts of a job may fail (default: as the kind says)")
	set.DurationVar(&f.timeout, "timeout", 0, "limit of each attempt (default: as the kind says)")
	set.StringVar(&f.missed, "missed", "once", "make up for the latest of missed ticks (`once`), for all, or skip them")
	set.DurationVar(&f.missedWindow, "missed-window", 0, "how old a missed tick may be and still be made up for (default: any age)")
	set.StringVar(&f.overlap, "overlap", "allow", "while an earlier job has not ended: `allow`, skip, queue or cancel")
	set.DurationVar(&f.jitter, "jitter", 0, "let each job start up to so much later")
	set.StringVar(&f.start, "start", "", "no ticks before this `time`")
	set.StringVar(&f.end, "end", "", "no ticks after this `time`")
	set.StringVar(&f.anchor, "anchor", "", "the `time` that an interval counts from (default: now)")
	set.Int64Var(&f.maxRuns, "max-runs", 0, "how many jobs at most (default: no limit)")
}

func (p *program) scheduleAddCommand() *cobra.Command {
	var flags scheduleFlags
	command := &cobra.Command{
		Use:   "add NAME EXPRESSION KIND ['JSON' | -]",
		Short: "Make a schedule",
		Long: `Make a schedule that enqueues a job of a kind whenever the expression is due. The
job's arguments are JSON, {} if not given; - reads them from standard input. See
“offstage schedule next” for expressions.`,
		Example: `  offstage schedule add nightly "every day at 4:30 in Europe/Berlin" build_report '{"days":1}' --overlap skip
  offstage schedule add clean_up "H * * * *" clean_up --queue low_priority`,
		Args: arguments(3, 4, "NAME, EXPRESSION (in quotes) and KIND, and perhaps the job's arguments as JSON"),
		RunE: func(command *cobra.Command, args []string) error {
			return p.addSchedule(command, args, flags)
		},
	}
	flags.bind(command)
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (p *program) addSchedule(command *cobra.Command, args []string, flags scheduleFlags) error {
	raw, err := p.jobArgs(args[3:])
	if err != nil {
		return err
	}
	s := offstage.Schedule{Name: args[0], Job: offstage.TickJob{Kind: args[2], Queue: flags.queue, Priority: flags.priority, Args: raw}}
	if err := flags.setExpression(&s, args[1]); err != nil {
		return err
	}
	if err := flags.apply(&s, command.Flags().Changed); err != nil {
		return err
	}
	return p.withClient(command.Context(), func(client *offstage.Client) error {
		switch _, err := client.Schedule(command.Context(), s.Name); {
		case err == nil:
			return usage("there is a schedule %q already; change it with “offstage schedule edit”", s.Name)
		case codeOf(err) == exitUsage:
			return err
		}
		return p.saveSchedule(command.Context(), client, s)
	})
}

// setExpression gives a schedule an expression, in the zone of the flags unless it
// names one.
func (f *scheduleFlags) setExpression(s *offstage.Schedule, text string) error {
	zone, err := schedule.Zone(f.zone)
	if err != nil {
		return usage("--tz: %v", err)
	}
	e, err := schedule.Parse(text, schedule.In(zone), schedule.Name(s.Name))
	if err != nil {
		return err
	}
	s.Expression, s.Zone = e.String(), e.Zone().String()
	return nil
}

// apply sets what the flags ask for.
func (f *scheduleFlags) apply(s *offstage.Schedule, changed func(string) bool) error {
	for name, set := range map[string]func(){
		"description": func() { s.Description = f.description }, "tag": func() { s.Tags = f.tags },
		"queue": func() { s.Job.Queue = f.queue }, "priority": func() { s.Job.Priority = f.priority },
		"job-tag": func() { s.Job.Tags = f.jobTags }, "max-attempts": func() { s.Job.MaxAttempts = f.maxAttempts },
		"timeout": func() { s.Job.Timeout = f.timeout }, "missed": func() { s.Missed = offstage.Missed(f.missed) },
		"missed-window": func() { s.MissedWindow = f.missedWindow }, "overlap": func() { s.Overlap = offstage.Overlap(f.overlap) },
		"jitter": func() { s.Jitter = f.jitter }, "max-runs": func() { s.MaxRuns = f.maxRuns },
	} {
		if changed(name) {
			set()
		}
	}
	for name, field := range map[string]struct {
		text string
		to   *time.Time
	}{"start": {f.start, &s.Start}, "end": {f.end, &s.End}, "anchor": {f.anchor, &s.Anchor}} {
		if !changed(name) {
			continue
		}
		when, err := momentIn(name, field.text, s.Zone)
		if err != nil {
			return err
		}
		*field.to = when
	}
	return s.Check()
}

// momentIn reads a time; without an offset it is one of a zone's clock. "" is the
// zero time.
func momentIn(flag, text, zone string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	location, err := schedule.Zone(zone)
	if err != nil {
		return time.Time{}, err
	}
	return timeIn(flag, text, location)
}

func (p *program) scheduleEditCommand() *cobra.Command {
	var flags scheduleFlags
	command := &cobra.Command{
		Use:   "edit NAME",
		Short: "Change a schedule that was made by hand",
		Long: `Change what the flags name of a schedule that was made by hand; all else stays.
Ticks that are due already are not lost; those of a new expression count from now.
What a program declares is changed there.`,
		Example: `  offstage schedule edit nightly --expression "every day at 5:00" --overlap queue`,
		Args:    arguments(1, 1, "the NAME of a schedule"),
		RunE: func(command *cobra.Command, args []string) error {
			return p.withClient(command.Context(), func(client *offstage.Client) error {
				return p.editSchedule(command, client, args[0], flags)
			})
		},
	}
	flags.bind(command)
	command.Flags().StringVar(&flags.expression, "expression", "", "when it is due")
	command.Flags().StringVar(&flags.kind, "kind", "", "the `kind` of its jobs")
	command.Flags().StringVar(&flags.args, "args", "", "the arguments of its jobs, as `JSON`")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (p *program) editSchedule(command *cobra.Command, client *offstage.Client, name string, flags scheduleFlags) error {
	info, err := client.Schedule(command.Context(), name)
	if err != nil {
		return err
	}
	s, changed := info.Schedule, command.Flags().Changed
	if changed("expression") || changed("tz") {
		if !changed("tz") {
			flags.zone = s.Zone
		}
		if !changed("expression") {
			flags.expression = s.Expression
		}
		if err := flags.setExpression(&s, flags.expression); err != nil {
			return err
		}
		if changed("tz") && s.Zone != flags.zone {
			return usage("--tz: the expression %q names its own zone, %s", s.Expression, s.Zone)
		}
	}
	if changed("kind") {
		s.Job.Kind = flags.kind
	}
	if changed("args") {
		if s.Job.Args, err = checkedJSON(json.RawMessage(flags.args)); err != nil {
			return err
		}
	}
	if err := flags.apply(&s, changed); err != nil {
		return err
	}
	return p.saveSchedule(command.Context(), client, s)
}

// saveSchedule stores a schedule and shows it.
func (p *program) saveSchedule(ctx context.Context, client *offstage.Client, s offstage.Schedule) error {
	if err := client.SaveSchedule(ctx, s); err != nil {
		return err
	}
	info, err := client.Schedule(ctx, s.Name)
	if err != nil {
		return err
	}
	if p.json {
		return writeJSON(p.stdout, info)
	}
	e, err := worker.ExpressionOf(&info)
	if err != nil {
		return err
	}
	next := "it has no ticks to come"
	if tick, ok := e.Next(time.Now()); ok {
		next = "next " + tick.Format("Mon 2006-01-02 15:04:05 -07:00")
	}
	_, err = fmt.Fprintf(p.stdout, "schedule %s: %s; %s\n", plain(info.Name), e.Explain(), next)
	return err
}
