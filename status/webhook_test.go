package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

// secret is that of the vectors below.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// The signature is that of the published example of Standard Webhooks.
func TestSignWebhook(t *testing.T) {
	got, err := status.SignWebhook(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("the signature is %s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + strings.Repeat("QUFB", 30)} {
		if _, err := status.SignWebhook(bad, "m", time.Now(), nil); err == nil {
			t.Errorf("the secret %.20q is accepted", bad)
		}
	}
}

// The schedule is that of Standard Webhooks.
func TestWebhookRetry(t *testing.T) {
	var waits []string
	for failed := 1; failed < status.WebhookRetry.MaxAttempts; failed++ {
		waits = append(waits, status.WebhookRetry.Backoff(failed).String())
	}
	if got, want := strings.Join(waits, " "), "5s 5m0s 30m0s 2h0m0s 5h0m0s 10h0m0s 14h0m0s 20h0m0s 24h0m0s"; got != want {
		t.Errorf("the waits are %s, want %s", got, want)
	}
}

// receiver is an endpoint, without a network.
type receiver struct {
	answers []int // the status of each answer; the last one repeats
	after   string
	got     []*http.Request
	bodies  []string
	at      []time.Time
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	code := r.answers[min(len(r.got), len(r.answers)-1)]
	r.got, r.bodies, r.at = append(r.got, req), append(r.bodies, string(body)), append(r.at, time.Now())
	answer := &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("said"))}
	if code >= 400 {
		answer.Header.Set("Retry-After", r.after)
	}
	return answer, nil
}

// inMemory runs a test on the store in memory, in virtual time.
func inMemory(t *testing.T, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, offstagetest.NewStore(), status.Config{})) })
}

// hook runs a webhook until it has ended, or for as long as its schedule takes.
func (r *rig) hook(to *receiver, hook status.Webhook, options ...offstage.Option) offstage.Details {
	r.Helper()
	return r.hookWith(status.WebhookConfig{Transport: to}, hook, options...)
}

func (r *rig) hookWith(cfg status.WebhookConfig, hook status.Webhook, options ...offstage.Option) offstage.Details {
	r.Helper()
	if cfg.Endpoint == nil {
		cfg.Endpoint = func(context.Context, string) (status.Endpoint, error) {
			return status.Endpoint{URL: "https://example.com/hook", Secrets: []string{secret, secret}}, nil
		}
	}
	w, err := worker.New(r.store, worker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.Fatal(err)
	}
	worker.HandleResult(w, status.NewWebhooks(r.client, cfg).Handle, worker.Retry(status.WebhookRetry))
	worker.HandleResult(w, func(_ context.Context, job *offstage.Job[build]) (int, error) {
		if job.Args.Do == "fail" {
			return 0, offstage.Fail(errors.New("dial tcp 10.0.0.7: refused"))
		}
		return 7, nil
	})
	receipt, err := r.client.Enqueue(r.Context(), hook, options...)
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	_, _ = receipt.Wait(r.Context()) // how it ended is looked at below
	cancel()
	if err := <-done; err != nil {
		r.Error(err)
	}
	job, err := r.client.Get(r.Context(), receipt.ID)
	if err != nil {
		r.Fatal(err)
	}
	return job
}

// A webhook that is not taken is sent again on the schedule, under the same id,
// signed anew; its attempts are the log.
func TestWebhook(t *testing.T) {
	inMemory(t, func(r *rig) {
		to := &receiver{answers: []int{500, 302, 503, 204}}
		job := r.hook(to, status.Webhook{Endpoint: "a", Type: "x.done", Data: json.RawMessage(`{"n":1}`)})
		if job.State != offstage.Completed || len(to.got) != 4 || len(job.Attempts) != 4 {
			r.Fatalf("it is %s after %d deliveries and %d attempts", job.State, len(to.got), len(job.Attempts))
		}
		if !strings.Contains(job.Attempts[0].Error, "Internal Server Error: said") {
			r.Errorf("the log says %q", job.Attempts[0].Error)
		}
		for i, wait := range []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute} {
			if got := to.at[i+1].Sub(to.at[i]); got < wait || got > wait+wait/2+time.Second {
				r.Errorf("attempt %d came after %s, want about %s", i+2, got, wait)
			}
		}
		for i, req := range to.got {
			if req.Header.Get("Webhook-Id") != to.got[0].Header.Get("Webhook-Id") || to.bodies[i] != to.bodies[0] {
				r.Error("the id or the body changes")
			}
			want, err := status.SignWebhook(secret, req.Header.Get("Webhook-Id"), to.at[i], []byte(to.bodies[i]))
			if got := req.Header.Get("Webhook-Signature"); got != want+" "+want || err != nil {
				r.Errorf("signed %q, %v; want %q twice", got, err, want)
			}
		}
		if !strings.Contains(to.bodies[0], `"data":{"n":1}`) || !strings.Contains(to.bodies[0], `"type":"x.done"`) {
			r.Errorf("the body is %s", to.bodies[0])
		}
	})
}

