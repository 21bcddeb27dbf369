package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// enqueued enqueues a job and returns its id.
func enqueued(t *testing.T, store string, args ...string) offstage.ID {
	t.Helper()
	got := run(t, store, "", append([]string{"enqueue", "--json"}, args...)...)
	if got.code != 0 {
		t.Fatalf("enqueue %v: %+v", args, got)
	}
	return decode[struct{ ID offstage.ID }](t, got.stdout).ID
}

// What the flags say is what the job has.
func TestEnqueue(t *testing.T) {
	store := newStore(t)
	id := enqueued(t, store, "send_mail", `{"to": "a@example.org", "n": 12345678901234567890}`,
		"--queue", "mail", "--priority", "2", "--at", "2031-02-03T04:05:06Z", "--tag", "a b", "--tag", "c",
		"--metadata", "tenant=7", "--max-attempts", "3", "--timeout", "90s")
	job, err := offstage.NewClient(open(t, store)).Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := offstage.Facts{
		ID: id, Kind: "send_mail", Queue: "mail", Priority: 2, Args: json.RawMessage(`{"to": "a@example.org", "n": 12345678901234567890}`),
		MaxAttempts: 3, Timeout: 90 * time.Second, CreatedAt: job.CreatedAt,
		Extra: offstage.Extra{Tags: []string{"a b", "c"}, Metadata: map[string]string{"tenant": "7"}},
	}
	if got, want := fmt.Sprintf("%+v", job.Facts), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("the job is\n%s, want\n%s", got, want)
	}
	if job.State != offstage.Scheduled || !job.RunAt.Equal(time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)) {
		t.Errorf("the job is %s for %s", job.State, job.RunAt)
	}
}

// Arguments come from the command line, from standard input, or are {}.
func TestEnqueueArgs(t *testing.T) {
	store := newStore(t)
	for _, c := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", nil, "{}"},
		{"", []string{"[1,2]"}, "[1,2]"},
		{"{\"big\": 1}\n", []string{"-"}, `{"big": 1}`},
	} {
		got := run(t, store, c.stdin, append([]string{"enqueue", "k", "--json"}, c.args...)...)
		id := decode[struct{ ID offstage.ID }](t, got.stdout).ID
		job := decode[offstage.Details](t, run(t, store, "", "jobs", "show", id.String(), "--json").stdout)
		if compact(t, job.Args) != compact(t, json.RawMessage(c.want)) {
			t.Errorf("with %v and %q the arguments are %s", c.args, c.stdin, job.Args)
		}
	}
	huge := `"` + strings.Repeat("x", offstage.MaxArgs+10) + `"`
	if got := run(t, store, huge, "enqueue", "k", "-"); got.code != exitUsage || !strings.Contains(got.stderr, "1048576") {
		t.Errorf("too long arguments: code %d, %.200s", got.code, got.stderr)
	}
	if got := run(t, store, "", "enqueue", "k", "-"); got.code != exitUsage {
		t.Errorf("empty standard input: %+v", got)
	}
}

func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(value)
}

// A unique job is there once.
func TestEnqueueUnique(t *testing.T) {
	store := newStore(t)
	first := enqueued(t, store, "import", "--unique", "skip", "--unique-key", "2026")
	got := run(t, store, "", "enqueue", "import", "--unique", "skip", "--unique-key", "2026")
	if got.code != 0 || got.stdout != fmt.Sprintf("there already as job %d\n", first) {
		t.Errorf("%+v", got)
	}
}

// The list filters, pages, and says how to go on.
func TestList(t *testing.T) {
	store := newStore(t)
	for i := range 5 {
		enqueued(t, store, "a", "--tag", fmt.Sprint("n", i), "--queue", "q1")
	}
	later := enqueued(t, store, "b", "--after", "1h")
	for args, want := range map[string]int{
		"": 6, "--state ready": 5, "--state scheduled": 1, "--kind b": 1, "--queue q1": 5, "--tag n3": 1,
		"--since 1h": 6, "--until 1h": 0, "--since 2020-01-01 --until 2021-01-01": 0, "--kind nope": 0,
	} {
		got := run(t, store, "", append([]string{"jobs", "list", "--json"}, strings.Fields(args)...)...)
		if page := decode[offstage.Page](t, got.stdout); len(page.Jobs) != want || got.code != 0 {
			t.Errorf("list %s: %d jobs, code %d, want %d", args, len(page.Jobs), got.code, want)
		}
	}
	var seen []string
	after := ""
	for page := 0; page == 0 || after != ""; page++ {
		args := []string{"jobs", "list", "--limit", "4"}
		if after != "" {
			args = append(args, "--after", after)
		}
		got := run(t, store, "", args...)
		lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
		for _, line := range lines[1:] {
			seen = append(seen, strings.Fields(line)[0])
		}
		_, after, _ = strings.Cut(strings.TrimSpace(got.stderr), "--after ")
	}
	if len(seen) != 6 || seen[0] != later.String() {
		t.Errorf("the pages list %v", seen)
	}
}

