package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/spf13/cobra"
)

func (p *program) jobsCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "jobs",
		Short: "Look at jobs and operate on them",
		Example: `  offstage jobs list --state failed --since 24h
  offstage jobs show 1234
  offstage jobs retry 1234 1235`,
		RunE: needVerb,
	}
	group.AddCommand(p.listCommand(), p.showCommand())
	for _, verb := range []jobVerb{
		{"retry", "Make failed, cancelled, completed or retrying jobs ready at once", "retried", (*offstage.Client).Retry},
		{"cancel", "Cancel jobs that wait or run", "cancelled", (*offstage.Client).Cancel},
		{"run-now", "Put waiting jobs in front of their queue", "moved to the front", (*offstage.Client).RunNow},
		{"delete", "Remove jobs that do not run, with their history", "deleted", deleteJob},
	} {
		group.AddCommand(p.verbCommand(verb))
	}
	return group
}

// listFlags are the flags of jobs list, as they were given.
type listFlags struct {
	state, kind, queue, tag, since, until, after string
	limit                                        int
}

func (p *program) listCommand() *cobra.Command {
	var flags listFlags
	command := &cobra.Command{
		Use:   "list",
		Short: "List jobs, newest first",
		Long: `List jobs, newest first. With --state ready they come in the order in which they
will start, queue by queue; with --state failed or cancelled by the time of their
end, latest first. A page that is not the last ends with the cursor of the
next, for --after.`,
		Example: `  offstage jobs list --state failed --since 24h
  offstage jobs list --kind build_report --tag nightly --limit 200 --json`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(command *cobra.Command, _ []string) error { return p.list(command.Context(), flags) },
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&flags.state, "state", "", "only jobs in this `state`: "+stateNames())
	set.StringVar(&flags.kind, "kind", "", "only jobs of this `kind`")
	set.StringVar(&flags.queue, "queue", "", "only jobs of this `queue`")
	set.StringVar(&flags.tag, "tag", "", "only jobs with this `tag`")
	set.StringVar(&flags.since, "since", "", "enqueued at this `time` or later: 2026-01-31T15:04:05Z, 2026-01-31, or 90m for so long ago")
	set.StringVar(&flags.until, "until", "", "enqueued before this `time`")
	set.IntVar(&flags.limit, "limit", 50, "the most jobs to list, from 1 to 1000")
	set.StringVar(&flags.after, "after", "", "the `cursor` that the page before ended with")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (f listFlags) filter() (filter offstage.Filter, err error) {
	filter = offstage.Filter{Kind: f.kind, Queue: f.queue, Tag: f.tag, Limit: f.limit, After: f.after}
	if f.limit < 1 || f.limit > 1000 {
		return filter, usage("--limit: %d is not from 1 to 1000", f.limit)
	}
	if f.state != "" {
		if filter.State, err = offstage.ParseState(f.state); err != nil {
			return filter, usage("--state: %q is not one of %s", f.state, stateNames())
		}
	}
	if filter.Since, err = parseMoment("since", f.since); err != nil {
		return filter, err
	}
	filter.Until, err = parseMoment("until", f.until)
	return filter, err
}

func (p *program) list(ctx context.Context, flags listFlags) error {
	filter, err := flags.filter()
	if err != nil {
		return err
	}
	return p.withClient(ctx, func(client *offstage.Client) error {
		page, err := client.List(ctx, filter)
		if err != nil {
			return err
		}
		if p.json {
			if page.Jobs == nil {
				page.Jobs = []offstage.JobInfo{}
			}
			return writeJSON(p.stdout, page)
		}
		return p.printPage(page)
	})
}

func (p *program) printPage(page offstage.Page) error {
	rows := make([][]string, len(page.Jobs))
	for i, job := range page.Jobs {
		rows[i] = []string{
			job.ID.String(), stateOf(job), plain(job.Kind), plain(job.Queue),
			strconv.Itoa(job.Run), moment(job.CreatedAt), short(plain(trouble(job)), 80),
		}
	}
	if err := table(p.stdout, []string{"JOB", "STATE", "KIND", "QUEUE", "ATTEMPT", "ENQUEUED", "ERROR"}, rows); err != nil {
		return err
	}
	switch {
	case page.Next == "" && len(page.Jobs) == 0:
		fmt.Fprintln(p.stderr, "No jobs here.")
	case page.Next != "" && len(page.Jobs) == 0:
		fmt.Fprintf(p.stderr, "None among the %d jobs looked at; go on with --after %s\n", page.Looked, page.Next)
	case page.Next != "":
		fmt.Fprintf(p.stderr, "There are more: go on with --after %s\n", page.Next)
	}
	return nil
}

// stateOf returns a job's state and what is special about it.
func stateOf(job offstage.JobInfo) string {
	switch {
	case job.CancelAsked:
		return job.State.String() + ", cancelling"
	case job.Lost > 0:
		return job.State.String() + ", worker died"
	}
	return job.State.String()
}

// trouble returns the error of the latest attempt that ended; that a job put
// itself off is none.
func trouble(job offstage.JobInfo) string {
	if job.Outcome == offstage.OutcomeSnoozed {
		return ""
	}
	return job.Error
}

// jobVerb is something that is done to single jobs.
type jobVerb struct {
	name  string
	short string
	done  string // what has been done, for people
	do    func(*offstage.Client, context.Context, offstage.ID) (offstage.State, error)
}

// deleteJob makes a delete look like the other verbs.
func deleteJob(client *offstage.Client, ctx context.Context, id offstage.ID) (offstage.State, error) {
	return 0, client.Delete(ctx, id)
}

func (p *program) verbCommand(verb jobVerb) *cobra.Command {
	command := &cobra.Command{
		Use:     verb.name + " JOB...",
		Short:   verb.short,
		Example: "  offstage jobs " + verb.name + " 1234 1235",
		Args:    arguments(1, -1, "the ids of jobs"),
		RunE: func(command *cobra.Command, args []string) error {
			return p.operate(command.Context(), verb, args)
		},
	}
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

// operated is what became of one job.
type operated struct {
	ID    offstage.ID     `json:"id"`
	State *offstage.State `json:"state"` // null: it was deleted, or nothing was done
	Error *string         `json:"error"`
}

// operate does the verb to each job, also when one before it failed.
func (p *program) operate(ctx context.Context, verb jobVerb, args []string) error {
	ids := make([]offstage.ID, len(args))
	for i, arg := range args {
		var err error
		if ids[i], err = offstage.ParseID(arg); err != nil {
			return err
		}
	}
	return p.withClient(ctx, func(client *offstage.Client) error {
		var failure error
		all := make([]operated, len(ids))
		for i, id := range ids {
			state, err := verb.do(client, ctx, id)
			all[i].ID = id
			if err != nil {
				text := message(err)
				all[i].Error, failure = &text, errSaid
				fmt.Fprintf(p.stderr, "job %d: %s\n", id, strings.TrimPrefix(text, fmt.Sprintf("job %d ", id)))
				continue
			}
			if state != 0 {
				all[i].State = &state
			}
			if !p.json {
				fmt.Fprintf(p.stdout, "job %d: %s\n", id, verb.result(state))
			}
		}
		if p.json {
			return errors.Join(writeJSON(p.stdout, all), failure)
		}
		return failure
	})
}

// result says what has been done to a job that now is in the state.
func (v jobVerb) result(state offstage.State) string {
	switch {
	case v.name == "cancel" && state == offstage.Running:
		return "is running and was asked to stop"
	case state == 0 || state.String() == v.done:
		return v.done
	}
	return v.done + ", now " + state.String()
}
