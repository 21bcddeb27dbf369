package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
	"github.com/spf13/cobra"
)

func (p *program) scheduleListCommand() *cobra.Command {
	var after string
	var limit int
	command := &cobra.Command{
		Use:     "list",
		Short:   "List schedules by name",
		Example: "  offstage schedule list --json",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(command *cobra.Command, _ []string) error {
			if limit < 1 || limit > 1000 {
				return usage("--limit: %d is not from 1 to 1000", limit)
			}
			return p.withClient(command.Context(), func(client *offstage.Client) error {
				schedules, err := client.Schedules(command.Context(), after, limit)
				if err != nil {
					return err
				}
				return p.printSchedules(schedules, limit)
			})
		},
	}
	command.Flags().IntVar(&limit, "limit", 200, "the most schedules to list, from 1 to 1000")
	command.Flags().StringVar(&after, "after", "", "the `name` that the page before ended with")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (p *program) printSchedules(schedules []offstage.ScheduleInfo, limit int) error {
	if p.json {
		if schedules == nil {
			schedules = []offstage.ScheduleInfo{}
		}
		return writeJSON(p.stdout, schedules)
	}
	rows := make([][]string, len(schedules))
	for i := range schedules {
		s := &schedules[i]
		rows[i] = []string{
			plain(s.Name), scheduleState(s), short(plain(s.Expression), 60), plain(s.Zone), plain(s.Job.Kind), nextOf(s), moment(s.LastRun),
			strconv.FormatInt(s.Runs, 10), ownerOf(s),
		}
	}
	if err := table(p.stdout, []string{"NAME", "STATE", "EXPRESSION", "ZONE", "KIND", "NEXT", "LAST", "RUNS", "FROM"}, rows); err != nil {
		return err
	}
	switch {
	case len(schedules) == 0:
		fmt.Fprintln(p.stderr, "No schedules here.")
	case len(schedules) == limit:
		fmt.Fprintf(p.stderr, "There may be more: go on with --after %s\n", plain(schedules[limit-1].Name))
	}
	return nil
}

// nextOf says when a schedule is due next, also before a worker has looked at it.
func nextOf(s *offstage.ScheduleInfo) string {
	switch {
	case s.Paused || !s.LeftAt.IsZero():
		return moment(time.Time{})
	case s.AtStart():
		return "at a start"
	case !s.NextTick.IsZero() || s.LookAt.IsZero():
		return moment(s.NextTick)
	}
	e, err := worker.ExpressionOf(s)
	if err != nil {
		return moment(time.Time{})
	}
	next, _ := e.Next(time.Now())
	return moment(next)
}

// scheduleState says whether a schedule is switched on.
func scheduleState(s *offstage.ScheduleInfo) string {
	switch {
	case !s.LeftAt.IsZero():
		return "left the " + plain(s.Source)
	case s.Paused:
		return "paused"
	case s.Problem != "":
		return "not understood"
	case s.LookAt.IsZero() && !s.AtStart():
		return "over"
	}
	return "on"
}

func ownerOf(s *offstage.ScheduleInfo) string {
	return strings.TrimSpace(plain(s.Source + " " + s.Owner))
}

func (p *program) scheduleShowCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a schedule in words, with its next ticks",
		Example: "  offstage schedule show nightly",
		Args:    arguments(1, 1, "the NAME of a schedule"),
		RunE: func(command *cobra.Command, args []string) error {
			return p.showSchedule(command.Context(), args[0])
		},
	}
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

// shownSchedule is a schedule with what its expression means.
type shownSchedule struct {
	offstage.ScheduleInfo
	Explanation string      `json:"explanation"`
	Ticks       []time.Time `json:"ticks"` // the next ones
}

func (p *program) showSchedule(ctx context.Context, name string) error {
	return p.withClient(ctx, func(client *offstage.Client) error {
		info, err := client.Schedule(ctx, name)
		if err != nil {
			return err
		}
		shown := shownSchedule{ScheduleInfo: info, Ticks: []time.Time{}}
		if e, err := worker.ExpressionOf(&info); err != nil {
			shown.Problem = err.Error()
		} else {
			shown.Explanation = e.Explain()
			if !info.LookAt.IsZero() {
				for tick := range e.Ticks(time.Now()) {
					if shown.Ticks = append(shown.Ticks, tick); len(shown.Ticks) == 5 {
						break
					}
				}
			}
		}
		if p.json {
			return writeJSON(p.stdout, shown)
		}
		return p.printSchedule(shown)
	})
}

