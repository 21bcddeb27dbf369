package status

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// Webhook is a job that tells another service of an event, signed by Standard
// Webhooks 1.0. Enqueue it like any job, or let it follow one: see
// [offstage.Then] and [Webhooks]. Its attempts are the log of its deliveries, and
// an operator's retry sends it again, under the same id.
type Webhook struct {
	// Endpoint names who is told; [WebhookConfig.Endpoint] knows where that is.
	Endpoint string `json:"endpoint"`
	// Type is what happened, such as "report.completed".
	Type string `json:"type"`
	// Data is the event's content. A follower without one tells how the job that
	// it follows has ended.
	Data json.RawMessage `json:"data,omitempty"`
}

// Kind returns "offstage.webhook".
func (Webhook) Kind() string { return "offstage.webhook" }

// Endpoint is where webhooks are sent.
type Endpoint struct {
	URL string
	// Secrets sign what is sent: "whsec_" and base64 of 24 to 64 bytes. While one
	// is being replaced, there are two.
	Secrets []string
	// Disabled endpoints are sent nothing; their webhooks end cancelled.
	Disabled bool
}

// WebhookConfig says how webhooks are sent.
type WebhookConfig struct {
	// Endpoint returns an endpoint by its name. An error is retried, unless it
	// says otherwise ([offstage.Fail]).
	Endpoint func(ctx context.Context, name string) (Endpoint, error)
	// Disable is told that an endpoint answered 410, which means that it wants
	// nothing any more; nil: nobody is.
	Disable func(ctx context.Context, name string) error
	// Transport sends the requests; nil: one that refuses destinations which are
	// not public, after their names were resolved.
	Transport http.RoundTripper
	// Timeout bounds an attempt; 0 means 20 s.
	Timeout time.Duration
}

// Webhooks send [Webhook] jobs. Give Handle to a worker, with Retry as its policy:
//
//	worker.HandleResult(w, hooks.Handle, worker.Retry(status.WebhookRetry))
type Webhooks struct {
	cfg    WebhookConfig
	client *offstage.Client
	http   *http.Client
}

// NewWebhooks returns a sender. The client is asked for the jobs that webhooks
// follow.
func NewWebhooks(client *offstage.Client, cfg WebhookConfig) *Webhooks {
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = publicTransport()
	}
	return &Webhooks{cfg, client, &http.Client{
		Transport: cfg.Transport, Timeout: cfg.Timeout,
		// A redirect is a failure: it could lead anywhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// webhookWaits is the schedule of Standard Webhooks: after how long each further
// attempt comes.
var webhookWaits = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// WebhookRetry is the schedule of Standard Webhooks 1.0: ten attempts in about
// three days.
var WebhookRetry = offstage.RetryPolicy{
	MaxAttempts: len(webhookWaits) + 1,
	Backoff:     func(failed int) time.Duration { return webhookWaits[min(max(failed, 1), len(webhookWaits))-1] },
}

// maxWebhook limits what is sent, in bytes: receivers expect less.
const maxWebhook = 20 << 10

// Delivery is the result of a webhook that was taken.
type Delivery struct {
	Status int    `json:"status"` // of the answer
	ID     string `json:"id"`     // the webhook-id that was sent
}

// Handle sends a webhook.
func (h *Webhooks) Handle(ctx context.Context, job *offstage.Job[Webhook]) (Delivery, error) {
	id := fmt.Sprintf("msg_%d", job.ID)
	endpoint, err := h.cfg.Endpoint(ctx, job.Args.Endpoint)
	if err != nil {
		return Delivery{}, err
	}
	if endpoint.Disabled {
		return Delivery{}, offstage.Cancel(errors.New("the endpoint is disabled"))
	}
	body, err := h.bodyOf(ctx, job)
	if err != nil {
		return Delivery{}, err
	}
	req, err := newWebhookRequest(ctx, endpoint, id, time.Now(), body)
	if err != nil {
		return Delivery{}, offstage.Fail(err)
	}
	answer, err := h.http.Do(req)
	if err != nil {
		var refused *addressError
		if errors.As(err, &refused) {
			return Delivery{}, offstage.Fail(err)
		}
		return Delivery{}, err
	}
	defer func() { _ = answer.Body.Close() }() // only its beginning is of interest
	return h.judge(ctx, job.Args.Endpoint, id, answer)
}

// judge says what an answer means: 2xx is success, 410 the end for the endpoint,
// all else a failure that is tried again.
func (h *Webhooks) judge(ctx context.Context, name, id string, answer *http.Response) (Delivery, error) {
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 200)) // what cannot be read says nothing
	err := fmt.Errorf("the endpoint answered %s: %s", answer.Status, strings.ToValidUTF8(string(said), ""))
	switch {
	case answer.StatusCode/100 == 2:
		return Delivery{answer.StatusCode, id}, nil
	case answer.StatusCode == http.StatusGone:
		if h.cfg.Disable != nil {
			if failed := h.cfg.Disable(ctx, name); failed != nil {
				return Delivery{}, failed
			}
		}
		return Delivery{}, offstage.Cancel(err)
	}
	if after, bad := strconv.Atoi(answer.Header.Get("Retry-After")); bad == nil && after > 0 {
		return Delivery{}, offstage.RetryAfter(min(time.Duration(after)*time.Second, 24*time.Hour), err)
	}
	return Delivery{}, err
}

