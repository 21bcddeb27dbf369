package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/sqlite"
)

// childMain is the main function of processes that tests start; it is there where
// processes can be killed, and answers false in any other process.
var childMain = func() bool { return false }

func TestMain(m *testing.M) {
	if !childMain() {
		pgtest.Main(m)
	}
}

// patient is how long a test waits for what must happen, on a slow machine.
const patient = 5 * time.Minute

// site is a demo that runs in this test, with real HTTP and a real store.
type site struct {
	t      *testing.T
	url    string
	store  offstage.Store
	tables *Tables
	client *offstage.Client
	dir    string
	stop   func() // waits until all has ended
}

// start runs the demo on a new store until the test ends.
func start(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	dir := t.TempDir()
	return startOn(t, dir, openStore(t, dir), change...)
}

func openStore(t *testing.T, dir string) offstage.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "offstage.db"))
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

func tablesOf(t *testing.T, store offstage.Store) *Tables {
	t.Helper()
	tables, err := SQLiteTables(t.Context(), store.(*sqlite.Store).DB())
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// startOn runs the demo on a store that is there.
func startOn(t *testing.T, dir string, store offstage.Store, change ...func(*Config)) *site {
	t.Helper()
	cfg := Config{Store: store, Dir: dir, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	for _, do := range change {
		do(&cfg)
	}
	if cfg.Tables == nil {
		cfg.Tables = tablesOf(t, store)
	}
	s := &site{t: t, store: store, tables: cfg.Tables, client: offstage.NewClient(store), dir: dir}
	if cfg.Role != RoleWorker {
		if cfg.Listener == nil {
			cfg.Listener = listen(t, "127.0.0.1:0")
		}
		s.url = fmt.Sprintf("http://127.0.0.1:%d", cfg.Listener.Addr().(*net.TCPAddr).Port)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := Run(ctx, cfg); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	}()
	s.stop = func() {
		cancel()
		<-ended
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(s.stop)
	return s
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	listener, err := Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// testLog writes the demo's log lines into the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// answer is a response that has been read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request, without following redirects.
func (s *site) send(r *http.Request) answer {
	s.t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// request makes a request with headers, given as name and value in turn.
func (s *site) request(method, path string, body io.Reader, headers ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (s *site) get(path string, headers ...string) answer {
	s.t.Helper()
	return s.send(s.request(http.MethodGet, path, nil, headers...))
}

// press sends a form as a browser does.
func (s *site) press(path string, fields url.Values) answer {
	s.t.Helper()
	return s.send(s.request(http.MethodPost, path, strings.NewReader(fields.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Site", "same-origin"))
}

// upload sends a file in the field "file".
func (s *site) upload(name string, content io.Reader, headers ...string) answer {
	s.t.Helper()
	body, contentType := form(name, content)
	return s.send(s.request(http.MethodPost, "/reports", body, append(headers, "Content-Type", contentType)...))
}

// form streams a form with one file, so that the file need not be in memory.
func form(name string, content io.Reader) (body io.Reader, contentType string) {
	reader, pipe := io.Pipe()
	writer := multipart.NewWriter(pipe)
	go func() {
		part, err := writer.CreateFormFile("file", name)
		if err == nil {
			_, err = io.Copy(part, content)
		}
		if err == nil {
			err = writer.Close()
		}
		pipe.CloseWithError(err)
	}()
	return reader, writer.FormDataContentType()
}

// jobStatus is what programs see of a job.
type jobStatus struct {
	ID       offstage.ID
	Kind     string
	State    string
	Attempt  int
	Progress *struct {
		Done, Total int64
		Message     string
	}
	Result json.RawMessage
	Error  *string
	Files  []struct{ Name, URL string }
}

// file returns the address of the one file that a job left.
func (s *site) file(path string) string {
	s.t.Helper()
	files := s.status(path).Files
	if len(files) != 1 {
		s.t.Fatalf("the job left %v", files)
	}
	return files[0].URL
}

// status reads a job's status and checks that all keys are there.
func (s *site) status(path string) jobStatus {
	s.t.Helper()
	got := s.get(path, "Accept", "application/json")
	if got.status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s", path, got.status, got.body)
	}
	var keys map[string]json.RawMessage
	var parsed jobStatus
	if err := json.Unmarshal([]byte(got.body), &keys); err != nil {
		s.t.Fatal(err)
	}
	for _, key := range []string{"id", "kind", "state", "attempt", "progress", "result", "error"} {
		if _, ok := keys[key]; !ok {
			s.t.Errorf("the status has no key %q: %s", key, got.body)
		}
	}
	if err := json.Unmarshal([]byte(got.body), &parsed); err != nil {
		s.t.Fatal(err)
	}
	return parsed
}

// await asks again and again until the job's status is as wanted.
func (s *site) await(path string, what string, wanted func(jobStatus) bool) jobStatus {
	s.t.Helper()
	var last jobStatus
	s.until(what, func() bool {
		last = s.status(path)
		return wanted(last)
	})
	return last
}

// awaitState waits until the job is in the state.
func (s *site) awaitState(path string, state offstage.State) jobStatus {
	s.t.Helper()
	return s.await(path, "the job is "+state.String(), func(now jobStatus) bool { return now.State == state.String() })
}

// until looks again and again until it is so.
func (s *site) until(what string, so func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(patient)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-deadline.C:
			s.t.Fatalf("waited for %s in vain until: %s", patient, what)
		}
	}
}

// jobs lists all jobs of a kind.
func (s *site) jobs(kind string) []offstage.JobInfo {
	s.t.Helper()
	page, err := s.client.List(s.t.Context(), offstage.Filter{Kind: kind, Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Jobs
}

// uploads lists the files among the uploads.
func (s *site) uploads() []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "files-*", "uploads", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

// readings makes a CSV of so many records, with right figures that are known:
// value runs from 1 to rows.
func readings(rows int) io.Reader {
	reader, pipe := io.Pipe()
	go func() {
		_, err := io.WriteString(pipe, "time,value,note\n")
		for row := 1; row <= rows && err == nil; row++ {
			_, err = fmt.Fprintf(pipe, "2026-01-01T00:00:00Z,%d,ok\n", row)
		}
		pipe.CloseWithError(err)
	}()
	return reader
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
