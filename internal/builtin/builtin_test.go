package builtin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/builtin"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// read reads a file that must be right.
func read(t *testing.T, text string) *builtin.Config {
	t.Helper()
	config, err := builtin.Read("/etc/offstage/server.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// run works on a job of the file's kinds until it has ended.
func run(t *testing.T, config *builtin.Config, kind, args string) offstage.Details {
	t.Helper()
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	config.Register(w)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	client := offstage.NewClient(store)
	receipt, err := client.Enqueue(ctx, offstage.Named(kind, json.RawMessage(args)), offstage.MaxAttempts(1))
	if err != nil {
		t.Fatal(err)
	}
	_, waited := receipt.Wait(ctx)
	details, err := client.Get(ctx, receipt.ID)
	if err != nil {
		t.Fatal(err, waited)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return details
}

func TestCommand(t *testing.T) {
	t.Setenv("OFFSTAGE_TEST_SECRET", "not for commands")
	left := filepath.Join(t.TempDir(), "left")
	config := read(t, fmt.Sprintf(`
[commands.hello]
argv = ["/bin/sh", "-c", "echo \"$GREETING, $1; $OFFSTAGE_TEST_SECRET; job $OFFSTAGE_JOB\"; echo err >&2", "sh", "two words; $(id)"]
env = { GREETING = "Hello" }
[commands.fails]
argv = ["/bin/sh", "-c", "echo the reason; exit 3"]
[commands.slow]
argv = ["/bin/sh", "-c", "trap '' TERM; (sleep 60; touch %s) & sleep 60"]
timeout = "300ms"
[commands.missing]
argv = ["/nowhere/at/all"]
`, left))
	got := run(t, config, builtin.CommandKind, `{"name":"hello"}`)
	if want := "Hello, two words; $(id); ; job 1\\nerr"; got.State != offstage.Completed || !strings.Contains(string(got.Result), want) {
		t.Errorf("hello: %s, %s, %s", got.State, got.Result, got.Error)
	}
	for name, says := range map[string]string{
		"fails": "exit status 3; the end of its output:\nthe reason", "missing": "no such file", "other": "is not allowed by this worker's file",
	} {
		if got := run(t, config, builtin.CommandKind, `{"name":"`+name+`"}`); got.State != offstage.Failed || !strings.Contains(got.Error, says) {
			t.Errorf("%s: %s, %s", name, got.State, got.Error)
		}
	}
	got = run(t, config, builtin.CommandKind, `{"name":"slow"}`)
	if got.State != offstage.Failed || !strings.Contains(got.Error, "time limit of 300ms has passed") {
		t.Errorf("slow: %s, %s", got.State, got.Error)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("a child of the command lived on")
	}
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/hooks/ok":
			fmt.Fprint(w, r.Method, r.URL.RawQuery, string(body), r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"))
		case "/hooks/away":
			http.Redirect(w, r, "/secret", http.StatusFound)
		default:
			http.Error(w, "the reason", http.StatusTeapot)
		}
	}))
	defer server.Close()
	config := read(t, fmt.Sprintf(`
[destinations.shop]
url = "%s/hooks/"
methods = ["GET", "POST"]
headers = { Authorization = "Bearer x" }
`, server.URL))
	got := run(t, config, builtin.HTTPKind, `{"destination":"shop","path":"ok?a=1","method":"post","body":"hi"}`)
	if got.State != offstage.Completed || !strings.Contains(string(got.Result), "POSTa=1hiBearer xoffstage-1") {
		t.Errorf("ok: %s, %s, %s", got.State, got.Result, got.Error)
	}
	for args, says := range map[string]string{
		`{"destination":"shop","path":"gone"}`:                      "418 I'm a teapot: the reason",
		`{"destination":"shop","path":"away"}`:                      "302 Found",
		`{"destination":"shop","path":"../secret"}`:                 "does not lead below",
		`{"destination":"shop","path":"%2e%2e/secret"}`:             "does not lead below",
		`{"destination":"shop","path":"http://example.org/"}`:       "does not lead below",
		`{"destination":"shop","path":"//example.org/"}`:            "does not lead below",
		`{"destination":"shop","path":"ok","method":"DELETE"}`:      "allows GET, POST, not DELETE",
		`{"destination":"other"}`:                                   "is not allowed by this worker's file",
		`{"destination":"shop","path":"ok","method":"GET\r\nX: y"}`: "allows GET, POST",
	} {
		if got := run(t, config, builtin.HTTPKind, args); got.State != offstage.Failed || !strings.Contains(got.Error, says) {
			t.Errorf("%s: %s, %s", args, got.State, got.Error)
		}
	}
}

