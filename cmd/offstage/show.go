package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/spf13/cobra"
)

func (p *program) showCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "show JOB",
		Short:   "Show a job with its history",
		Example: "  offstage jobs show 1234\n  offstage jobs show 1234 --json",
		Args:    arguments(1, 1, "the id of a job"),
		RunE: func(command *cobra.Command, args []string) error {
			id, err := offstage.ParseID(args[0])
			if err != nil {
				return err
			}
			return p.show(command.Context(), id)
		},
	}
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (p *program) show(ctx context.Context, id offstage.ID) error {
	return p.withClient(ctx, func(client *offstage.Client) error {
		job, err := client.Get(ctx, id)
		if err != nil {
			return fmt.Errorf("job %d: %w", id, err)
		}
		if p.json {
			if job.Attempts == nil {
				job.Attempts = []offstage.Attempt{}
			}
			return writeJSON(p.stdout, job)
		}
		_, err = fmt.Fprint(p.stdout, details(job))
		return err
	})
}

// details writes a job for people.
func details(job offstage.Details) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s  %s\n", name, indentRest(fmt.Sprintf(format, args...), 12))
	}
	line("job", "%d", job.ID)
	line("state", "%s", stateOf(job.JobInfo))
	line("kind", "%s", plain(job.Kind))
	line("queue", "%s, priority %d", plain(job.Queue), job.Priority)
	line("enqueued", "%s", moment(job.CreatedAt))
	if job.State.Waiting() {
		line("due", "%s", moment(job.RunAt))
	}
	if job.Waits != "" {
		line("waits for", "%s", plain(job.Waits))
	}
	line("attempts", "%d, %d failed, %d lost in a row", job.Run, job.Errors, job.Lost)
	if p := job.Progress; p != nil {
		line("progress", "%d of %d %s", p.Done, p.Total, plain(p.Message))
	}
	for _, tag := range job.Tags {
		line("tag", "%s", plain(tag))
	}
	for key, value := range job.Metadata {
		line("metadata", "%s=%s", plain(key), plain(value))
	}
	line("args", "%s", short(plain(string(job.Args)), 2000))
	if len(job.Result) > 0 {
		line("result", "%s", short(plain(string(job.Result)), 2000))
	}
	for _, step := range job.Steps {
		line(step.Kind.String(), "%s", stepText(step))
	}
	for _, attempt := range job.Attempts {
		b.WriteString("\n" + attemptText(attempt))
	}
	return b.String()
}

// stepText is what a job remembers of a step.
func stepText(step offstage.StepInfo) string {
	text := fmt.Sprintf("%s, attempt %d", plain(step.Name), step.Run)
	if step.Tries > 1 {
		text += fmt.Sprintf(", try %d", step.Tries)
	}
	switch step.Kind {
	case offstage.StepDone:
		text += fmt.Sprintf(", %s, took %s", moment(step.FinishedAt), span(step.FinishedAt.Sub(step.StartedAt)))
	case offstage.StepSleep:
		text += ", until " + moment(step.WakeAt)
	default:
		text += ", " + moment(step.FinishedAt)
	}
	if len(step.Value) > 0 {
		text += "\n" + short(plain(string(step.Value)), 2000)
	}
	return text
}

func attemptText(attempt offstage.Attempt) string {
	var b strings.Builder
	fmt.Fprintf(&b, "attempt %d   %s", attempt.Run, outcomeText(attempt.Outcome))
	if attempt.Outcome.String() != attempt.Next.String() {
		fmt.Fprintf(&b, ", then %s", attempt.Next)
	}
	b.WriteString("\n")
	switch {
	case attempt.StartedAt.IsZero():
		fmt.Fprintf(&b, "  ended     %s, never started\n", moment(attempt.FinishedAt))
	case attempt.Outcome == offstage.OutcomeLost:
		fmt.Fprintf(&b, "  claimed   %s, found dead after %s\n", moment(attempt.StartedAt), span(attempt.FinishedAt.Sub(attempt.StartedAt)))
	default:
		fmt.Fprintf(&b, "  started   %s, took %s\n", moment(attempt.StartedAt), span(attempt.FinishedAt.Sub(attempt.StartedAt)))
	}
	if attempt.Worker != 0 {
		fmt.Fprintf(&b, "  worker    %d\n", attempt.Worker)
	}
	if attempt.Error != "" {
		fmt.Fprintf(&b, "  error     %s\n", indentRest(plainLines(attempt.Error), 12))
	}
	if attempt.Trace != "" {
		fmt.Fprintf(&b, "  stack     %s\n", indentRest(plainLines(attempt.Trace), 12))
	}
	var lines []offstage.LogLine
	if len(attempt.Log) > 0 && json.Unmarshal(attempt.Log, &lines) != nil {
		b.WriteString("  log       cannot be read\n")
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "  log       %s %s %s\n", line.Time.UTC().Format("15:04:05.000"), line.Level, plain(strings.TrimSpace(line.Message+" "+line.Attrs)))
	}
	return b.String()
}

func outcomeText(outcome offstage.Outcome) string {
	if outcome == offstage.OutcomeLost {
		return "lost (its worker died)"
	}
	return outcome.String()
}

// indentRest puts all lines but the first under the first.
func indentRest(text string, width int) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", width))
}
