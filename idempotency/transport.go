// Package idempotency makes HTTP calls of a job's handler safe to repeat: its
// [Transport] sends the running job's idempotency key, and turns a Retry-After
// into the time of the next attempt.
package idempotency

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// Header is the header field of the key, as draft-ietf-httpapi-idempotency-key-header
// and most payment providers have it.
const Header = "Idempotency-Key"

// Transport is an [http.RoundTripper] that adds the running job's idempotency key
// to requests that are not idempotent by themselves (POST and PATCH) and have
// none: give requests the handler's or the step's context. The key is
// [offstage.IdempotencyKey] of the step, the method and the URL, the same for
// every attempt. Requests without a running job pass as they are.
//
// Since that key stands for one request, a second one in the same step to the
// same method and URL with another body is refused by [ErrAnotherRequest]: give
// it a step of its own, or set the header yourself. The same request again, as
// after a lost answer, has the same key.
//
// An answer 429 or 503 with a Retry-After becomes a [RetryAfterError], by which
// the step, if it has [offstage.StepRetry], or the job is tried again at that
// time.
//
// The zero value is ready for use. It is safe for concurrent use; do not change
// the fields once it is used.
type Transport struct {
	// Base makes the requests. nil is http.DefaultTransport.
	Base http.RoundTripper
	// Header is the key's header field. "" is [Header].
	Header string

	mu   sync.Mutex
	sent map[string][sha256.Size]byte // guarded by mu: hashes of bodies, by key
	keys []string                     // guarded by mu: of sent, oldest first
}

// ErrAnotherRequest means that a step sent two different requests to the same URL
// that would have had the same key.
var ErrAnotherRequest = errors.New("idempotency: another request to this URL, with another body, was sent by this step under the same key; give each a step of its own, or set the header")

// RetryAfterError is an answer that asked for a later try.
type RetryAfterError struct {
	Status int           // 429 or 503
	After  time.Duration // from now
	Body   string        // the beginning of the answer's body, for people
}

// Error names the status, the wait and the answer.
func (e *RetryAfterError) Error() string {
	text := fmt.Sprintf("%d %s: try again in %s", e.Status, http.StatusText(e.Status), e.After.Round(time.Second))
	if e.Body != "" {
		text += ": " + e.Body
	}
	return text
}

// RetryAfter is what [offstage.RetryAfter] describes.
func (e *RetryAfterError) RetryAfter() time.Duration { return e.After }

// RoundTrip is for [http.Client].
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	request, err := t.withKey(request)
	if err != nil {
		if request.Body != nil {
			err = errors.Join(err, request.Body.Close())
		}
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	response, err := base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	return heed(response)
}

// withKey returns the request with the key that it needs.
func (t *Transport) withKey(request *http.Request) (*http.Request, error) {
	header := t.Header
	if header == "" {
		header = Header
	}
	if request.Method != http.MethodPost && request.Method != http.MethodPatch || request.Header.Get(header) != "" {
		return request, nil
	}
	key := offstage.IdempotencyKey(request.Context(), request.Method, request.URL.String())
	if key == "" {
		return request, nil
	}
	if err := t.remember(key, request); err != nil {
		return request, err
	}
	request = request.Clone(request.Context()) // a RoundTripper must not change what it was given
	request.Header.Set(header, key)
	return request, nil
}

// maxSent is how many keys are remembered.
const maxSent = 10_000

// remember notes what is sent under a key, and refuses another body. A body that
// cannot be read twice is not compared.
func (t *Transport) remember(key string, request *http.Request) error {
	hash := sha256.New()
	if request.Body != nil && request.Body != http.NoBody {
		if request.GetBody == nil {
			return nil
		}
		body, err := request.GetBody()
		if err != nil {
			return err
		}
		_, err = io.Copy(hash, body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	t.mu.Lock()
	defer t.mu.Unlock()
	if before, there := t.sent[key]; there {
		if before != sum {
			return ErrAnotherRequest
		}
		return nil
	}
	if t.sent == nil {
		t.sent = map[string][sha256.Size]byte{}
	}
	if len(t.keys) == maxSent {
		delete(t.sent, t.keys[0])
		t.keys = t.keys[1:]
	}
	t.sent[key] = sum
	t.keys = append(t.keys, key)
	return nil
}

// maxBody is how much of an answer that asks for a later try is kept.
const maxBody = 500

// heed turns an answer that asks for a later try into an error.
func heed(response *http.Response) (*http.Response, error) {
	if response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable {
		return response, nil
	}
	after, ok := retryAfter(response.Header, time.Now())
	if !ok {
		return response, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	said := &RetryAfterError{Status: response.StatusCode, After: after, Body: string(bytes.ToValidUTF8(body, []byte("?")))}
	return nil, errors.Join(said, err, response.Body.Close())
}

// retryAfter reads a Retry-After: a number of seconds, or a time (RFC 9110,
// section 10.2.3), which is compared with the server's own Date if it says one.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		if seconds <= 0 {
			return 0, false
		}
		return time.Duration(min(seconds, int64(offstage.MaxDelay/time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	wait := at.Sub(now)
	return min(wait, offstage.MaxDelay), wait > 0
}