// Operators' verbs do what they say, to each job that is named.
func TestVerbs(t *testing.T) {
	store := newStore(t)
	one, two := enqueued(t, store, "a"), enqueued(t, store, "a", "--after", "1h")
	for _, c := range []struct{ args, says, state string }{
		{fmt.Sprintf("cancel %d %d", one, two), "cancelled", "cancelled"},
		{fmt.Sprintf("retry %d %d", one, two), "retried, now ready", "ready"},
		{fmt.Sprintf("run-now %d %d", one, two), "moved to the front, now ready", "ready"},
	} {
		got := run(t, store, "", append([]string{"jobs"}, strings.Fields(c.args)...)...)
		want := fmt.Sprintf("job %d: %s\njob %d: %s\n", one, c.says, two, c.says)
		if got.code != 0 || got.stdout != want {
			t.Errorf("jobs %s: %+v, want %q", c.args, got, want)
		}
		if state := stateOfJob(t, store, two); state != c.state {
			t.Errorf("after %s the job is %s", c.args, state)
		}
	}
	got := run(t, store, "", "jobs", "retry", one.String())
	if want := fmt.Sprintf("job %d: is ready: cannot retry it; only ended", one); got.code != exitFailed || !strings.HasPrefix(got.stderr, want) {
		t.Errorf("a retry of a ready job: %+v, want %q", got, want)
	}
	got = run(t, store, "", "jobs", "delete", "--json", one.String(), "424242", two.String())
	if got.code != exitFailed || !strings.Contains(got.stderr, "job 424242: no such job") {
		t.Errorf("%+v", got)
	}
	done := decode[[]operated](t, got.stdout)
	if len(done) != 3 || done[0].Error != nil || done[1].Error == nil || done[2].Error != nil {
		t.Errorf("the delete did %s", got.stdout)
	}
}

// What others wrote into a job cannot command the terminal that shows it.
func TestHostileTexts(t *testing.T) {
	store := newStore(t)
	hostile := "\x1b]0;owned\x07\u202e\u009b31m\r\nnext line"
	s := open(t, store)
	client := offstage.NewClient(s)
	receipt, err := client.Enqueue(t.Context(), offstage.Named("k", map[string]string{"x": hostile}))
	if err != nil {
		t.Fatal(err)
	}
	fail(t, s, hostile)
	for _, args := range []string{"list", "show " + receipt.ID.String(), "list --json", "show --json " + receipt.ID.String()} {
		got := run(t, store, "", append([]string{"jobs"}, strings.Fields(args)...)...)
		if got.code != 0 || !strings.Contains(got.stdout, "next line") {
			t.Errorf("jobs %s: %+v", args, got)
		}
		if strings.ContainsAny(got.stdout, "\x1b\x07\r\u202e\u009b") {
			t.Errorf("jobs %s writes control characters: %q", args, got.stdout)
		}
	}
	shown := decode[offstage.Details](t, run(t, store, "", "jobs", "show", "--json", receipt.ID.String()).stdout)
	if shown.Error != hostile {
		t.Errorf("JSON changed the error to %q", shown.Error)
	}
}