// An endpoint that is gone is disabled; one that asks for time gets it.
func TestWebhookAnswers(t *testing.T) {
	inMemory(t, func(r *rig) {
		disabled := ""
		cfg := status.WebhookConfig{
			Transport: &receiver{answers: []int{410}},
			Disable:   func(_ context.Context, name string) error { disabled = name; return nil },
		}
		job := r.hookWith(cfg, status.Webhook{Endpoint: "a", Type: "x"})
		if job.State != offstage.Cancelled || disabled != "a" || len(job.Attempts) != 1 {
			r.Errorf("after 410 it is %s, and %q is disabled", job.State, disabled)
		}
		cfg.Endpoint = func(context.Context, string) (status.Endpoint, error) { return status.Endpoint{Disabled: true}, nil }
		if job := r.hookWith(cfg, status.Webhook{Endpoint: "a"}); job.State != offstage.Cancelled {
			r.Errorf("to a disabled endpoint it is %s", job.State)
		}
		slow := &receiver{answers: []int{429, 200}, after: "3600"}
		r.hook(slow, status.Webhook{Endpoint: "a"})
		if got := slow.at[1].Sub(slow.at[0]); got < time.Hour || got > time.Hour+time.Minute {
			r.Errorf("with Retry-After: 3600 it came after %s", got)
		}
		if job := r.hook(slow, status.Webhook{Data: json.RawMessage(`"` + strings.Repeat("x", 30_000) + `"`)}); job.State != offstage.Failed || len(job.Attempts) != 1 {
			r.Errorf("a long one is %s", job.State)
		}
	})
}

// A webhook that follows a job tells how that ended, in words for strangers.
func TestWebhookFollows(t *testing.T) {
	inMemory(t, func(r *rig) {
		for do, want := range map[string][]string{
			"nothing": {`"state":"completed"`, `"result":7`, `"error":null`},
			"fail":    {`"state":"failed"`, "something went wrong on our side"},
		} {
			first, err := r.client.Enqueue(r.Context(), build{Do: do}, offstage.Then(status.Webhook{Endpoint: "a", Type: "build.ended"}))
			if err != nil {
				r.Fatal(err)
			}
			to := &receiver{answers: []int{200}}
			r.hook(to, status.Webhook{Endpoint: "b", Type: "other"}, offstage.After(time.Minute))
			for _, text := range append(want, `"id":`+first.ID.String(), `"kind":"build"`) {
				if !strings.Contains(to.bodies[0], text) || strings.Contains(to.bodies[0], "10.0.0.7") {
					r.Errorf("the webhook of a job that does %s says %s", do, to.bodies[0])
				}
			}
		}
	})
}

// Webhooks go to public addresses only, by whatever name or number.
func TestWebhookAddresses(t *testing.T) {
	for _, address := range []string{
		"127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]", "[::]",
		"[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255", "198.18.0.1",
	} {
		hooks := status.NewWebhooks(nil, status.WebhookConfig{Endpoint: func(context.Context, string) (status.Endpoint, error) {
			return status.Endpoint{URL: "http://" + address + ":9/", Secrets: []string{secret}}, nil
		}})
		job := &offstage.Job[status.Webhook]{Args: status.Webhook{Endpoint: "a"}}
		if _, err := hooks.Handle(t.Context(), job); err == nil || !strings.Contains(err.Error(), "is not a public address") {
			t.Errorf("to %s: %v", address, err)
		}
	}
}