func (p *program) printSchedule(s shownSchedule) error {
	lines := [][2]string{
		{"schedule", s.Name}, {"state", scheduleState(&s.ScheduleInfo)}, {"from", ownerOf(&s.ScheduleInfo)}, {"description", s.Description},
		{"tags", strings.Join(s.Tags, ", ")}, {"expression", s.Expression}, {"meaning", s.Explanation}, {"problem", s.Problem},
		{"job", s.Job.Kind + " in queue " + s.Job.Queue + ", priority " + strconv.Itoa(s.Job.Priority)}, {"args", string(s.Job.Args)},
		{"missed", string(s.Missed)}, {"overlap", string(s.Overlap)}, {"jitter", durationOf(s.Jitter)},
		{"start", momentOf(s.Start)}, {"end", momentOf(s.End)}, {"runs", runsOf(&s.ScheduleInfo)}, {"last tick", momentOf(s.LastTick)},
	}
	for _, tick := range s.Ticks {
		lines = append(lines, [2]string{"next", tick.Format("Mon 2006-01-02 15:04:05 -07:00") + " (" + fromNow(tick) + ")"})
	}
	var rows [][]string
	for _, line := range lines {
		if line[1] != "" {
			rows = append(rows, []string{line[0], plain(line[1])})
		}
	}
	return table(p.stdout, rows[0], rows[1:])
}

func durationOf(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func momentOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return moment(t)
}

func runsOf(s *offstage.ScheduleInfo) string {
	if s.MaxRuns == 0 {
		return strconv.FormatInt(s.Runs, 10)
	}
	return fmt.Sprintf("%d of %d", s.Runs, s.MaxRuns)
}

func (p *program) scheduleHistoryCommand() *cobra.Command {
	var limit int
	var before string
	command := &cobra.Command{
		Use:     "history NAME",
		Short:   "List the latest ticks of a schedule: what they did, how late, and how their jobs stand",
		Example: "  offstage schedule history nightly --limit 20",
		Args:    arguments(1, 1, "the NAME of a schedule"),
		RunE: func(command *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return usage("--limit: %d is not from 1 to 1000", limit)
			}
			bound, err := parseMoment("before", before)
			if err != nil {
				return err
			}
			return p.withClient(command.Context(), func(client *offstage.Client) error {
				ticks, err := client.ScheduleHistory(command.Context(), args[0], bound, limit)
				if err != nil {
					return err
				}
				return p.printTicks(ticks)
			})
		},
	}
	command.Flags().IntVar(&limit, "limit", 20, "the most ticks to list, from 1 to 1000")
	command.Flags().StringVar(&before, "before", "", "only ticks before this `time`")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

// shownTick is a tick with how late it was.
type shownTick struct {
	offstage.TickInfo
	Lateness time.Duration   `json:"lateness"`
	State    *offstage.State `json:"state"` // null: there is no job, or it is gone
}

func (p *program) printTicks(ticks []offstage.TickInfo) error {
	shown, rows := make([]shownTick, len(ticks)), make([][]string, len(ticks))
	for i, tick := range ticks {
		shown[i] = shownTick{TickInfo: tick, Lateness: max(tick.SeenAt.Sub(tick.At), 0)}
		job, state, how := "-", "-", string(tick.Outcome)
		if tick.Job != 0 {
			job, state = tick.Job.String(), "gone"
		}
		if tick.State != 0 {
			shown[i].State, state = &ticks[i].State, tick.State.String()
		}
		if tick.Manual {
			how += " by hand"
		}
		rows[i] = []string{moment(tick.At), how, shown[i].Lateness.Round(time.Millisecond).String(), job, state}
	}
	if p.json {
		return writeJSON(p.stdout, shown)
	}
	if len(ticks) == 0 {
		fmt.Fprintln(p.stderr, "No ticks yet.")
	}
	return table(p.stdout, []string{"TICK", "DID", "LATE BY", "JOB", "STATE"}, rows)
}
