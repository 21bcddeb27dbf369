package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/idempotency"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// provider is a server that notes the keys it gets.
type provider struct {
	*httptest.Server
	mu     sync.Mutex
	keys   []string                    // guarded by mu
	answer func(w http.ResponseWriter) // guarded by mu; nil: 200
}

func newProvider(tb testing.TB) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.keys = append(p.keys, r.Header.Get(idempotency.Header))
		if p.answer != nil {
			p.answer(w)
		}
	}))
	tb.Cleanup(p.Close)
	return p
}

// send sends a request and drops the answer.
func send(ctx context.Context, client *http.Client, method, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// attempts runs a handler until its job has ended.
func attempts(t *testing.T, handler func(ctx context.Context, run int) error) offstage.Details {
	t.Helper()
	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	worker.HandleNamed(w, "call", func(ctx context.Context, job *offstage.Job[int]) error { return handler(ctx, job.Run) },
		worker.Retry(offstage.RetryPolicy{MaxAttempts: 3, Backoff: func(int) time.Duration { return 0 }}))
	client := offstage.NewClient(store)
	receipt, err := client.Enqueue(t.Context(), offstage.Named("call", 1))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context()) }()
	_, _ = receipt.Wait(t.Context()) // how it ended is looked at below
	w.Stop(false)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	got, err := client.Get(t.Context(), receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheSameKeyForEveryAttempt(t *testing.T) {
	p := newProvider(t)
	client := &http.Client{Transport: &idempotency.Transport{}}
	attempts(t, func(ctx context.Context, run int) error {
		for _, step := range []string{"charge", "refund"} {
			_, err := offstage.Step(ctx, step, func(ctx context.Context) (int, error) {
				return 0, errors.Join(send(ctx, client, "POST", p.URL, step), errors.New("the answer was lost"))
			})
			_ = err // both are tried in each attempt
		}
		if run < 3 {
			return errors.New("again")
		}
		return nil
	})
	if len(p.keys) != 6 || p.keys[0] == "" || p.keys[0] == p.keys[1] {
		t.Fatalf("keys %q", p.keys)
	}
	for i := range 4 {
		if p.keys[i] != p.keys[i+2] {
			t.Errorf("the keys of two attempts differ: %q", p.keys)
		}
	}
}

func TestWhichRequestsGetAKey(t *testing.T) {
	p := newProvider(t)
	client := &http.Client{Transport: &idempotency.Transport{}}
	if err := send(t.Context(), client, "POST", p.URL, "outside a job"); err != nil {
		t.Fatal(err)
	}
	got := attempts(t, func(ctx context.Context, run int) error {
		request, err := http.NewRequestWithContext(ctx, "POST", p.URL+"/own", nil)
		if err != nil {
			return err
		}
		request.Header.Set(idempotency.Header, "mine")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return errors.Join(response.Body.Close(),
			send(ctx, client, "GET", p.URL, ""), send(ctx, client, "PUT", p.URL, ""), send(ctx, client, "DELETE", p.URL, ""),
			send(ctx, client, "POST", p.URL, "1"), send(ctx, client, "POST", p.URL, "1"), send(ctx, client, "PATCH", p.URL, "1"), send(ctx, client, "POST", p.URL+"/token", ""),
			offstage.Cancel(send(ctx, client, "POST", p.URL, "2")))
	})
	if !strings.Contains(got.Error, "a step of its own") {
		t.Errorf("a second body under the same key: %q", got.Error)
	}
	keys := p.keys
	if len(keys) != 9 {
		t.Fatalf("%d requests: %q", len(keys), keys)
	}
	for i, want := range []string{"", "mine", "", "", ""} {
		if keys[i] != want {
			t.Errorf("request %d has key %q; want %q", i, keys[i], want)
		}
	}
	if keys[5] == "" || keys[5] != keys[6] || keys[7] == keys[5] || keys[8] == keys[5] || keys[7] == "" || keys[8] == "" {
		t.Errorf("keys %q", keys[5:])
	}
}

func TestRetryAfter(t *testing.T) {
	date := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		status int
		after  string
		want   time.Duration
	}{
		{429, "120", 2 * time.Minute},
		{503, date.Add(time.Hour).Format(http.TimeFormat), time.Hour},
		{503, "99999999999999", offstage.MaxDelay},
		{429, "0", 0}, {429, "-5", 0}, {429, "soon", 0}, {503, date.Format(http.TimeFormat), 0}, {429, "", 0}, {500, "5", 0}, {200, "5", 0},
	} {
		t.Run(fmt.Sprint(c.status, c.after), func(t *testing.T) {
			p := newProvider(t)
			p.answer = func(w http.ResponseWriter) {
				w.Header().Set("Date", date.Format(http.TimeFormat))
				w.Header().Set("Retry-After", c.after)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, "too many") // the client sees it or not
			}
			err := send(t.Context(), &http.Client{Transport: &idempotency.Transport{}}, "POST", p.URL, "")
			var said *idempotency.RetryAfterError
			if found := errors.As(err, &said); found != (c.want > 0) {
				t.Fatalf("the error is %v", err)
			} else if found && (said.RetryAfter() != c.want || said.Status != c.status || said.Body != "too many") {
				t.Errorf("got %+v; want %s", said, c.want)
			}
		})
	}
}

// later is a server that asks twice for a second.
type later struct{ calls int }

func (l *later) RoundTrip(*http.Request) (*http.Response, error) {
	l.calls++
	answer := httptest.NewRecorder()
	if l.calls < 3 {
		answer.Header().Set("Retry-After", "1")
		answer.WriteHeader(http.StatusTooManyRequests)
	}
	return answer.Result(), nil
}

// A step that may be tried again waits as the server asked.
func TestStepHeedsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: &idempotency.Transport{Base: &later{}}}
		got := attempts(t, func(ctx context.Context, run int) error {
			_, err := offstage.Step(ctx, "charge", func(ctx context.Context) (int, error) {
				return 0, send(ctx, client, "POST", "http://provider.example", "")
			}, offstage.StepRetry(3, func(int) time.Duration { return 0 }))
			return err
		})
		if got.State != offstage.Completed || got.Run != 1 || got.Steps[0].Tries != 3 {
			t.Errorf("%s in run %d, steps %+v", got.State, got.Run, got.Steps)
		}
		if took := got.FinishedAt.Sub(got.StartedAt); took < 2*time.Second || took >= 3*time.Second {
			t.Errorf("it took %s; the server asked twice for a second", took)
		}
	})
}

// Handlers call others through a client with the transport.
func ExampleTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("a key of", len(r.Header.Get("Idempotency-Key")), "characters")
	}))
	defer server.Close()
	client := &http.Client{Transport: &idempotency.Transport{}}

	handler := func(ctx context.Context, job *offstage.Job[int]) error {
		_, err := offstage.Step(ctx, "charge", func(ctx context.Context) (int, error) {
			return 0, send(ctx, client, "POST", server.URL, `{"amount": 100}`) // with the step's context
		})
		return err
	}

	store := offstagetest.NewStore()
	w, err := worker.New(store, worker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	worker.HandleNamed(w, "bill", handler)
	ctx := context.Background()
	receipt, err := offstage.NewClient(store).Enqueue(ctx, offstage.Named("bill", 7))
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	_, err = receipt.Wait(ctx)
	w.Stop(false)
	fmt.Println(err, <-ended)
	// Output:
	// a key of 36 characters
	// <nil> <nil>
}
