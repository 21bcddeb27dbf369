package status_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// sent is an event, or a comment, as a client gets it.
type sent struct{ id, name, data, comment string }

// recorder is the client's side of a stream.
type recorder struct {
	mu     sync.Mutex
	header http.Header
	code   int
	text   strings.Builder
}

func (c *recorder) Header() http.Header { return c.header }
func (c *recorder) WriteHeader(n int)   { c.code = n }
func (c *recorder) Flush()              {}
func (c *recorder) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

// events returns what has come so far.
func (c *recorder) events() []sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []sent
	var now sent
	for lines := bufio.NewScanner(strings.NewReader(c.text.String())); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			now.id = value
		case "event":
			now.name = value
		case "data":
			now.data = value
		case "":
			if lines.Text() == ": " {
				now.comment = "heartbeat"
			}
			if now != (sent{}) {
				list = append(list, now)
			}
			now = sent{}
		}
	}
	return list
}

// names are the events' names, a point for each comment.
func names(events []sent) string {
	var list []string
	for _, e := range events {
		if e.name == "" {
			e.name = "."
		}
		list = append(list, e.name)
	}
	return strings.Join(list, " ")
}

// stream connects to a status's events until the test, or the returned function,
// ends it.
func (r *rig) stream(path string, headers ...string) (c *recorder, ended <-chan struct{}, leave func()) {
	r.Helper()
	c = &recorder{header: http.Header{}, code: http.StatusOK}
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	req := r.request("GET", path+"/events", "", headers...).WithContext(ctx)
	go func() {
		defer close(done)
		r.site.ServeHTTP(c, req)
	}()
	return c, done, func() { cancel(); <-done }
}

// A stream begins with where the job stands, tells each change, and ends with the job.
func TestEvents(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("progress")
		c, ended, _ := r.stream(path)
		pass(time.Second)
		first := c.events()
		if names(first) != "state" || !strings.Contains(first[0].data, `"state":"ready"`) || !strings.Contains(first[0].data, `"ahead":0`) {
			r.Errorf("it begins with %v", first)
		}
		if c.header.Get("Content-Type") != "text/event-stream" || c.header.Get("X-Accel-Buffering") != "no" || c.header.Get("Cache-Control") != "no-store" {
			r.Errorf("the header is %v", c.header)
		}
		defer r.work()()
		<-ended
		events := c.events()
		if got := names(events); !strings.HasPrefix(got, "state state progress progress progress") || !strings.HasSuffix(got, "progress end") {
			r.Errorf("the events are %s", got)
		}
		ids := map[string]bool{}
		for _, e := range events {
			if ids[e.id] || e.id == "" {
				r.Errorf("the id of %+v is not its own", e)
			}
			ids[e.id] = true
		}
		last := events[len(events)-1]
		if !strings.Contains(last.data, `"state":"completed"`) {
			r.Errorf("it ends with %+v", last)
		}
	})
}

// A stream of a job that has ended says so at once; only who knows that is told
// nothing.
func TestEventsOfEnded(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		defer r.work()()
		path := r.accepted("nothing")
		pass(time.Second)
		began := time.Now()
		c, ended, _ := r.stream(path)
		<-ended
		events := c.events()
		if names(events) != "state end" || time.Since(began) > 0 {
			r.Errorf("the events are %v, after %s", events, time.Since(began))
		}
		c, ended, _ = r.stream(path, "Last-Event-ID", events[1].id)
		if <-ended; c.code != http.StatusNoContent || c.text.Len() > 0 {
			r.Errorf("after its end the stream is answered %d %s", c.code, c.text.String())
		}
		c, ended, _ = r.stream(path, "Last-Event-ID", events[0].id)
		if <-ended; c.code != http.StatusOK || !strings.HasSuffix(names(c.events()), "end") {
			r.Errorf("before its end the stream is answered %d %s", c.code, c.text.String())
		}
	})
}