// endedJob is the data of a webhook that follows a job.
type endedJob struct {
	ID     offstage.ID     `json:"id"`
	Kind   string          `json:"kind"`
	State  *offstage.State `json:"state"` // null: it was deleted
	Error  *string         `json:"error"`
	Result json.RawMessage `json:"result"`
}

// bodyOf makes the JSON that is sent, the same at each attempt.
func (h *Webhooks) bodyOf(ctx context.Context, job *offstage.Job[Webhook]) ([]byte, error) {
	data := any(job.Args.Data)
	if followed := offstage.Followed(job.Facts); followed != 0 && job.Args.Data == nil {
		ended := endedJob{ID: followed}
		info, err := h.client.Get(ctx, followed)
		if err == nil {
			ended.Kind, ended.State, ended.Result = info.Kind, &info.State, info.Result
			if text := Message(info.JobInfo); text != "" {
				ended.Error = &text
			}
		} else if !errors.Is(err, offstage.ErrNotFound) {
			return nil, err
		}
		data = ended
	}
	body, err := json.Marshal(map[string]any{"type": job.Args.Type, "timestamp": job.CreatedAt.UTC(), "data": data})
	if err == nil && len(body) > maxWebhook {
		err = fmt.Errorf("the webhook has %d bytes, more than %d; send a reference", len(body), maxWebhook)
	}
	if err != nil {
		return nil, offstage.Fail(err)
	}
	return body, nil
}

// newWebhookRequest signs a webhook by each of the endpoint's secrets.
func newWebhookRequest(ctx context.Context, endpoint Endpoint, id string, at time.Time, body []byte) (*http.Request, error) {
	where, err := url.Parse(endpoint.URL)
	if err != nil || where.Host == "" || where.Scheme != "https" && where.Scheme != "http" {
		return nil, fmt.Errorf("%.200q is not the URL of an endpoint", endpoint.URL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	var signatures []string
	for _, secret := range endpoint.Secrets {
		signature, err := SignWebhook(secret, id, at, body)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	if len(signatures) == 0 {
		return nil, errors.New("the endpoint has no secret to sign by")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Offstage")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("Webhook-Signature", strings.Join(signatures, " "))
	return req, nil
}

// SignWebhook returns the signature of a message by a secret, "v1," and base64 of
// the HMAC-SHA256 of "id.timestamp.body" (Standard Webhooks 1.0). It is our own, since
// the standard's library for Go has no release but v0.0.1.
func SignWebhook(secret, id string, at time.Time, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return "", errors.New("a webhook's secret is whsec_ and base64 of 24 to 64 bytes")
	}
	h := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(h, "%s.%d.", id, at.Unix()) // a hash takes everything
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}