// fail runs the one ready job as a worker whose handler failed.
func fail(t *testing.T, store offstage.Store, text string) {
	t.Helper()
	ctx := t.Context()
	worker, err := store.Register(ctx, offstage.WorkerInfo{Name: "test", Queues: []string{"default"}, Kinds: []offstage.Kind{{Name: "k"}}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	claim, err := store.Claim(ctx, offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 1}}})
	if err != nil || len(claim.Jobs) != 1 {
		t.Fatalf("claimed %+v, %v", claim, err)
	}
	job := claim.Jobs[0]
	_, err = store.Finish(ctx, offstage.FinishRequest{Worker: worker, Release: []int64{1}, Results: []offstage.Result{{
		Job: job.ID, Run: job.Run, Claim: 1, Outcome: offstage.OutcomeErrored, Next: offstage.Failed, Errors: 1, Started: true, Error: text,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Unregister(ctx, worker); err != nil {
		t.Fatal(err)
	}
}

// Times are read in the forms that the help names.
func TestParseMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"":                          {},
		"2026-01-31":                time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-01-31T15:04:05Z":      time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC),
		"2026-01-31T15:04:05+02:00": time.Date(2026, 1, 31, 13, 4, 5, 0, time.UTC),
		"2026-01-31 15:04:05Z":      time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC),
	} {
		if got, err := parseMoment("since", text); err != nil || !got.Equal(want) {
			t.Errorf("%q is read as %s, %v", text, got, err)
		}
	}
	if got, err := parseMoment("since", "90m"); err != nil || time.Since(got) < 90*time.Minute {
		t.Errorf("90m is read as %s, %v", got, err)
	}
	for _, bad := range []string{"now", "-5m", "2026-13-01", "31.1.2026"} {
		if _, err := parseMoment("since", bad); err == nil {
			t.Errorf("%q was taken for a time", bad)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1048576": 1 << 20, "500MB": 500e6, "500 mb": 500e6, "1GiB": 1 << 30, "1.5g": 3 << 29, "2K": 2048, "7b": 7, "1TB": 1e12,
	} {
		if got, err := parseSize("max-upload", text); got != want || err != nil {
			t.Errorf("%q is read as %d, %v; want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "0", "-1", "MB", "1XB", "1e99", "nan", "inf", "1 2"} {
		if got, err := parseSize("max-upload", bad); err == nil {
			t.Errorf("%q was taken for the size %d", bad, got)
		}
	}
}

// The same commands work on PostgreSQL, in whatever schema.
func TestJobsOnPostgres(t *testing.T) {
	url := pgtest.Open(t).URL
	schema := []string{"--schema", "our jobs"}
	if got := run(t, url, "", append([]string{"migrate"}, schema...)...); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	id := enqueued(t, url, append([]string{"send_mail", `{"to":"a"}`, "--tag", "x"}, schema...)...)
	got := run(t, url, "", append([]string{"jobs", "list", "--tag", "x"}, schema...)...)
	if got.code != 0 || !strings.Contains(got.stdout, id.String()) {
		t.Errorf("%+v", got)
	}
	got = run(t, url, "", append([]string{"jobs", "cancel", id.String()}, schema...)...)
	if got.code != 0 || got.stdout != fmt.Sprintf("job %d: cancelled\n", id) {
		t.Errorf("%+v", got)
	}
	if got := run(t, url, "", "jobs", "list", "--json"); got.code != 0 || len(decode[offstage.Page](t, got.stdout).Jobs) != 0 {
		t.Errorf("another schema's jobs are listed: %+v", got)
	}
}

// What a job remembers is shown with it.
func TestShowSteps(t *testing.T) {
	store := newStore(t)
	id := enqueued(t, store, "k", "7")
	s := open(t, store)
	worker, err := s.Register(t.Context(), offstage.WorkerInfo{Name: "test", Queues: []string{"default"}, Kinds: []offstage.Kind{{Name: "k"}}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 1}}}); err != nil {
		t.Fatal(err)
	}
	hold := offstage.Hold{Worker: worker, Claim: 1, Job: id, Run: 1}
	for _, step := range []offstage.NewStep{
		{Name: "charge", Kind: offstage.StepDone, Tries: 3, Took: 2 * time.Second, Value: json.RawMessage(`"ch_1"`)},
		{Name: "rows", Kind: offstage.StepCursor, Tries: 1, Value: json.RawMessage(`42`)},
		{Name: "cool down", Kind: offstage.StepSleep, Tries: 1, Wait: time.Hour},
	} {
		if err := s.Remember(t.Context(), hold, step, true); err != nil {
			t.Fatal(err)
		}
	}
	got := run(t, store, "", "jobs", "show", id.String())
	for _, part := range []string{"charge, attempt 1, try 3", "took 2", `"ch_1"`, "rows, attempt 1", "42", "cool down, attempt 1, until "} {
		if got.code != 0 || !strings.Contains(got.stdout, part) {
			t.Errorf("%q is not in %+v", part, got)
		}
	}
	shown := decode[offstage.Details](t, run(t, store, "", "jobs", "show", "--json", id.String()).stdout)
	if len(shown.Steps) != 3 || shown.Steps[0].Kind != offstage.StepDone || shown.Steps[0].Tries != 3 {
		t.Errorf("steps in JSON: %+v", shown.Steps)
	}
}
