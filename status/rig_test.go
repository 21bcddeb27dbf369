package status_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// build is a job that does what its field says.
type build struct {
	Do string `json:"do"`
	N  int    `json:"n,omitempty"`
}

func (build) Kind() string { return "build" }

// rig is an application with two routes, in virtual time.
type rig struct {
	*testing.T
	store  offstage.Store
	client *offstage.Client
	flows  *status.Flows
	site   http.Handler
	read   string // what the handler of /raw read of the latest body
}

// each runs a test on the store in memory and on SQLite, each in virtual time.
func each(t *testing.T, cfg status.Config, test func(*rig)) {
	t.Helper()
	open := map[string]func(t *testing.T) offstage.Store{
		"memory": func(*testing.T) offstage.Store { return offstagetest.NewStore() },
		"sqlite": func(t *testing.T) offstage.Store {
			store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jobs.db"), sqlite.WithoutWatch())
			if err != nil {
				t.Fatal(err)
			}
			return store
		},
	}
	for name, open := range open {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := open(t)
				defer func() {
					if err := store.Close(); err != nil {
						t.Error(err)
					}
				}()
				test(newRig(t, store, cfg))
			})
		})
	}
}

func newRig(t *testing.T, store offstage.Store, cfg status.Config) *rig {
	t.Helper()
	r := &rig{T: t, store: store, client: offstage.NewClient(store)}
	cfg.Logger = slog.New(slog.DiscardHandler)
	flows, err := status.New(t.Context(), r.client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.flows = flows
	mux := http.NewServeMux()
	mux.Handle("/status/", flows)
	mux.Handle("POST /builds", flows.Once(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		flows.Accept(w, req, build{Do: req.FormValue("do")}, offstage.MaxAttempts(3))
	})))
	mux.Handle("POST /raw/{id}", flows.Once(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if r.read = string(body); err != nil {
			flows.Refuse(w, req, err)
			return
		}
		flows.Accept(w, req, build{Do: "nothing"})
	})))
	r.site = mux
	return r
}

// work runs a worker until the test ends.
func (r *rig) work() (stop func()) {
	r.Helper()
	w, err := worker.New(r.store, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.Fatal(err)
	}
	worker.HandleResult(w, func(ctx context.Context, job *offstage.Job[build]) (any, error) {
		switch job.Args.Do {
		case "wait":
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		case "fail":
			return nil, offstage.Fail(errors.New("dial tcp 10.0.0.7: connection refused"))
		case "tell":
			return nil, offstage.Fail(status.Tell("line 3 is broken", errors.New("parse")))
		case "retry":
			if job.Run < 3 {
				return nil, offstage.RetryAfter(time.Minute, status.Tell("the device does not answer", nil))
			}
		case "steps":
			return nil, steps(ctx)
		case "progress":
			for i := range 5 {
				offstage.Progress(ctx, int64(i), 5, "step "+string(rune('0'+i)))
				pass(time.Second)
			}
		}
		return map[string]int{"n": job.Args.N + 7}, nil
	}, worker.Retry(offstage.RetryPolicy{MaxAttempts: 3}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("the worker ended with %v", err)
		}
	}
}

// steps is a job that remembers what it did.
func steps(ctx context.Context) error {
	does := func(name, value string) error {
		_, err := offstage.Step(ctx, name, func(context.Context) (string, error) { return value, nil })
		return err
	}
	for _, step := range [][2]string{{"charge", "4711"}, {"hidden step", "4711"}} {
		if err := does(step[0], step[1]); err != nil {
			return err
		}
	}
	if err := offstage.Sleep(ctx, "nap", time.Hour); err != nil {
		return err
	}
	return does("mail", "to you")
}

// pass lets time go by in the bubble.
func pass(d time.Duration) { <-time.After(d) }

// request makes a request with headers, given as name and value in turn.
func (r *rig) request(method, path, body string, headers ...string) *http.Request {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

// send sends a request and reads the whole answer.
func (r *rig) send(req *http.Request) *http.Response {
	r.Helper()
	rec := httptest.NewRecorder()
	r.site.ServeHTTP(rec, req)
	return rec.Result()
}

func (r *rig) do(method, path, body string, headers ...string) *http.Response {
	r.Helper()
	return r.send(r.request(method, path, body, headers...))
}

// want checks an answer's status code and returns its body.
func (r *rig) want(answer *http.Response, code int) string {
	r.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Fatal(err)
	}
	if answer.StatusCode != code {
		r.Errorf("answered %d %s, want %d", answer.StatusCode, body, code)
	}
	return string(body)
}

// header checks a header of an answer.
func (r *rig) header(answer *http.Response, name, want string) {
	r.Helper()
	if got := strings.Join(answer.Header.Values(name), ", "); got != want {
		r.Errorf("%s: %s, want %s", name, got, want)
	}
}

// accepted posts a build and returns the address of its status.
func (r *rig) accepted(do string, headers ...string) string {
	r.Helper()
	answer := r.do("POST", "/builds", "do="+do, headers...)
	r.want(answer, http.StatusAccepted)
	return answer.Header.Get("Location")
}

// status returns a job's status.
func (r *rig) status(path string) status.Status {
	r.Helper()
	answer := r.do("GET", path, "")
	var got status.Status
	if body := r.want(answer, http.StatusOK); json.Unmarshal([]byte(body), &got) != nil {
		r.Fatalf("the status is %s", body)
	}
	return got
}

// jobs is how many jobs there are.
func (r *rig) jobs() int {
	r.Helper()
	page, err := r.client.List(r.Context(), offstage.Filter{Limit: 1000})
	if err != nil {
		r.Fatal(err)
	}
	return len(page.Jobs)
}

// form makes a multipart form with a boundary of its own; names that begin with
// "file:" are files.
func form(boundary string, fields ...string) (body, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		panic(err)
	}
	for i := 0; i < len(fields); i += 2 {
		var part io.Writer
		var err error
		if name, ok := strings.CutPrefix(fields[i], "file:"); ok {
			part, err = w.CreateFormFile(name, boundary+".csv")
		} else {
			part, err = w.CreateFormField(fields[i])
		}
		if err == nil {
			_, err = part.Write([]byte(fields[i+1]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String(), w.FormDataContentType()
}
