package status_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// A status says where the job is, in each state, with all keys always there.
func TestStatus(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("retry")
		got := r.status(path)
		if got.State != offstage.Ready || got.Position == nil || got.Position.Ahead != 0 || got.Attempt != 0 {
			r.Errorf("at first: %+v", got)
		}
		defer r.work()()
		pass(time.Second)
		got = r.status(path)
		if got.State != offstage.Retrying || got.Error == nil || *got.Error != "the device does not answer" || len(got.Attempts) != 1 || got.StartsAt == nil {
			r.Errorf("after a failure: %+v", got)
		}
		if until := time.Until(*got.StartsAt); until < 55*time.Second || until > time.Minute {
			r.Errorf("the next attempt is in %s", until)
		}
		pass(3 * time.Minute)
		answer := r.do("GET", path, "")
		body := r.want(answer, http.StatusOK)
		r.header(answer, "Retry-After", "")
		r.header(answer, "Cache-Control", "private, no-cache")
		var keys map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &keys); err != nil {
			r.Fatal(err)
		}
		for _, key := range strings.Fields("id kind title state attempt progress result error position starts_at cancelling created_at started_at finished_at attempts steps files links") {
			if _, ok := keys[key]; !ok {
				r.Errorf("there is no key %s in %s", key, body)
			}
		}
		if string(keys["result"]) != `{"n":7}` || string(keys["error"]) != "null" || string(keys["state"]) != `"completed"` || string(keys["attempt"]) != "3" {
			r.Errorf("in the end: %s", body)
		}
	})
}

// Of a job's steps its user sees those that the application names, with results
// where it says so, and none without its word.
func TestSteps(t *testing.T) {
	const secret = "4711"
	each(t, status.Config{}, func(r *rig) {
		defer r.work()()
		path := r.accepted("steps")
		pass(time.Second)
		if got := r.status(path); got.Steps == nil || len(got.Steps) != 0 {
			r.Errorf("without Config.Step: %+v", got.Steps)
		}
	})
	each(t, status.Config{Step: func(step offstage.StepInfo) (string, bool) {
		return map[string]string{"charge": "Card charged", "nap": "Wait for the bank", "mail": "Mail sent"}[step.Name], step.Name == "mail"
	}}, func(r *rig) {
		defer r.work()()
		path := r.accepted("steps")
		pass(time.Second)
		got := r.status(path)
		if len(got.Steps) != 2 {
			r.Fatalf("asleep: %+v", got.Steps)
		}
		charge, nap := got.Steps[0], got.Steps[1]
		if charge.Name != "Card charged" || charge.State != status.StepDone || charge.Attempt != 1 || charge.Tries != 1 || charge.FinishedAt == nil || string(charge.Result) != "null" {
			r.Errorf("a step that is done: %+v", charge)
		}
		if nap.State != status.StepSleeping || nap.Until == nil || nap.FinishedAt != nil {
			r.Errorf("a step that sleeps: %+v", nap)
		}
		for _, accept := range []string{"application/json", "text/html"} {
			body := r.want(r.do("GET", path, "", "Accept", accept), http.StatusOK)
			if !strings.Contains(body, "Card charged") || strings.Contains(body, secret) || strings.Contains(body, "hidden step") {
				r.Errorf("as %s: %s", accept, body)
			}
		}
		pass(2 * time.Hour)
		got = r.status(path)
		if len(got.Steps) != 3 || got.Steps[1].State != status.StepDone || string(got.Steps[2].Result) != `"to you"` || got.Steps[2].Attempt != 2 {
			r.Errorf("in the end: %+v", got.Steps)
		}
	})
}

// Of a job's errors its user sees what was written for him.
func TestMessages(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		defer r.work()()
		told, secret := r.accepted("tell"), r.accepted("fail")
		pass(time.Second)
		if got := r.status(told); got.Error == nil || *got.Error != "line 3 is broken" || *got.Attempts[0].Error != "line 3 is broken" {
			r.Errorf("of an error that was told: %+v", got)
		}
		for _, accept := range []string{"application/json", "text/html"} {
			body := r.want(r.do("GET", secret, "", "Accept", accept), http.StatusOK)
			if strings.Contains(body, "10.0.0.7") || !strings.Contains(body, "something went wrong on our side; it has been noted") {
				r.Errorf("of one that was not: %s", body)
			}
		}
	})
}

