package device

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrTimeout is the reason of an [UnavailableError] when no answer came within [Client.Timeout].
var ErrTimeout = errors.New("no answer in time")

// UnavailableError says that a device gave no answer that settles the request. The command may have been applied or
// not: sending it again with the same key is safe and the way to find out.
type UnavailableError struct {
	Device     string
	RetryAfter time.Duration // how long the device asks to be left alone; 0 if it did not say
	Reason     error         // never nil; Unwrap returns it
}

// Error returns a sentence for the user.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("device %s is unavailable: %v", e.Device, e.Reason)
}

// Unwrap returns the reason.
func (e *UnavailableError) Unwrap() error { return e.Reason }

// RejectedError says that a device refused the request for good: the same request will be refused again.
type RejectedError struct {
	Device string
	Status int    // of HTTP
	Reason string // the device's words
}

// Error returns a sentence for the user.
func (e *RejectedError) Error() string {
	return fmt.Sprintf("device %s rejected the request: %s", e.Device, e.Reason)
}

// Client talks to devices. The zero value is ready; it is safe for concurrent use and must not be changed once used.
type Client struct {
	HTTP    *http.Client  // nil means http.DefaultClient
	Timeout time.Duration // of one request; 0 means 5 s
}

const defaultTimeout = 5 * time.Second

// Send asks a device to apply a command once for this key, and returns when it said that it has. It tries once. The
// error is an *[UnavailableError], a *[RejectedError], or wraps the cause of ctx when that ended.
func (c *Client) Send(ctx context.Context, baseURL, id, command, key string) (Result, error) {
	return c.SendWithCallback(ctx, baseURL, id, command, key, "")
}

// SendWithCallback is Send of a command after which the device sends a [Report] to an address, when it has carried the
// command out; "" is none.
func (c *Client) SendWithCallback(ctx context.Context, baseURL, id, command, key, callback string) (Result, error) {
	if err := Validate(id, command, key); err != nil {
		return Result{}, &RejectedError{Device: id, Status: http.StatusBadRequest, Reason: err.Error()}
	}
	request := map[string]string{"command": command}
	if callback != "" {
		request["callback"] = callback
	}
	body, err := json.Marshal(request)
	if err != nil {
		return Result{}, fmt.Errorf("encode command: %w", err)
	}
	header := http.Header{"Idempotency-Key": {key}, "Content-Type": {"application/json"}}
	var r Result
	err = c.do(ctx, id, http.MethodPost, address(baseURL, id, "commands"), header, body, &r)
	return r, err
}

// State returns what can be seen of a device, without meeting faults. Errors are as for Send.
func (c *Client) State(ctx context.Context, baseURL, id string) (State, error) {
	var s State
	err := c.do(ctx, id, http.MethodGet, address(baseURL, id), nil, nil, &s)
	return s, err
}

// Down switches a device off for d, which is more than 0 and at most 24 h. Errors are as for Send.
func (c *Client) Down(ctx context.Context, baseURL, id string, d time.Duration) (State, error) {
	var s State
	err := c.do(ctx, id, http.MethodPost, address(baseURL, id, "down")+"?for="+url.QueryEscape(d.String()), nil, nil, &s)
	return s, err
}

// Up switches a device on, which is no error if it is on. Errors are as for Send.
func (c *Client) Up(ctx context.Context, baseURL, id string) (State, error) {
	var s State
	err := c.do(ctx, id, http.MethodPost, address(baseURL, id, "up"), nil, nil, &s)
	return s, err
}

func address(baseURL, id string, rest ...string) string {
	a := baseURL + "/devices/" + url.PathEscape(id)
	for _, r := range rest {
		a += "/" + r
	}
	return a
}

// do makes one request and decodes a good answer into result.
func (c *Client) do(ctx context.Context, id, method, address string, header http.Header, body []byte, result any) error {
	if err := validateID(id); err != nil {
		return &RejectedError{Device: id, Status: http.StatusBadRequest, Reason: err.Error()}
	}
	timeout := cmp.Or(c.Timeout, defaultTimeout)
	limited, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("device %s: %w", id, err)
	}
	// With a key and a body that can be had again, net/http would repeat a broken request by itself; whoever sends
	// commands wants to see and count each try.
	request.GetBody = nil
	request.Header = header
	response, text, err := c.fetch(request)
	switch {
	case err == nil:
		return settle(id, response, text, result)
	case ctx.Err() != nil:
		return fmt.Errorf("device %s: %w", id, context.Cause(ctx))
	case limited.Err() != nil:
		return &UnavailableError{Device: id, Reason: fmt.Errorf("%w (%v)", ErrTimeout, timeout)}
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the address, which says nothing to a user
	}
	return &UnavailableError{Device: id, Reason: fmt.Errorf("the connection broke: %w", err)}
}

// maxAnswer bounds an answer; every State fits.
const maxAnswer = 4 << 20

// fetch returns the response with its whole body.
func (c *Client) fetch(r *http.Request) (_ *http.Response, body []byte, err error) {
	client := cmp.Or(c.HTTP, http.DefaultClient)
	response, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response, body, errors.Join(err, response.Body.Close())
}

// settle turns an answer into the result or an error.
func settle(id string, response *http.Response, text []byte, result any) error {
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, result); err != nil {
			return &UnavailableError{Device: id, Reason: fmt.Errorf("its answer cannot be read: %w", err)}
		}
		return nil
	}
	var p problem
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		p.Error = response.Status
	}
	switch s := response.StatusCode; {
	case s >= 500, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		return &UnavailableError{Device: id, RetryAfter: retryAfter(response), Reason: errors.New(p.Error)}
	}
	return &RejectedError{Device: id, Status: response.StatusCode, Reason: p.Error}
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(response *http.Response) time.Duration {
	text := response.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
