package status_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage/status"
)

// A repeat gets the first answer, before, while and after the job runs.
func TestRepeat(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		first := r.accepted("wait", "Idempotency-Key", `"8e03978e-40d5"`)
		again := func(when string, key string) {
			r.Helper()
			answer := r.do("POST", "/builds", "do=wait", "Idempotency-Key", key)
			r.want(answer, http.StatusAccepted)
			r.header(answer, "Location", first)
			r.header(answer, "Idempotency-Replayed", "true")
		}
		again("while it waits", "8e03978e-40d5")
		stop := r.work()
		pass(time.Second)
		again("while it runs", `"8e03978e-40d5"`)
		pass(20 * time.Second)
		again("when it has ended", `"8e03978e-40d5"`)
		stop()
		if err := r.client.Delete(r.Context(), r.status(first).ID); err != nil {
			r.Fatal(err)
		}
		again("when it is gone", `"8e03978e-40d5"`)
		r.want(r.do("GET", first, ""), http.StatusGone)
		if r.jobs() != 0 {
			r.Errorf("%d jobs were enqueued anew", r.jobs())
		}
		pass(24 * time.Hour)
		if next := r.accepted("wait", "Idempotency-Key", "8e03978e-40d5"); next == first {
			r.Error("the key was kept for more than 24 hours")
		}
	})
}

// What a client calls a key is one text, quoted or bare.
func TestKeys(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		for _, bad := range []string{
			``, ` `, `""`, `"a`, `a"`, `"a"b`, `"a" "b"`, `"\n"`, `"a\"`, "é", `a b`, `a,b`, "a\x7f",
			strings.Repeat("k", 256), `"` + strings.Repeat("k", 256) + `"`,
		} {
			answer := r.do("POST", "/builds", "do=a", "Idempotency-Key", bad)
			if body := r.want(answer, http.StatusBadRequest); !strings.Contains(body, "1 to 255") {
				r.Errorf("for %.20q the body is %s", bad, body)
			}
		}
		r.want(r.do("POST", "/builds", "do=a", "Idempotency-Key", "a", "Idempotency-Key", "b"), http.StatusBadRequest)
		for _, same := range [][2]string{
			{`a`, `"a"`}, {` a `, `a`}, {`"a\"\\b"`, `"a\"\\b"`}, {`"a b, c"`, `"a b, c"`}, {strings.Repeat("k", 255), `"` + strings.Repeat("k", 255) + `"`},
		} {
			if a, b := r.accepted("a", "Idempotency-Key", same[0]), r.accepted("a", "Idempotency-Key", same[1]); a != b {
				r.Errorf("%.20q and %.20q are different keys", same[0], same[1])
			}
		}
	})
}

// A key is used again only for the same content, however that is wrapped.
func TestContent(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		big := strings.Repeat("0123456789", 100_000)
		post := func(key, path, body, contentType string) *http.Response {
			req := r.request("POST", path, body, "Idempotency-Key", key)
			req.Header.Set("Content-Type", contentType)
			return r.send(req)
		}
		urlencoded := "application/x-www-form-urlencoded"
		send := func(boundary string, fields ...string) [2]string {
			body, contentType := form(boundary, fields...)
			return [2]string{body, contentType}
		}
		for i, c := range []struct {
			first, second [2]string
			same          bool
		}{
			{send("one", "do", "a", "file:f", big), send("two", "do", "a", "file:f", big), true},
			{send("one", "do", "a", "file:f", big), send("two", "file:f", big, "do", "a"), true},
			{send("one", "do", "a", "file:f", big), send("one", "do", "a", "file:f", big+"x"), false},
			{send("one", "do", "a", "file:f", big), send("one", "do", "b", "file:f", big), false},
			{send("one", "do", "a", "file:f", ""), send("one", "do", "a", "file:g", ""), false},
			{send("one", "do", "a"), send("one", "do", "a", "do", "a"), false},
			{[2]string{"do=a&x=1", urlencoded}, [2]string{"x=1&do=%61", urlencoded}, true},
			{[2]string{"do=a&x=1", urlencoded}, [2]string{"do=a&x=2", urlencoded}, false},
			{[2]string{`{"a":1}`, "application/json"}, [2]string{`{"a":1}`, "application/json"}, true},
			{[2]string{`{"a":1}`, "application/json"}, [2]string{`{"a":2}`, "application/json"}, false},
		} {
			key := fmt.Sprint("key", i)
			first := post(key, "/raw/1", c.first[0], c.first[1])
			r.want(first, http.StatusAccepted)
			if r.read != c.first[0] {
				r.Errorf("case %d: the handler read %d bytes of %d", i, len(r.read), len(c.first[0]))
			}
			second := post(key, "/raw/1", c.second[0], c.second[1])
			if !c.same {
				r.want(second, http.StatusUnprocessableEntity)
				continue
			}
			r.want(second, http.StatusAccepted)
			r.header(second, "Location", first.Header.Get("Location"))
		}
		r.want(post("key0", "/raw/2", send("one", "do", "a", "file:f", big)[0], send("one")[1]), http.StatusUnprocessableEntity)
	})
}

