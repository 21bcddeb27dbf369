package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/spf13/cobra"
)

// enqueueFlags are the flags of enqueue, as they were given.
type enqueueFlags struct {
	queue       string
	priority    int
	at          string
	after       time.Duration
	tags        []string
	metadata    map[string]string
	maxAttempts int
	timeout     time.Duration

	unique        string
	uniqueKey     string
	uniqueArgs    []string
	uniquePeriod  time.Duration
	uniqueWait    time.Duration
	uniqueMaxWait time.Duration
}

func (p *program) enqueueCommand() *cobra.Command {
	var flags enqueueFlags
	command := &cobra.Command{
		Use:   "enqueue KIND ['JSON' | -]",
		Short: "Enqueue a job",
		Long: `Enqueue a job of a kind. Its arguments are JSON, {} if not given; - reads them
from standard input. When the command ends with 0, the job is durable.`,
		Example: `  offstage enqueue send_mail '{"to":"a@example.org"}' --store app.db
  offstage enqueue build_index --queue low_priority --after 10m --tag nightly
  generate | offstage enqueue import - --unique skip --unique-key import-2026`,
		Args: arguments(1, 2, "KIND and perhaps its arguments as JSON"),
		RunE: func(command *cobra.Command, args []string) error { return p.enqueue(command, args, flags) },
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&flags.queue, "queue", offstage.DefaultQueue, "the `queue` that the job joins")
	set.IntVar(&flags.priority, "priority", offstage.DefaultPriority, "from 0 (first) to 9 (last) inside the queue")
	set.StringVar(&flags.at, "at", "", "not before this `time`, as 2026-01-31T15:04:05Z")
	set.DurationVar(&flags.after, "after", 0, "not before so much time has passed, as 90m")
	set.StringArrayVar(&flags.tags, "tag", nil, "a label to filter by; may be repeated")
	set.StringToStringVar(&flags.metadata, "metadata", nil, "a note of the application's, as `key=value`; may be repeated")
	set.Lookup("metadata").DefValue = "" // it is shown as [] otherwise
	set.IntVar(&flags.maxAttempts, "max-attempts", 0, "how many attempts may fail (default: as the kind says)")
	set.DurationVar(&flags.timeout, "timeout", 0, "limit of each attempt (default: as the kind says)")
	set.StringVar(&flags.unique, "unique", "", "do not enqueue it twice; the `mode` is skip, replace, debounce or keep_last")
	set.StringVar(&flags.uniqueKey, "unique-key", "", "what makes it the same job (default: its arguments)")
	set.StringSliceVar(&flags.uniqueArgs, "unique-args", nil, "the fields of its arguments that make it the same job")
	set.DurationVar(&flags.uniquePeriod, "unique-period", 0, "at most one job in so much time")
	set.DurationVar(&flags.uniqueWait, "unique-wait", 0, "debounce: the time of quiet to wait for")
	set.DurationVar(&flags.uniqueMaxWait, "unique-max-wait", 0, "debounce: the longest wait (default: 10 × the wait)")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (p *program) enqueue(command *cobra.Command, args []string, flags enqueueFlags) error {
	raw, err := p.jobArgs(args[1:])
	if err != nil {
		return err
	}
	options, err := flags.options(command.Flags().Changed)
	if err != nil {
		return err
	}
	return p.withClient(command.Context(), func(client *offstage.Client) error {
		receipt, err := client.Enqueue(command.Context(), offstage.Named(args[0], raw), options...)
		if err != nil {
			return err
		}
		return p.printReceipt(receipt)
	})
}

func (p *program) printReceipt(receipt *offstage.Receipt) error {
	if p.json {
		return writeJSON(p.stdout, map[string]any{"id": receipt.ID, "existed": receipt.Existed})
	}
	text := "enqueued as job %d\n"
	if receipt.Existed {
		text = "there already as job %d\n"
	}
	_, err := fmt.Fprintf(p.stdout, text, receipt.ID)
	return err
}

// jobArgs returns the arguments of the job, byte for byte as they were given.
func (p *program) jobArgs(args []string) (json.RawMessage, error) {
	switch {
	case len(args) == 0:
		return json.RawMessage("{}"), nil
	case args[0] != "-":
		return checkedJSON([]byte(args[0]))
	}
	raw, err := io.ReadAll(io.LimitReader(p.stdin, offstage.MaxArgs+2))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return checkedJSON(bytes.TrimRight(raw, "\n"))
}

func checkedJSON(raw []byte) (json.RawMessage, error) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil && len(raw) <= offstage.MaxArgs {
		return nil, usage("the job's arguments are not JSON: %v", err)
	}
	return raw, nil
}

// options returns what the flags ask for.
func (f enqueueFlags) options(changed func(string) bool) ([]offstage.Option, error) {
	options := []offstage.Option{offstage.InQueue(f.queue), offstage.Priority(f.priority), offstage.Tags(f.tags...)}
	for key, value := range f.metadata {
		options = append(options, offstage.Metadata(key, value))
	}
	if changed("at") && changed("after") {
		return nil, usage("give --at or --after, not both")
	}
	if changed("at") {
		at, err := time.Parse(time.RFC3339Nano, f.at)
		if err != nil {
			return nil, usage("--at: %q is not a time such as 2026-01-31T15:04:05Z", f.at)
		}
		options = append(options, offstage.At(at))
	}
	if changed("after") {
		if f.after < 0 {
			return nil, usage("--after: %s is negative", f.after)
		}
		options = append(options, offstage.After(f.after))
	}
	if changed("max-attempts") {
		options = append(options, offstage.MaxAttempts(f.maxAttempts))
	}
	if changed("timeout") {
		options = append(options, offstage.Timeout(f.timeout))
	}
	unique, err := f.uniqueOption(changed)
	if unique != nil {
		options = append(options, unique)
	}
	return options, err
}

var uniqueModes = []offstage.UniqueMode{offstage.Skip, offstage.Replace, offstage.Debounce, offstage.KeepLast}

func (f enqueueFlags) uniqueOption(changed func(string) bool) (offstage.Option, error) {
	if !changed("unique") {
		for _, flag := range []string{"unique-key", "unique-args", "unique-period", "unique-wait", "unique-max-wait"} {
			if changed(flag) {
				return nil, usage("--%s needs --unique, one of %s", flag, modeNames())
			}
		}
		return nil, nil
	}
	for _, mode := range uniqueModes {
		if f.unique == mode.String() {
			return offstage.Unique(offstage.UniqueRule{
				Mode: mode, Key: f.uniqueKey, ByArgs: f.uniqueArgs,
				Period: f.uniquePeriod, Wait: f.uniqueWait, MaxWait: f.uniqueMaxWait,
			}), nil
		}
	}
	return nil, usage("--unique: %q is not one of %s", f.unique, modeNames())
}

func modeNames() string {
	var names []string
	for _, mode := range uniqueModes {
		names = append(names, mode.String())
	}
	return strings.Join(names, ", ")
}