// An entity tag stays while nothing changes, and a repeat costs no body.
func TestNotModified(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("progress")
		defer r.work()()
		pass(1500 * time.Millisecond)
		tags := map[string]bool{}
		for _, accept := range []string{"application/json", "text/html"} {
			tag := r.do("GET", path, "", "Accept", accept).Header.Get("ETag")
			tags[tag] = true
			answer := r.do("GET", path, "", "Accept", accept, "If-None-Match", `"x", `+tag)
			if body := r.want(answer, http.StatusNotModified); body != "" {
				r.Errorf("304 with the body %s", body)
			}
			r.header(answer, "ETag", tag)
		}
		pass(time.Second)
		tag := r.do("GET", path, "").Header.Get("ETag")
		if tags[tag] = true; len(tags) != 3 {
			r.Errorf("the tags are %v", tags)
		}
		r.want(r.do("GET", path, "", "If-None-Match", tag), http.StatusNotModified)
	})
}

// The way to the result is taken only when it was asked for and is there.
func TestResult(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("wait")
		r.want(r.do("GET", path+"?redirect=result", ""), http.StatusOK)
		r.want(r.do("GET", path+"/result", ""), http.StatusNotFound)
		defer r.work()()
		pass(time.Minute)
		r.want(r.do("GET", path, ""), http.StatusOK)
		answer := r.do("GET", path+"?redirect=result", "")
		r.want(answer, http.StatusSeeOther)
		r.header(answer, "Location", path+"/result")
		result := r.do("GET", path+"/result", "")
		if body := r.want(result, http.StatusOK); body != `{"n":7}` {
			r.Errorf("the result is %s", body)
		}
		r.want(r.do("GET", path+"/result", "", "If-None-Match", result.Header.Get("ETag")), http.StatusNotModified)
	})
}

// A link that nobody made leads nowhere; a good one that is old, or whose job is
// gone, says so.
func TestLinks(t *testing.T) {
	each(t, status.Config{LinkLife: time.Hour}, func(r *rig) {
		path := r.accepted("nothing")
		token := strings.TrimPrefix(path, "/status/")
		flipped := func(i int) string {
			c := byte('A')
			if token[i] == 'A' {
				c = 'B'
			}
			return token[:i] + string(c) + token[i+1:]
		}
		forged := []string{"x", token + "A", token[1:], token + "=", strings.Repeat("A", 40), strings.Repeat("A", 10_000), "..%2f" + token, "%00"}
		for i := range token {
			forged = append(forged, flipped(i))
		}
		for _, text := range forged {
			for _, end := range []string{"", "/events", "/result", "/files/a"} {
				r.want(r.do("GET", "/status/"+text+end, ""), http.StatusNotFound)
			}
			r.want(r.do("POST", "/status/"+text+"/cancel", ""), http.StatusNotFound)
		}
		r.want(r.do("GET", "/status/", ""), http.StatusNotFound)
		r.want(r.do("GET", path+"/nothing", ""), http.StatusNotFound)
		pass(time.Hour - time.Second)
		r.want(r.do("GET", path, ""), http.StatusOK)
		pass(time.Second)
		for _, end := range []string{"", "/events", "/result"} {
			body := r.want(r.do("GET", path+end, ""), http.StatusGone)
			if !strings.Contains(body, `"code":"link-expired"`) {
				r.Errorf("answered %s", body)
			}
		}
		path = r.accepted("nothing")
		if err := r.client.Delete(r.Context(), r.status(path).ID); err != nil {
			r.Fatal(err)
		}
		body := r.want(r.do("GET", path, "", "Accept", "text/html"), http.StatusGone)
		if !strings.Contains(body, "<h1>Gone</h1>") || !strings.Contains(body, "removed after its time") {
			r.Errorf("a browser gets %s", body)
		}
	})
}

// A link works for the user who got it.
func TestForeignLinks(t *testing.T) {
	cfg := status.Config{User: func(r *http.Request) string { return r.Header.Get("X-User") }, LinkLife: time.Hour}
	each(t, cfg, func(r *rig) {
		path := r.accepted("nothing", "X-User", "ann")
		r.want(r.do("GET", path, "", "X-User", "ann"), http.StatusOK)
		for _, user := range []string{"", "bob", "ann "} {
			r.want(r.do("GET", path, "", "X-User", user), http.StatusNotFound)
			r.want(r.do("GET", path+"/events", "", "X-User", user), http.StatusNotFound)
		}
		pass(time.Hour)
		r.want(r.do("GET", path, "", "X-User", "ann"), http.StatusGone)
		r.want(r.do("GET", path, "", "X-User", "bob"), http.StatusNotFound)
	})
}

