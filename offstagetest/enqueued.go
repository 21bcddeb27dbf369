package offstagetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// Found is a job that a store holds, with its arguments decoded.
type Found[A any] struct {
	offstage.JobInfo
	Args A // decoded; Facts.Args has the JSON
}

// Enqueued returns all jobs of A's kind that the store holds, whatever became
// of them, oldest first. It fails the test if the store cannot be read or
// arguments cannot be decoded.
func Enqueued[A offstage.Args](tb testing.TB, store offstage.Store) []Found[A] {
	tb.Helper()
	var kind A
	var found []Found[A]
	filter := offstage.Filter{Kind: kind.Kind(), Limit: 1000}
	for {
		page, err := store.List(tb.Context(), filter)
		if err != nil {
			tb.Fatalf("list jobs of kind %s: %v", filter.Kind, err)
		}
		for _, info := range page.Jobs {
			job := Found[A]{JobInfo: info}
			if err := json.Unmarshal(info.Args, &job.Args); err != nil {
				tb.Fatalf("the args of job %d are not a %T: %v", info.ID, job.Args, err)
			}
			found = append(found, job)
		}
		if page.Next == "" {
			slices.Reverse(found)
			return found
		}
		filter.After = page.Next
	}
}

// RequireEnqueued ends the test unless the store holds exactly one job that
// Enqueue(ctx, args, options...) would have made, and returns it: its arguments
// are the same JSON and it has what the options ask for. What they leave open
// may be anything. Tags and metadata are looked for among the job's own; its
// time is compared only while it was never started.
func RequireEnqueued[A offstage.Args](tb testing.TB, store offstage.Store, args A, options ...offstage.Option) Found[A] {
	tb.Helper()
	want := wanted(tb, args, options)
	all := Enqueued[A](tb, store)
	var found []Found[A]
	for _, job := range all {
		if differs(want, job.JobInfo) == "" {
			found = append(found, job)
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%d jobs of kind %s are as wanted, not one, with args %s%s", len(found), want.Kind, want.Args, tell(want, all))
	}
	return found[0]
}

// RequireNotEnqueued ends the test if the store holds any job of A's kind.
func RequireNotEnqueued[A offstage.Args](tb testing.TB, store offstage.Store) {
	tb.Helper()
	if found := Enqueued[A](tb, store); len(found) > 0 {
		tb.Fatalf("%d jobs of kind %s were enqueued; the first is %d with args %s", len(found), found[0].Kind, found[0].ID, found[0].Facts.Args)
	}
}

// wanted makes what the options ask for; what they leave open is empty, or
// priority -1.
func wanted(tb testing.TB, args offstage.Args, options []offstage.Option) offstage.NewJob {
	tb.Helper()
	encoded, err := json.Marshal(args)
	if err != nil {
		tb.Fatalf("args: %v", err)
	}
	want := offstage.NewJob{Kind: args.Kind(), Priority: -1, Args: encoded}
	for _, option := range options {
		if err := option(&want); err != nil {
			tb.Fatalf("option: %v", err)
		}
	}
	return want
}

// differs names the first thing in which a job is not as wanted.
func differs(want offstage.NewJob, got offstage.JobInfo) string {
	started := got.Run > 0
	switch {
	case !bytes.Equal(compact(want.Args), compact(got.Args)):
		return "args"
	case want.Queue != "" && want.Queue != got.Queue:
		return "queue " + got.Queue
	case want.Priority >= 0 && want.Priority != got.Priority:
		return fmt.Sprintf("priority %d", got.Priority)
	case want.MaxAttempts != 0 && want.MaxAttempts != got.MaxAttempts:
		return fmt.Sprintf("max attempts %d", got.MaxAttempts)
	case want.Timeout != 0 && want.Timeout != got.Timeout:
		return fmt.Sprintf("timeout %s", got.Timeout)
	case want.Unique != nil && !bytes.Equal(want.Unique.Key, got.UniqueKey):
		return "unique key"
	case !started && !want.RunAt.IsZero() && want.RunAt.Sub(got.RunAt).Abs() > time.Microsecond:
		return fmt.Sprintf("run at %s", got.RunAt)
	case !started && want.Delay != 0 && (got.RunAt.Sub(got.CreatedAt)-want.Delay).Abs() > time.Microsecond:
		return fmt.Sprintf("delay %s", got.RunAt.Sub(got.CreatedAt))
	}
	for _, tag := range want.Tags {
		if !slices.Contains(got.Tags, tag) {
			return "no tag " + tag
		}
	}
	for key, value := range want.Metadata {
		if got.Metadata[key] != value {
			return fmt.Sprintf("metadata %s=%q", key, got.Metadata[key])
		}
	}
	return ""
}

// tell says what there is, and what is wrong with it.
func tell[A any](want offstage.NewJob, found []Found[A]) string {
	if len(found) == 0 {
		return "; there are none of this kind"
	}
	var b strings.Builder
	b.WriteString("; of this kind there are")
	for i, job := range found {
		if i == 10 {
			fmt.Fprintf(&b, "\n\tand %d more", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "\n\tjob %d, %s, args %.200s", job.ID, job.State, job.Facts.Args)
		if problem := differs(want, job.JobInfo); problem != "" {
			b.WriteString(": differs in " + problem)
		}
	}
	return b.String()
}

// compact returns JSON without insignificant space, or what is not JSON as it
// is.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}
