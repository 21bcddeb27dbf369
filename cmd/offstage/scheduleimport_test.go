package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/builtin"
)

// writeFile writes a file of this name and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const sidekiqFile = `
:schedule:
  nightly:
    cron: '0 4 * * * Europe/Berlin'
    class: Reports::Nightly
    queue: low
    args: [7]
  off:
    every: 90m
    class: Poll
    enabled: false
`

func TestScheduleImport(t *testing.T) {
	store, file := newStore(t), writeFile(t, "sidekiq.yml", sidekiqFile)
	handlers := filepath.Join(t.TempDir(), "imported.go")
	for range 2 { // importing again changes nothing
		got := run(t, store, "", "schedule", "import", file, "--json")
		var answer imported
		if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.code != 0 || len(answer.Entries) != 2 || !answer.Entries[0].Stored || !answer.Entries[1].Stored {
			t.Fatalf("%+v", got)
		}
	}
	var all []offstage.ScheduleInfo
	mustRun(t, store, &all, "schedule", "list")
	if len(all) != 2 || all[0].Name != "nightly" || all[0].Zone != "Europe/Berlin" || all[0].Job.Kind != "reports_nightly" || all[0].Job.Queue != "low" ||
		all[1].Expression != "every 1h30m" || !all[1].Paused {
		t.Errorf("stored %+v", all)
	}
	changed := writeFile(t, "sidekiq.yml", strings.Replace(sidekiqFile, "0 4 ", "0 5 ", 1))
	if got := run(t, store, "", "schedule", "import", changed); got.code != exitFailed || !strings.Contains(got.stdout, "there is another schedule of this name") {
		t.Errorf("over another: %+v", got)
	}
	got := run(t, "", "", "schedule", "import", file, "--dry-run", "--go-out", handlers)
	if got.code != 0 || !strings.Contains(got.stdout, "would enqueue jobs of the kind reports_nightly") {
		t.Errorf("dry run: %+v", got)
	}
	if text, err := os.ReadFile(handlers); err != nil || !strings.Contains(string(text), "func handleReportsNightly(") {
		t.Errorf("the file with handlers: %v, %s", err, text)
	}
	got = run(t, store, "", "schedule", "export")
	if want := "OFFSTAGE_STORE=" + store + "\nCRON_TZ=Europe/Berlin\n0 4 * * * offstage schedule run nightly\n# off: a crontab cannot say every 1h30m (UTC)\n"; got.stdout != want {
		t.Errorf("exported %q, want %q", got.stdout, want)
	}
}

// A crontab names its store, but no password.
func TestCrontabStore(t *testing.T) {
	here, err := filepath.Abs("jobs.db")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[place]string{
		{file: "jobs.db"}: "OFFSTAGE_STORE=" + here + "\n",
		{url: "postgres://app@db/app?sslmode=require"}:                "OFFSTAGE_STORE=postgres://app@db/app?sslmode=require\n",
		{url: "postgres://app:secret@db/app", schema: "jobs"}:         "# with its password: OFFSTAGE_STORE=postgres://app:xxxxx@db/app\nOFFSTAGE_SCHEMA=jobs\n",
		{url: "postgres://db/app?sslmode=require&password=secret%21"}: "# with its password: OFFSTAGE_STORE=postgres://db/app?password=xxxxx&sslmode=require\n",
	} {
		if got, err := crontabStore(at); got != want || err != nil {
			t.Errorf("%+v: %q, %v, want %q", at, got, err, want)
		}
	}
}

func TestScheduleImportRefuses(t *testing.T) {
	ruby := writeFile(t, "schedule.rb", "every :day do\n  rake \"tidy\"\nend\nif production?\nend\n")
	got := run(t, "", "", "schedule", "import", ruby, "--dry-run")
	if got.code != exitFailed || !strings.Contains(got.stdout, "every day at 00:00") && !strings.Contains(got.stdout, "every day") ||
		!strings.Contains(got.stderr, "schedule.rb:4: refused: if production?: Ruby code is not executed") {
		t.Errorf("Ruby: %+v", got)
	}
	crontab := "*/7 * * * * /bin/odd\n"
	got = run(t, newStore(t), crontab, "schedule", "import", "-", "--format", "crontab")
	if got.code != 0 || !strings.Contains(got.stdout, "not stored: a command") || !strings.Contains(got.stdout, "warning: */7 begins anew") {
		t.Errorf("a crontab: %+v", got)
	}
	made := filepath.Join(t.TempDir(), "server.toml")
	crontab = "*/5 * * * * /bin/true --all\n0 4 * * * echo \"it's $HOME\" | cat\n@daily curl -s https://shop.example.org/a/b?c=1\n"
	if got := run(t, "", crontab, "schedule", "import", "-", "--format", "crontab", "--dry-run", "--config-out", made); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	config, err := builtin.Read(made, text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if all, err := config.All(); err != nil || len(all) != 3 || len(config.Commands["true"].Argv) != 2 || config.Commands["echo"].Argv[2] != `echo "it's $HOME" | cat` {
		t.Errorf("%v, %+v: %s", err, all, text)
	}
	missing, handlers := filepath.Join(t.TempDir(), "missing.db"), filepath.Join(t.TempDir(), "imported.go")
	if got := run(t, missing, "", "schedule", "import", ruby, "--go-out", handlers); got.code != exitUsage || !strings.Contains(got.stderr, "there is no store") {
		t.Errorf("without a store: %+v", got)
	}
	if _, err := os.Stat(handlers); !os.IsNotExist(err) {
		t.Errorf("without a store the handlers were written all the same: %v", err)
	}
	exists := writeFile(t, "there.go", "")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-"}, "--format"},
		{[]string{"nowhere.rb"}, "no such file"},
		{[]string{ruby, "--format", "cron"}, "is not one of crontab"},
		{[]string{ruby, "--tz", "Mars"}, "no such time zone"},
		{[]string{ruby, "--dry-run", "--go-out", exists}, "--go-out"},
		{[]string{ruby, "--dry-run", "--go-out", exists + "x", "--go-package", "no package"}, "--go-package"},
		{[]string{writeFile(t, "a.yml", "a: [")}, "this is not YAML"},
	} {
		got := run(t, "", "", append([]string{"schedule", "import"}, c.args...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%q: got %+v, want exit 2 and %q", c.args, got, c.says)
		}
	}
}
