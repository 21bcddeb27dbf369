package device

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answering returns a client of a server that gives every request the same answer.
func answering(t *testing.T, status int, header http.Header, body string) (*Client, string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return newClient(t, &http.Transport{}), server.URL
}

func TestAnswersOfOthers(t *testing.T) {
	for _, c := range []struct {
		status      int
		body        string
		unavailable bool
		reason      string
	}{
		{200, "<html>", true, "cannot be read"},
		{200, "", true, "cannot be read"},
		{302, "", false, "302"},
		{400, `{"error":"bad pump"}`, false, "bad pump"},
		{404, "not here", false, "404 Not Found"},
		{408, "", true, "408"},
		{425, "", true, "425"},
		{429, "", true, "429"},
		{500, `{"error":"disk full"}`, true, "disk full"},
		{501, "", true, "501"},
		{503, `{"error":""}`, true, "503"},
	} {
		client, url := answering(t, c.status, nil, c.body)
		_, err := client.Send(t.Context(), url, "d", "open", "k")
		var rejected *RejectedError
		switch {
		case c.unavailable:
			asUnavailable(t, err)
		case !errors.As(err, &rejected) || rejected.Status != c.status:
			t.Errorf("%d: got %v, want a *RejectedError", c.status, err)
		}
		if !strings.Contains(err.Error(), c.reason) || !strings.Contains(err.Error(), "device d") {
			t.Errorf("%d: got %q, want a sentence with %q", c.status, err, c.reason)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for header, want := range map[string]time.Duration{
			"": 0, "7": 7 * time.Second, "0": 0, "-5": 0, "soon": 0, "99999999999": 0,
			time.Now().UTC().Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
			time.Now().UTC().Add(-time.Hour).Format(http.TimeFormat):       0,
		} {
			if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {header}}}); got != want {
				t.Errorf("%q: got %v, want %v", header, got, want)
			}
		}
	})
}

func TestNobodyListens(t *testing.T) {
	l, url, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, &http.Transport{})
	_, err = c.Send(t.Context(), url, "d", "open", "k")
	asUnavailable(t, err)
	if strings.Contains(err.Error(), "http://") {
		t.Errorf("%q shows an address to the user", err)
	}
	if _, err := c.Send(t.Context(), "::", "d", "open", "k"); err == nil {
		t.Error("an impossible address gives no error")
	}
}

func TestTheContextEndsARequest(t *testing.T) {
	virtual(t, Options{Faults: Faults{Hang: 1}}, func(t *testing.T, c *Client) {
		shutdown := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(shutdown) })
		_, err := c.Send(ctx, devices, "d", "open", "k")
		var down *UnavailableError
		if !errors.Is(err, shutdown) || errors.As(err, &down) {
			t.Errorf("got %v, want the cause of the context", err)
		}
	})
}

// net/http repeats a request with an Idempotency-Key by itself when a connection that was used before breaks; here
// every try is the caller's.
func TestSendTriesOnce(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		answer(w, http.StatusOK, Result{})
	}))
	defer server.Close()
	c := newClient(t, &http.Transport{MaxConnsPerHost: 1})
	if _, err := c.Send(t.Context(), server.URL, "d", "open", "k"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Send(t.Context(), server.URL, "d", "open", "k")
	asUnavailable(t, err)
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests for 2 calls", n)
	}
}
