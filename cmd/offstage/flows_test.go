//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/internal/pgtest"
)

// Requests are answered, followed and repeated as promised where the process that
// serves them is not the one that runs their jobs.
func TestFlowsAcrossProcesses(t *testing.T) {
	path := build(t)
	for name, place := range map[string]func() string{
		"sqlite":   func() string { return filepath.Join(t.TempDir(), "jobs.db") },
		"postgres": func() string { return pgtest.Open(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			flags := []string{"--store", place(), "--data", t.TempDir()}
			f := &flowTest{T: t, web: startDemo(t, path, append(flags, "--role", "web")...)}
			location := f.accepts()
			events := f.get(location+"/events", http.StatusOK)
			startWorker(t, path, flags...)
			end := f.untilEnd(events)
			f.want(f.get(location+"/events", http.StatusNoContent, "Last-Event-ID", end), "Content-Type", "")
			f.shows(location)
			f.waits()
			f.refuses(location)
		})
	}
}

// What the guide promises is shown by curl, for whoever does not read Go.
func TestFlowsByCurl(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%v, and in CI nothing may be missing", err)
		} else if err != nil {
			t.Skip(err)
		}
	}
	script, err := filepath.Abs("../../docs/request-flows.sh")
	if err != nil {
		t.Fatal(err)
	}
	path := build(t)
	for name, place := range map[string]func() string{
		"sqlite":   func() string { return filepath.Join(t.TempDir(), "jobs.db") },
		"postgres": func() string { return pgtest.Open(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			said, err := exec.CommandContext(t.Context(), "bash", script, path, place()).CombinedOutput()
			if text := string(said); err != nil || !strings.Contains(text, " checks, 0 wrong") {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// startWorker starts a worker in a process of its own until the test ends.
func startWorker(t *testing.T, path string, flags ...string) {
	t.Helper()
	command := exec.Command(path, append([]string{"demo", "--role", "worker"}, flags...)...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()         // it was killed
	})
}

// flowTest speaks to the web process as curl does: without following redirects.
type flowTest struct {
	*testing.T
	web *running
}

// send makes a request with headers, given as name and value in turn, and checks
// the answer's status.
func (f *flowTest) send(method, path string, body io.Reader, status int, headers ...string) *http.Response {
	f.Helper()
	request, err := http.NewRequestWithContext(f.Context(), method, f.web.url+path, body)
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = answer.Body.Close() }) // nobody reads more of it
	if answer.StatusCode != status {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		f.Errorf("%s %.80s: %d %s, want %d", method, path, answer.StatusCode, text, status)
	}
	return answer
}

func (f *flowTest) get(path string, status int, headers ...string) *http.Response {
	f.Helper()
	return f.send(http.MethodGet, path, nil, status, headers...)
}

// report uploads a CSV under a key, in a form whose boundary is new each time.
func (f *flowTest) report(content string, status int, headers ...string) *http.Response {
	f.Helper()
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	part, err := writer.CreateFormFile("file", "a.csv")
	if err == nil {
		_, err = io.WriteString(part, content)
	}
	if err != nil || writer.Close() != nil {
		f.Fatal(err)
	}
	return f.send(http.MethodPost, "/reports", &form, status, append(headers, "Content-Type", writer.FormDataContentType())...)
}

// want checks headers of an answer.
func (f *flowTest) want(answer *http.Response, headers ...string) {
	f.Helper()
	for i := 0; i < len(headers); i += 2 {
		if got := answer.Header.Get(headers[i]); got != headers[i+1] {
			f.Errorf("%s is %q, want %q", headers[i], got, headers[i+1])
		}
	}
}

// accepts sends reports before there is a worker, and returns where the one of
// them is followed.
func (f *flowTest) accepts() string {
	f.Helper()
	first := f.report("a,b\n1,2\n3,4\n", http.StatusAccepted, "Prefer", "respond-async", "Idempotency-Key", `"first"`)
	location := first.Header.Get("Location")
	f.want(first, "Retry-After", "1", "Preference-Applied", "respond-async", "Vary", "Prefer, Accept", "Idempotency-Replayed", "")
	again := f.report("a,b\n1,2\n3,4\n", http.StatusAccepted, "Idempotency-Key", "first")
	f.want(again, "Location", location, "Idempotency-Replayed", "true")
	f.report("a,b\n1,2\n3,5\n", http.StatusUnprocessableEntity, "Idempotency-Key", "first")
	f.report("a\n1\n", http.StatusBadRequest, "Idempotency-Key", strings.Repeat("k", 256))
	f.report("a\n1\n", http.StatusSeeOther, "Accept", "text/html")
	late := f.report("a\n1\n", http.StatusAccepted, "Prefer", "wait=1")
	f.want(late, "Preference-Applied", "wait=1")
	f.get(late.Header.Get("Location")+"?redirect=result", http.StatusOK)
	f.send(http.MethodPost, late.Header.Get("Location")+"/cancel", nil, http.StatusOK)
	return location
}

// untilEnd reads a stream until it ends, and returns the id of its last event.
func (f *flowTest) untilEnd(stream *http.Response) (id string) {
	f.Helper()
	var name string
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "id":
			id = value
		case "event":
			name = value
		}
	}
	f.want(stream, "Content-Type", "text/event-stream", "Cache-Control", "no-store")
	if name != "end" || id == "" {
		f.Errorf("the stream ends with event %q, id %q", name, id)
	}
	return id
}