// Links work in every process on the store, and after restarts.
func TestLinksElsewhere(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("nothing")
		other := newRig(r.T, r.store, status.Config{})
		if got := other.status(path); got.Kind != "build" {
			r.Errorf("elsewhere the status is %+v", got)
		}
	})
}

// A user may cancel what the application lets him.
func TestCancel(t *testing.T) {
	cfg := status.Config{Cancel: func(r *http.Request, _ offstage.JobInfo) bool { return r.Header.Get("X-User") == "ann" }}
	each(t, cfg, func(r *rig) {
		path := r.accepted("wait")
		if r.status(path).Links.Cancel != nil {
			r.Error("a stranger is offered to cancel")
		}
		r.want(r.do("POST", path+"/cancel", ""), http.StatusForbidden)
		r.want(r.do("POST", path+"/cancel", "", "X-User", "ann", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), http.StatusForbidden)
		r.want(r.do("GET", path+"/cancel", "", "X-User", "ann"), http.StatusNotFound)
		if got := r.status(path).State; got != offstage.Ready {
			r.Errorf("it is %s", got)
		}
		body := r.want(r.do("POST", path+"/cancel", "", "X-User", "ann"), http.StatusOK)
		if !strings.Contains(body, `"state":"cancelled"`) || !strings.Contains(body, "this was cancelled") {
			r.Errorf("answered %s", body)
		}
		r.want(r.do("POST", path+"/cancel", "", "X-User", "ann", "Accept", "text/html"), http.StatusSeeOther)

		defer r.work()()
		path = r.accepted("wait")
		pass(time.Second)
		body = r.want(r.do("POST", path+"/cancel", "", "X-User", "ann"), http.StatusOK)
		if !strings.Contains(body, `"state":"running"`) || !strings.Contains(body, `"cancelling":true`) {
			r.Errorf("answered %s", body)
		}
		pass(3 * time.Second)
		if got := r.status(path).State; got != offstage.Cancelled {
			r.Errorf("it is %s", got)
		}
		path = r.accepted("nothing")
		pass(time.Second)
		r.want(r.do("POST", path+"/cancel", "", "X-User", "ann"), http.StatusConflict)
	})
}

// Who waits learns how many are before him, up to a thousand, and about how long
// it will take, once the queue has been seen to move.
func TestPosition(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		var paths []string
		for range 12 {
			paths = append(paths, r.accepted("nothing"))
		}
		last := paths[len(paths)-1]
		if got := r.status(last); got.Position.Ahead != 11 || got.Position.More || got.StartsAt != nil {
			r.Errorf("at first: %+v, %v", got.Position, got.StartsAt)
		}
		pass(2 * time.Second)
		for _, path := range paths[:4] {
			if _, err := r.client.Cancel(r.Context(), r.status(path).ID); err != nil {
				r.Fatal(err)
			}
		}
		got := r.status(last)
		if got.Position.Ahead != 7 || got.StartsAt == nil || time.Until(*got.StartsAt) < 3*time.Second || time.Until(*got.StartsAt) > 4*time.Second {
			r.Errorf("when 4 have gone in 2 s: %+v, %v at %v", got.Position, got.StartsAt, time.Now())
		}
		for range 1000 {
			last = r.accepted("nothing")
		}
		if got := r.status(last); got.Position.Ahead != status.MaxAhead || !got.Position.More || got.StartsAt != nil {
			r.Errorf("behind more than a thousand: %+v", got)
		}
		page := r.want(r.do("GET", last, "", "Accept", "text/html"), http.StatusOK)
		if !strings.Contains(page, "More than 1000 are before this one.") {
			r.Errorf("the page is %s", page)
		}
	})
}

// Who waits on a stream sees his place change with the heartbeats, and about when
// it will be his turn.
func TestPositionOnStreams(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		var paths []string
		for range 12 {
			paths = append(paths, r.accepted("nothing"))
		}
		c, _, leave := r.stream(paths[11])
		defer leave()
		pass(20 * time.Second)
		for _, path := range paths[:4] {
			if _, err := r.client.Cancel(r.Context(), r.status(path).ID); err != nil {
				r.Fatal(err)
			}
		}
		pass(15 * time.Second)
		events := c.events()
		if names(events) != "state . state" || !strings.Contains(events[2].data, `"position":{"ahead":7,"more":false},"starts_at":"`) {
			r.Errorf("the events are %v", events)
		}
		if events[2].id != events[0].id {
			r.Errorf("the place has an id of its own: %s, not %s", events[2].id, events[0].id)
		}
	})
}
