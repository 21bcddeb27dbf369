package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// The worker declares the file's schedules and runs its commands.
func TestWorker(t *testing.T) {
	store := newStore(t)
	file := writeFile(t, "server.toml", `
[commands.hello]
argv = ["/bin/echo", "hello"]
[schedules.often]
expression = "* * * * * *"
command = "hello"
max_runs = 2
`)
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr bytes.Buffer
	p := &program{getenv: func(string) string { return "" }}
	ended := make(chan int)
	go func() {
		ended <- p.Run(ctx, []string{"worker", "--config", file, "--store", store}, strings.NewReader(""), &stdout, &stderr)
	}()
	client := offstage.NewClient(open(t, store))
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	var done []offstage.JobInfo
	for len(done) < 2 {
		<-again.C
		page, err := client.List(t.Context(), offstage.Filter{State: offstage.Completed})
		if err != nil {
			t.Fatal(err)
		}
		done = page.Jobs
	}
	stop()
	if code := <-ended; code != 0 || !strings.Contains(stdout.String(), "schedules declared: 1") {
		t.Errorf("exit %d, %s, %s", code, &stdout, &stderr)
	}
	for _, job := range done {
		if job.Tick == nil || job.Tick.Schedule != "often" || !strings.Contains(string(job.Result), `"output":"hello"`) {
			t.Errorf("job %+v", job)
		}
	}
	if s, err := client.Schedule(t.Context(), "often"); err != nil || s.Source != offstage.SourceFile || s.Owner != "file:server" || s.Runs != 2 {
		t.Errorf("schedule %+v, %v", s, err)
	}
}

func TestWorkerRefuses(t *testing.T) {
	store := newStore(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "--config: a file is needed"},
		{[]string{"--config", "nowhere.toml"}, "no such file"},
		{[]string{"--config", writeFile(t, "a.toml", "x = 1")}, "x is not known here"},
		{[]string{"--config", writeFile(t, "a.toml", "[schedules.a]\nexpression='every dya'\nkind='x'")}, "schedules.a: "},
		{[]string{"--config", writeFile(t, "a.toml", "slots = -1")}, "slots"},
	} {
		got := run(t, store, "", append([]string{"worker"}, c.args...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, c.says) {
			t.Errorf("%q: got %+v, want exit 2 and %q", c.args, got, c.says)
		}
	}
}
