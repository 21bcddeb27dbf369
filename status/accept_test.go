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

// A request is answered at once: 202, where to look, when to look again.
func TestAcceptAtOnce(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		for _, prefer := range []string{"", "respond-async", "respond-async, wait=0", "handling=lenient"} {
			answer := r.do("POST", "/builds", "do=wait", "Prefer", prefer)
			body := r.want(answer, http.StatusAccepted)
			var got status.Status
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				r.Fatal(err)
			}
			if got.State != offstage.Ready || got.Links.Self != answer.Header.Get("Location") {
				r.Errorf("the body is %s", body)
			}
			r.header(answer, "Retry-After", "1")
			r.header(answer, "Vary", "Prefer, Accept")
			applied := ""
			if strings.HasPrefix(prefer, "respond-async") {
				applied = prefer
			}
			r.header(answer, "Preference-Applied", applied)
			if !strings.HasPrefix(answer.Header.Get("Location"), "/status/") {
				r.Errorf("Location is %q", answer.Header.Get("Location"))
			}
		}
	})
}

// Who prefers to wait gets the result, or after the time the usual 202.
func TestAcceptWaits(t *testing.T) {
	each(t, status.Config{MaxWait: 20 * time.Second}, func(r *rig) {
		defer r.work()()
		answer := r.do("POST", "/builds", "do=nothing", "Prefer", "wait=5, respond-async")
		if body := r.want(answer, http.StatusOK); !strings.Contains(body, `"result":{"n":7}`) {
			r.Errorf("the body is %s", body)
		}
		r.header(answer, "Preference-Applied", "wait=5")
		r.header(answer, "Content-Location", answer.Header.Get("Location"))

		began := time.Now()
		answer = r.do("POST", "/builds", "do=wait", "Prefer", "wait=3")
		r.want(answer, http.StatusAccepted)
		r.header(answer, "Preference-Applied", "wait=3")
		if waited := time.Since(began); waited < 3*time.Second || waited > 4*time.Second {
			r.Errorf("it waited for %s", waited)
		}
		answer = r.do("POST", "/builds", "do=wait", "Prefer", "wait=1000")
		r.want(answer, http.StatusOK)
		r.header(answer, "Preference-Applied", "wait=20")
		answer = r.do("POST", "/builds", "do=fail", "Prefer", "wait=9")
		if body := r.want(answer, http.StatusOK); !strings.Contains(body, `"state":"failed"`) || strings.Contains(body, "10.0.0.7") {
			r.Errorf("of a failed job the body is %s", body)
		}
	})
}

// A route may wait by default; who asks for an answer at once gets it.
func TestAcceptWaitsByDefault(t *testing.T) {
	each(t, status.Config{Wait: 2 * time.Second}, func(r *rig) {
		defer r.work()()
		r.want(r.do("POST", "/builds", "do=nothing"), http.StatusOK)
		r.want(r.do("POST", "/builds", "do=wait"), http.StatusAccepted)
		began := time.Now()
		r.want(r.do("POST", "/builds", "do=nothing", "Prefer", "respond-async"), http.StatusAccepted)
		if waited := time.Since(began); waited > 0 {
			r.Errorf("it waited for %s", waited)
		}
	})
}

// A browser's form leads to the page.
func TestAcceptForm(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		answer := r.do("POST", "/builds", "do=wait", "Accept", "text/html,*/*;q=0.8")
		r.want(answer, http.StatusSeeOther)
		page := r.want(r.do("GET", answer.Header.Get("Location"), "", "Accept", "text/html"), http.StatusOK)
		for _, part := range []string{"<offstage-status", `content="5"`, "This begins in a moment."} {
			if !strings.Contains(page, part) {
				r.Errorf("the page lacks %s: %s", part, page)
			}
		}
	})
}

// What cannot be enqueued is a problem of the sender's.
func TestAcceptInvalid(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		answer := r.do("POST", "/builds", "do="+strings.Repeat("x", offstage.MaxArgs))
		body := r.want(answer, http.StatusUnprocessableEntity)
		r.header(answer, "Content-Type", "application/problem+json")
		if !strings.Contains(body, "args:") || r.jobs() != 0 {
			r.Errorf("answered %s; %d jobs", body, r.jobs())
		}
	})
}

// A follower starts exactly once, whatever became of the first.
func TestThen(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		defer r.work()()
		receipt, err := r.client.Enqueue(r.Context(), build{Do: "fail"}, offstage.Then(build{Do: "nothing", N: 1}, offstage.Tags("then")))
		if err != nil {
			r.Fatal(err)
		}
		if _, err := receipt.Wait(r.Context()); err == nil {
			r.Error("the first did not fail")
		}
		pass(5 * time.Second)
		page, err := r.client.List(r.Context(), offstage.Filter{Tag: "then"})
		if err != nil || len(page.Jobs) != 1 || page.Jobs[0].State != offstage.Completed || offstage.Followed(page.Jobs[0].Facts) != receipt.ID {
			r.Errorf("followers: %+v, %v", page.Jobs, err)
		}
		for name, options := range map[string][]offstage.Option{
			"unique":   {offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip}), offstage.Then(build{})},
			"of its":   {offstage.Then(build{}, offstage.Then(build{}))},
			"priority": {offstage.Then(build{}, offstage.Priority(10))},
		} {
			if _, err := r.client.Enqueue(r.Context(), build{}, options...); err == nil || !strings.Contains(err.Error(), name) {
				r.Errorf("got %v, want one that names %q", err, name)
			}
		}
	})
}

// Beyond a queue's limit nothing is accepted, but repeats are.
func TestLimit(t *testing.T) {
	cfg := status.Config{Limits: map[string]status.Limit{offstage.DefaultQueue: {Depth: 3, RetryAfter: 7 * time.Second}}}
	each(t, cfg, func(r *rig) {
		first := r.accepted("a", "Idempotency-Key", "a")
		r.accepted("b")
		r.accepted("c")
		answer := r.do("POST", "/builds", "do=d")
		r.want(answer, http.StatusTooManyRequests)
		r.header(answer, "Retry-After", "7")
		if again := r.accepted("a", "Idempotency-Key", "a"); again != first {
			r.Errorf("a repeat was sent to %s, not %s", again, first)
		}
		r.want(r.do("POST", "/builds", "do=x", "Idempotency-Key", "a"), http.StatusUnprocessableEntity)
		if r.jobs() != 3 {
			r.Errorf("%d jobs were enqueued", r.jobs())
		}
		stop := r.work()
		pass(time.Second)
		stop()
		r.accepted("d")
	})
}

// A queue may be limited by the wait, for which that of its oldest job is taken.
func TestLimitByWait(t *testing.T) {
	cfg := status.Config{Limits: map[string]status.Limit{offstage.DefaultQueue: {Wait: 30 * time.Second, Status: http.StatusServiceUnavailable}}}
	each(t, cfg, func(r *rig) {
		r.accepted("a")
		pass(29 * time.Second)
		r.accepted("b")
		pass(2 * time.Second)
		answer := r.do("POST", "/builds", "do=c")
		r.want(answer, http.StatusServiceUnavailable)
		r.header(answer, "Retry-After", "31")
	})
}