const whole = `
queues = ["default", "low"]
slots = 5
[commands.backup]
argv = ["/usr/bin/backup", "--full"]
timeout = "2h"
[destinations.shop]
url = "https://shop.example.org/hooks"
[schedules.nightly]
expression = "every day at 4:30"
zone = "Europe/Berlin"
command = "backup"
overlap = "skip"
missed = "all"
missed_window = "48h"
jitter = "5m"
end = 2030-01-01T00:00:00Z
[schedules.ping]
expression = "every 10m"
destination = "shop"
path = "ping"
max_attempts = 1
[schedules.report]
expression = "0 6 * * 1"
kind = "build_report"
args = { days = 7 }
queue = "low"
priority = 0
`

func TestSchedulesOfTheFile(t *testing.T) {
	config := read(t, whole)
	all, err := config.All()
	if err != nil || len(all) != 3 || config.Owner != "file:server" || config.Slots != 5 {
		t.Fatalf("%+v, %v", all, err)
	}
	nightly, ping, report := all[0], all[1], all[2]
	if nightly.Zone != "Europe/Berlin" || nightly.Job.Kind != "command" || string(nightly.Job.Args) != `{"name":"backup"}` || nightly.Overlap != offstage.OverlapSkip || nightly.End.Year() != 2030 {
		t.Errorf("nightly %+v", nightly)
	}
	if ping.Job.Kind != "http" || string(ping.Job.Args) != `{"destination":"shop","path":"ping"}` || ping.Job.MaxAttempts != 1 {
		t.Errorf("ping %+v", ping)
	}
	if report.Job.Kind != "build_report" || string(report.Job.Args) != `{"days":7}` || report.Job.Queue != "low" || report.Job.Priority != 0 {
		t.Errorf("report %+v", report)
	}
}

func TestFileRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"a = 1": "a is not known here",
		"[commands.a]\nargv = [\"/bin/true\"]\nshell = true":                        "commands.a.shell is not known",
		"[commands.a]\nargv = []":                                                   "argv is missing",
		"[commands.a]\nargv = [\"true\"]":                                           "is not the whole path",
		"[commands.a]\ntimeout = \"-1s\"":                                           "is negative",
		"[destinations.a]\nurl = \"ftp://x\"":                                       "is not an address",
		"owner = \"a b\"":                                                           "owner",
		"[schedules.a]\nexpression = \"@daily\"":                                    "give one of command, destination and kind",
		"[schedules.a]\nexpression = \"@daily\"\ncommand = \"x\"":                   "there is no command \"x\"",
		"[schedules.a]\nexpression = \"@daily\"\ndestination = \"x\"":               "is not allowed",
		"[schedules.a]\nexpression = \"every dya\"\nkind = \"x\"":                   "did you mean day?",
		"[schedules.a]\nexpression = \"@daily\"\nkind = \"x\"\nzone = \"Mars\"":     "no such time zone",
		"[schedules.a]\nexpression = \"@daily\"\nkind = \"x\"\noverlap = \"never\"": "overlap",
	} {
		config, err := builtin.Read("a.toml", []byte(text))
		if err == nil {
			_, err = config.All()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
