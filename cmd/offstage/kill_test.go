//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// build compiles the program and returns its path.
func build(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "offstage")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// running is a demo in a process of its own.
type running struct {
	url     string
	process *os.Process
	ended   chan error
	said    *bytes.Buffer // complete once it has ended
}

// startDemo starts the demo and returns when it has said its address.
func startDemo(t testing.TB, path string, flags ...string) *running {
	t.Helper()
	command := exec.Command(path, append([]string{"demo", "--addr", "127.0.0.1:0"}, flags...)...)
	r := &running{ended: make(chan error, 1), said: new(bytes.Buffer)}
	command.Stderr = r.said
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	r.process = command.Process
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("the demo said:\n%s", r.said)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "stop") {
		if _, url, found := strings.Cut(lines.Text(), "open"); found {
			r.url = strings.TrimSpace(url)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout) // until it ends
		r.ended <- command.Wait()
	}()
	if r.url == "" {
		t.Fatal("the demo did not say its address")
	}
	return r
}

// kill ends the process without a warning, if it still runs.
func (r *running) kill() {
	if r.process == nil {
		return
	}
	_ = r.process.Kill() // it may have ended
	<-r.ended
	r.process = nil
}

// uploadFile sends a file and returns the path of its status.
func (r *running) uploadFile(t testing.TB, content io.Reader) string {
	t.Helper()
	return r.upload(t.Context(), t, content)
}

func (r *running) upload(ctx context.Context, t testing.TB, content io.Reader) string {
	t.Helper()
	reader, pipe := io.Pipe()
	writer := multipart.NewWriter(pipe)
	go func() {
		part, err := writer.CreateFormFile("file", "readings.csv")
		if err == nil {
			_, err = io.Copy(part, content)
		}
		if err == nil {
			err = writer.Close()
		}
		pipe.CloseWithError(err)
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/reports", reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", writer.FormDataContentType())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(response.Body)
		t.Fatalf("the upload was answered with %s: %s", response.Status, text)
	}
	return response.Header.Get("Location")
}

// seen is what the status says.
type seen struct {
	ID       offstage.ID
	State    string
	Attempt  int
	Progress *struct{ Done, Total int64 }
	Result   json.RawMessage
}

// await asks for a status until it is as wanted.
func (r *running) await(t testing.TB, path, what string, wanted func(seen) bool) seen {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var now seen
		err = json.NewDecoder(response.Body).Decode(&now)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if wanted(now) {
			return now
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s: %+v", what, now)
		}
	}
}

// killAndGoOn kills the demo in the middle of a report and starts it again on
// the same store and folder: the report goes on, its link still works, and the
// first attempt is recorded as lost.
func killAndGoOn(t *testing.T, rows int, flags ...string) {
	program := build(t)
	flags = append(flags, "--data", t.TempDir())
	first := startDemo(t, program, flags...)
	path := first.uploadFile(t, manyReadings(rows))
	first.await(t, path, "the report is under way", func(now seen) bool {
		if now.State == "completed" {
			t.Fatal("the report was too quick to be killed; it needs more rows")
		}
		return now.State == "running" && now.Progress != nil && now.Progress.Done > 0
	})
	first.kill()

	begin := time.Now()
	second := startDemo(t, program, flags...)
	second.await(t, path, "the report goes on", func(now seen) bool { return now.Attempt == 2 })
	t.Logf("the report went on %s after the start", time.Since(begin).Round(time.Millisecond))
	done := second.await(t, path, "the report is built", func(now seen) bool { return now.State == "completed" })
	want := fmt.Sprintf(`{"rows":%d,"columns":[{"name":"value","count":%d,"sum":%d,"min":1,"max":1,"mean":1}]}`, rows, rows, rows)
	if string(done.Result) != want || done.Attempt != 2 {
		t.Errorf("attempt %d ended with %s, want %s", done.Attempt, done.Result, want)
	}
	response, err := http.Get(fmt.Sprintf("%s/jobs/%d", second.url, done.ID))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if page, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(page), "its worker died") {
		t.Errorf("the job's page does not show the lost attempt, %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	stopDemo(t, second)
}

// stopDemo presses Ctrl-C.
func stopDemo(t *testing.T, r *running) {
	t.Helper()
	if err := r.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.ended:
		r.process = nil
		if err != nil {
			t.Errorf("after Ctrl-C the demo ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the demo did not stop")
	}
}

func manyReadings(rows int) io.Reader {
	reader, pipe := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(pipe, 1<<20)
		_, err := out.WriteString("time,value,note\n")
		for row := 0; row < rows && err == nil; row++ {
			_, err = out.WriteString("2026-01-01T00:00:00Z,1,a note that makes the file longer and takes its time\n")
		}
		if err == nil {
			err = out.Flush()
		}
		pipe.CloseWithError(err)
	}()
	return reader
}

// rowsToKill make a report that takes about a second.
const rowsToKill = 1_500_000

func TestKilledInTheMiddleOfAReport(t *testing.T) { killAndGoOn(t, rowsToKill) }

func TestKilledInTheMiddleOfAReportOnPostgres(t *testing.T) {
	killAndGoOn(t, rowsToKill, "--store", pgtest.Open(t).URL)
}