// shows looks at a completed report in every way.
func (f *flowTest) shows(location string) {
	f.Helper()
	status := f.get(location, http.StatusOK, "Accept", "application/json")
	text, err := io.ReadAll(status.Body)
	if err != nil {
		f.Fatal(err)
	}
	shown := decode[struct {
		State string
		Files []struct{ URL string }
		Links struct{ Result string }
	}](f.T, string(text))
	if shown.State != "completed" || len(shown.Files) != 1 {
		f.Fatalf("the status is %s", text)
	}
	f.get(location, http.StatusNotModified, "Accept", "application/json", "If-None-Match", status.Header.Get("ETag"))
	f.get(location, http.StatusOK, "Accept", "text/html")
	f.want(f.get(location+"?redirect=result", http.StatusSeeOther), "Location", shown.Links.Result)
	f.get(shown.Links.Result, http.StatusOK)
	f.want(f.get(shown.Files[0].URL, http.StatusPartialContent, "Range", "bytes=0-14"), "Content-Length", "15")
	f.get(strings.TrimSuffix(shown.Files[0].URL, "a.csv.html")+"..%2f..%2fjobs.db", http.StatusNotFound)
}

// waits sends a report and stays for its result.
func (f *flowTest) waits() {
	f.Helper()
	answer := f.report("a\n7\n", http.StatusOK, "Prefer", "wait=25")
	f.want(answer, "Preference-Applied", "wait=25", "Content-Location", answer.Header.Get("Location"))
	if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), `"sum":7`) {
		f.Errorf("the result is %s, %v", text, err)
	}
}

// refuses shows what leads nowhere.
func (f *flowTest) refuses(location string) {
	f.Helper()
	f.send(http.MethodPost, location+"/cancel", nil, http.StatusConflict)
	f.get(location[:len(location)-1]+"~", http.StatusNotFound)
	f.get("/status/"+strings.Repeat("A", 5000), http.StatusNotFound)
	text, err := io.ReadAll(f.get(location, http.StatusOK, "Accept", "application/json").Body)
	if err != nil {
		f.Fatal(err)
	}
	job := decode[seen](f.T, string(text))
	f.send(http.MethodPost, "/jobs/"+job.ID.String()+"/delete", nil, http.StatusOK)
	f.get(location, http.StatusGone)
	f.get(location+"/events", http.StatusGone)
}