// Who connects again gets what he missed, or is told that nobody knows.
func TestReconnect(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		defer r.work()()
		path := r.accepted("retry")
		c, _, leave := r.stream(path)
		pass(time.Second)
		leave()
		before := c.events()
		last := before[len(before)-1]
		if !strings.Contains(last.data, "the device does not answer") {
			r.Errorf("the last event is %+v", last)
		}

		c, _, leave = r.stream(path, "Last-Event-ID", last.id)
		pass(10 * time.Second)
		leave()
		if events := c.events(); len(events) != 0 {
			r.Errorf("who missed nothing gets %v", events)
		}
		pass(3 * time.Minute)
		c, ended, _ := r.stream(path, "Last-Event-ID", last.id)
		<-ended
		events := c.events()
		if names(events) != "attempt state end" || !strings.Contains(events[0].data, `"attempt":2`) || !strings.Contains(events[1].data, `"attempt":3`) {
			r.Errorf("who missed two attempts gets %v", events)
		}
		for _, unknown := range []string{"x", "1", "999.1.0", "1.99.0", strings.Repeat("9", 100)} {
			c, ended, _ = r.stream(path, "Last-Event-ID", unknown)
			<-ended
			if got := names(c.events()); got != "reset state end" {
				r.Errorf("with the id %.20q the events are %s", unknown, got)
			}
			if got := r.want(r.do("GET", path+"/events?last_event_id="+unknown, ""), http.StatusOK); !strings.Contains(got, "event: reset") {
				r.Errorf("with the id %.20q in the query: %s", unknown, got)
			}
		}
	})
}

// An attempt that fails is told, and so is what follows.
func TestAttemptEvents(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("retry")
		c, ended, _ := r.stream(path)
		pass(time.Second)
		defer r.work()()
		<-ended
		var told []string
		for _, e := range c.events() {
			if e.name == "attempt" {
				told = append(told, e.data)
			}
		}
		if len(told) != 2 || !strings.Contains(told[0], `"attempt":1`) || !strings.Contains(told[1], `"attempt":2`) {
			r.Errorf("of the attempts the user hears %v, in %s", told, names(c.events()))
		}
	})
}

// A quiet stream says every 15 seconds that it lives, and ends with the server.
func TestHeartbeat(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		path := r.accepted("nothing")
		c, ended, _ := r.stream(path)
		pass(61 * time.Second)
		if got := names(c.events()); got != "state . . . ." {
			r.Errorf("in a minute the events are %s", got)
		}
		r.flows.Stop()
		<-ended
		r.flows.Stop()
		c, ended, _ = r.stream(path)
		<-ended
		if got := names(c.events()); got != "state" {
			r.Errorf("while the server stops the events are %s", got)
		}
	})
}

// An event is small, however long the texts are.
func TestEventSize(t *testing.T) {
	title := strings.Repeat(`"ä<\`, 2000)
	each(t, status.Config{Title: func(offstage.Facts) string { return title }}, func(r *rig) {
		c, _, leave := r.stream(r.accepted("nothing"))
		pass(time.Second)
		leave()
		event := c.events()[0]
		var got struct{ Title string }
		if err := json.Unmarshal([]byte(event.data), &got); err != nil || len(event.data) > 1000 || len(got.Title) < 100 {
			r.Errorf("%d bytes with a title of %d, %v", len(event.data), len(got.Title), err)
		}
	})
}

// A long poll is answered when something changes, or after its time.
func TestLongPoll(t *testing.T) {
	each(t, status.Config{MaxWait: 20 * time.Second}, func(r *rig) {
		path := r.accepted("progress")
		tag := r.do("GET", path, "").Header.Get("ETag")
		began := time.Now()
		r.want(r.do("GET", path+"?wait=5", "", "If-None-Match", tag), http.StatusNotModified)
		if took := time.Since(began); took != 5*time.Second {
			r.Errorf("without news it took %s", took)
		}
		r.want(r.do("GET", path+"?wait=1000", "", "If-None-Match", tag), http.StatusNotModified)
		if took := time.Since(began); took != 25*time.Second {
			r.Errorf("without news at the longest it took %s", took)
		}
		r.want(r.do("GET", path+"?wait=x", ""), http.StatusBadRequest)
		defer r.work()()
		began = time.Now()
		answer := r.do("GET", path+"?wait=20", "", "If-None-Match", tag)
		r.want(answer, http.StatusOK)
		if took := time.Since(began); took > time.Second {
			r.Errorf("with news it took %s", took)
		}
		body := r.want(r.do("GET", path+"?wait=20", ""), http.StatusOK)
		if !strings.Contains(body, `"state":"completed"`) {
			r.Errorf("until the end: %s", body)
		}
	})
}
