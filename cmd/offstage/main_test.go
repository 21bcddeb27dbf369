package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/sqlite"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// ran is what one run of the program did.
type ran struct {
	code           int
	stdout, stderr string
}

// run runs the program with a store in the environment, "" for none.
func run(t *testing.T, store, stdin string, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{getenv: func(name string) string {
		if name == storeEnv {
			return store
		}
		return ""
	}}
	code := p.Run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return ran{code, stdout.String(), stderr.String()}
}

// newStore makes a store and returns its path.
func newStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jobs.db")
	if got := run(t, path, "", "migrate"); got.code != 0 {
		t.Fatalf("migrate: %+v", got)
	}
	return path
}

// open opens a store as a worker would.
func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// decode reads JSON that the program wrote.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}

// Wrong usage and input that cannot be right end with 2, name what is wrong and
// what is allowed, and write nothing to standard output.
func TestWrongUsage(t *testing.T) {
	store := newStore(t)
	missing := filepath.Join(t.TempDir(), "missing.db")
	for _, c := range []struct {
		store string
		args  string
		says  string
	}{
		{store, "", "Available Commands"},
		{store, "job list", `did you mean jobs?`},
		{store, "jobs", "Available Commands"},
		{store, "jobs lst", `did you mean list?`},
		{store, "jobs list --nope", "--nope"},
		{store, "jobs list extra", "expected no argument, got one"},
		{store, "jobs list --state lost", "scheduled, ready, running, retrying, blocked, completed, failed, cancelled"},
		{store, "jobs list --limit 0", "--limit: 0 is not from 1 to 1000"},
		{store, "jobs list --limit x", "--limit"},
		{store, "jobs list --since yesterday", "--since"},
		{store, "jobs list --after nonsense", "offstage: --after: "},
		{"", "jobs list", "Give --store or set OFFSTAGE_STORE"},
		{missing, "jobs list", "there is no store"},
		{"mysql://host/db", "jobs list", "mysql:// is not known"},
		{"postgres://user:sec%ret@host/db", "jobs list", "not a URL"},
		{"sqlite:", "jobs list", "empty"},
		{store, "jobs list --schema x", "PostgreSQL only"},
		{store, "jobs show", "expected the id of a job, got none"},
		{store, "jobs show x", "whole number"},
		{store, "jobs retry 1 -1", "-1"},
		{store, "jobs retry 0", "whole number"},
		{store, "enqueue", "KIND"},
		{store, "enqueue bad!kind", "offstage: kind: "},
		{store, "enqueue k {", "not JSON"},
		{store, "enqueue k {} --priority 10", "offstage: --priority: "},
		{store, "enqueue k {} --at tomorrow", "--at"},
		{store, "enqueue k {} --at 2030-01-01T00:00:00Z --after 1h", "not both"},
		{store, "enqueue k {} --after -1h", "negative"},
		{store, "enqueue k {} --max-attempts 0", "offstage: --max-attempts: "},
		{store, "enqueue k {} --timeout 0s", "offstage: --timeout: "},
		{store, "enqueue k {} --unique maybe", "skip, replace, debounce, keep_last"},
		{store, "enqueue k {} --unique-key x", "needs --unique"},
		{store, "enqueue k {} --unique debounce", "Wait"},
		{store, "migrate --sql --store x.db", "PostgreSQL"},
		{store, "version extra", "no argument"},
		{store, "demo --role boss", "all, web, worker"},
		{store, "demo --max-upload many", "500MB"},
		{store, "demo --addr nowhere --data " + t.TempDir(), "host:port"},
	} {
		got := run(t, c.store, "", strings.Fields(c.args)...)
		if got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, c.says) {
			t.Errorf("offstage %s: code %d, stdout %q, stderr %q; want 2 and stderr naming %q", c.args, got.code, got.stdout, got.stderr, c.says)
		}
		if strings.Contains(got.stderr, "sec%ret") {
			t.Errorf("offstage %s shows the password: %s", c.args, got.stderr)
		}
	}
}

// What fails though it was asked for rightly ends with 1.
func TestFailures(t *testing.T) {
	store := newStore(t)
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("this is no database\n"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ store, args, says string }{
		{store, "jobs show 999999", "no such job"},
		{store, "jobs cancel 999999", "no such job"},
		{store, "jobs delete 999999 999998", "job 999998"},
		{text, "jobs list", "not a SQLite database"},
		{"postgres://nobody:secret@127.0.0.1:1/none?connect_timeout=1", "migrate", "127.0.0.1:1"},
		{"postgres://nobody:secret@127.0.0.1:1/none?connect_timeout=1", "jobs list", "Does a server run there"},
	} {
		got := run(t, c.store, "", strings.Fields(c.args)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, c.says) {
			t.Errorf("offstage %s: code %d, stderr %q; want 1 naming %q", c.args, got.code, got.stderr, c.says)
		}
		if strings.Contains(got.stderr, "secret") {
			t.Errorf("offstage %s shows the password: %s", c.args, got.stderr)
		}
	}
}

// --help is an answer, not an error.
func TestHelp(t *testing.T) {
	for _, args := range []string{"--help", "help jobs", "jobs list --help", "enqueue --help", "demo --help", "migrate --help", "version --help"} {
		got := run(t, "", "", strings.Fields(args)...)
		if got.code != exitDone || got.stderr != "" || !strings.Contains(got.stdout, "offstage ") {
			t.Errorf("offstage %s: %+v", args, got)
		}
		if !strings.Contains(got.stdout, "Examples:") {
			t.Errorf("offstage %s shows no example", args)
		}
	}
}

func TestVersion(t *testing.T) {
	if got := run(t, "", "", "version"); got.code != 0 || !strings.HasPrefix(got.stdout, "offstage ") {
		t.Errorf("%+v", got)
	}
	v := decode[version](t, run(t, "", "", "version", "--json").stdout)
	if v.Go == "" || v.Platform == "" {
		t.Errorf("the version is %+v", v)
	}
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	for range 2 {
		if got := run(t, "", "", "migrate", "--store", "sqlite:"+path); got.code != 0 || !strings.Contains(got.stdout, "up to date") {
			t.Errorf("%+v", got)
		}
	}
	if got := run(t, path, "", "jobs", "list"); got.code != 0 {
		t.Errorf("the new store cannot be listed: %+v", got)
	}
	script := run(t, "", "", "migrate", "--sql", "--schema", "jobs").stdout
	if !strings.Contains(script, "CREATE TABLE") || !strings.Contains(script, `"jobs"`) && !strings.Contains(script, "jobs.") {
		t.Errorf("the script is %.300s", script)
	}
}

// stateOfJob reads a job's state as others see it.
func stateOfJob(t *testing.T, path string, id offstage.ID) string {
	t.Helper()
	got := run(t, path, "", "jobs", "show", id.String(), "--json")
	if got.code != 0 {
		t.Fatalf("%+v", got)
	}
	return decode[offstage.Details](t, got.stdout).State.String()
}