// A form that the handler has parsed is the same as one that it has not.
func TestContentOfParsedForms(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		body, contentType := form("one", "do", "a", "file:f", "content")
		parsed := r.request("POST", "/builds", body, "Idempotency-Key", "k")
		parsed.Header.Set("Content-Type", contentType)
		if err := parsed.ParseMultipartForm(1 << 20); err != nil {
			r.Fatal(err)
		}
		ticket, err := r.flows.Enqueue(parsed, build{})
		if err != nil {
			r.Fatal(err)
		}
		other, contentType := form("two", "do", "a", "file:f", "other content")
		again := r.request("POST", "/builds", other, "Idempotency-Key", "k")
		again.Header.Set("Content-Type", contentType)
		if err := again.ParseMultipartForm(1 << 20); err != nil {
			r.Fatal(err)
		}
		if _, err := r.flows.Enqueue(again, build{}); status.ProblemOf(err).Status != http.StatusUnprocessableEntity {
			r.Errorf("other content: %v", err)
		}
		if second, err := r.flows.Enqueue(parsed, build{}); err != nil || !second.Repeated || second.Location != ticket.Location {
			r.Errorf("the repeat is %+v, %v", second, err)
		}
		unread := r.request("POST", "/builds", "do=a", "Idempotency-Key", "k2")
		if _, err := r.flows.Enqueue(unread, build{}); status.ProblemOf(err).Status != http.StatusInternalServerError {
			r.Errorf("a body that nobody hashed: %v", err)
		}
	})
}

// Each user's keys are his own, and so are each route's.
func TestScope(t *testing.T) {
	cfg := status.Config{User: func(r *http.Request) string { return r.Header.Get("X-User") }}
	each(t, cfg, func(r *rig) {
		a := r.accepted("a", "Idempotency-Key", "k", "X-User", "ann")
		b := r.accepted("b", "Idempotency-Key", "k", "X-User", "bob")
		if again := r.accepted("a", "Idempotency-Key", "k", "X-User", "ann"); a == b || a != again {
			r.Errorf("ann gets %s and %s, bob %s", a, again, b)
		}
		r.want(r.do("POST", "/raw/1", "do=x", "Idempotency-Key", "k", "X-User", "ann"), http.StatusAccepted)
	})
}

// A body that breaks off, or is no form, is the sender's mistake.
func TestBrokenBody(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		body, contentType := form("one", "do", "a", "file:f", "content")
		req := r.request("POST", "/raw/1", body[:len(body)-14], "Idempotency-Key", "k")
		req.Header.Set("Content-Type", contentType)
		r.want(r.send(req), http.StatusBadRequest)
		req = r.request("POST", "/raw/1", body, "Idempotency-Key", "k2")
		req.Body = http.MaxBytesReader(nil, req.Body, 10)
		r.want(r.send(req), http.StatusRequestEntityTooLarge)
		if r.jobs() != 0 {
			r.Errorf("%d jobs were enqueued", r.jobs())
		}
	})
}
