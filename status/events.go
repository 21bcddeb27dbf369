package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/offstagehq/offstage"
)

const (
	// heartbeat is how often a stream says that it lives.
	heartbeat = 15 * time.Second
	// writeTime is how long a client may take to accept an event.
	writeTime = 10 * time.Second
	// reconnect is after how long a browser connects again.
	reconnect = 2 * time.Second
	// maxEvent is the most bytes of an event's data.
	maxEvent = 900
	// maxPlaces is at how many places in queues the streams of a process look in the
	// time of a heartbeat, ten a second: no more than it looks at the jobs themselves.
	maxPlaces = 150
)

// event is what a stream sends of a job: a Status in short. All keys are always
// there.
type event struct {
	State      offstage.State `json:"state"`
	Title      string         `json:"title"`
	Attempt    int            `json:"attempt"`
	Progress   *Progress      `json:"progress"`
	Error      *string        `json:"error"`
	Position   *Position      `json:"position"`
	StartsAt   *time.Time     `json:"starts_at"`
	Cancelling bool           `json:"cancelling"`
}

func eventOf(s Status) event {
	return event{s.State, s.Title, s.Attempt, s.Progress, s.Error, s.Position, s.StartsAt, s.Cancelling}
}

// stream is GET {status}/events: the job's events as they happen
// (Server-Sent Events). Each has an id; a reconnect with Last-Event-ID gets the
// attempts that ended meanwhile and where the job stands, or "reset" first if the
// id is not known. The events:
//
//	state     where the job stands: when the stream begins, and when it changes;
//	          a waiting job's place in its queue is looked at with the heartbeat
//	progress  the same, when only the progress has changed
//	attempt   an attempt that has ended, but not the job: it is tried again
//	reset     what the client knows from earlier is void
//	end       the job has ended; the stream closes
//
// Who connects again after "end" is answered 204, so that browsers stop.
func (f *Flows) stream(w http.ResponseWriter, r *http.Request) {
	job, self, err := f.jobOf(r)
	if err != nil {
		f.Refuse(w, r, err)
		return
	}
	last := lastEvent(r)
	if job.State.Terminal() && last == cursorOf(job.JobInfo).String() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	s := &stream{w: w, control: http.NewResponseController(w), beats: f.streams.Add(1)}
	defer f.streams.Add(-1)
	if err := s.begin(last, job); err != nil {
		return // the client has gone
	}
	if f.tell(r.Context(), s, r, job.JobInfo, self) == nil && s.sent.at != atEnd {
		f.follow(s, r, job.JobInfo, self)
	}
}

// lastEvent is the id of the last event that a client got: of the header, or for
// those that cannot set it, of the query.
func lastEvent(r *http.Request) string {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		return last
	}
	return r.URL.Query().Get("last_event_id")
}

// stream is one client's stream of events. It is for one goroutine.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	beats   int64          // heartbeats, from a number that differs among streams
	sent    cursor         // of the last event
	state   offstage.State // that the client knows
	place   *Position      // that the client knows; nil: none
}

// begin starts the stream and sends what the client missed since its last event.
func (s *stream) begin(last string, job offstage.Details) error {
	text := "retry: " + strconv.FormatInt(reconnect.Milliseconds(), 10) + "\n\n"
	now := cursorOf(job.JobInfo)
	known, ok := parseCursor(last)
	switch {
	case last == "":
	case !ok || known.job != job.ID || known.run > now.run || !reaches(job.Attempts, known):
		text += "id: " + cursor{job.ID, 0, atReset}.String() + "\nevent: reset\ndata: {}\n\n"
	default:
		s.sent = known
		if known == now {
			s.state = job.State
		}
		if err := s.write(text); err != nil {
			return err
		}
		return s.missed(job.Attempts, job.State)
	}
	s.sent = now
	s.sent.at = "" // nothing of now was sent
	return s.write(text)
}

// reaches reports whether a job's history, of which only the latest attempts are
// at hand, goes back to what is known.
func reaches(attempts []offstage.Attempt, known cursor) bool {
	return len(attempts) == 0 || attempts[0].Run <= max(known.run, 1)
}

// missed sends the attempts that ended since the last event, without the one
// that ended the job.
func (s *stream) missed(attempts []offstage.Attempt, state offstage.State) error {
	for i, a := range attempts {
		if a.Run <= s.told() || state.Terminal() && i == len(attempts)-1 {
			continue
		}
		s.sent.run, s.sent.at = a.Run, atEnded
		if err := s.send("attempt", s.sent, attemptOf(a)); err != nil {
			return err
		}
	}
	return nil
}

// follow sends the events of a job until it has ended, the client has gone or the
// Flows are stopped.
func (f *Flows) follow(s *stream, r *http.Request, job offstage.JobInfo, self string) {
	ctx, cancel := f.untilStop(r.Context())
	defer cancel()
	follower := f.client.Follow(job.ID)
	defer follower.Close()
	for {
		bounded, cancel := context.WithTimeout(ctx, heartbeat)
		seen, err := follower.Next(bounded)
		cancel()
		switch {
		case err == nil:
			seen.Facts = job.Facts // without its arguments the job has no title
			job = seen
			err = f.tell(ctx, s, r, job, self)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			err = f.beat(ctx, s, r, job, self)
		}
		if err != nil || s.sent.at == atEnd {
			return
		}
	}
}

// tell sends what has changed of a job.
func (f *Flows) tell(ctx context.Context, s *stream, r *http.Request, job offstage.JobInfo, self string) error {
	if cursorOf(job) == s.sent {
		return nil
	}
	if ended(job) > s.told() {
		details, err := f.client.Get(ctx, job.ID)
		if err == nil {
			err = s.missed(details.Attempts, details.State)
		}
		if err != nil {
			return err
		}
		job = details.JobInfo
	}
	now := cursorOf(job)
	status := f.briefOf(r, job, self)
	if job.State != s.state {
		if err := f.placeOf(ctx, &status, job); err != nil {
			return err
		}
	}
	name := "progress"
	if job.State != s.state || now.run != s.sent.run || job.State != offstage.Running {
		name = "state"
	}
	brief := eventOf(status)
	if now.at == atEnd && s.state == 0 {
		// A stream begins with where the job stands, also at the end.
		if err := s.send("state", cursor{now.job, now.run, atEnded}, brief); err != nil {
			return err
		}
	}
	if now.at == atEnd {
		name = "end"
	}
	s.sent, s.state, s.place = now, job.State, status.Position
	return s.send(name, now, brief)
}

// beat says that a stream lives: by the new place of a job that waits for its
// turn, if it has another, else by a comment. However many streams there are, each
// looks at the place in its turn.
func (f *Flows) beat(ctx context.Context, s *stream, r *http.Request, job offstage.JobInfo, self string) error {
	s.beats++
	turns := (f.streams.Load() + maxPlaces - 1) / maxPlaces
	if s.state == offstage.Ready && job.State == s.state && s.beats%turns == 0 {
		status := f.briefOf(r, job, self)
		if err := f.placeOf(ctx, &status, job); err != nil {
			return err
		}
		if at := status.Position; at != nil && (s.place == nil || *at != *s.place) {
			s.place = at
			return s.send("state", s.sent, eventOf(status))
		}
	}
	return s.write(": \n\n")
}

// ended is how many of a job's attempts have ended without ending the job.
func ended(job offstage.JobInfo) int {
	if job.State == offstage.Running || job.State.Terminal() {
		return job.Run - 1
	}
	return job.Run
}

// told is of how many attempts the client knows that they have ended.
func (s *stream) told() int {
	if s.sent.knowsEnd() {
		return s.sent.run
	}
	return s.sent.run - 1
}

// send sends an event.
func (s *stream) send(name string, id cursor, data any) error {
	text, err := brief(data)
	if err != nil {
		return err
	}
	return s.write("id: " + id.String() + "\nevent: " + name + "\ndata: " + text + "\n\n")
}

// brief writes an event's data. Texts that are too long for it are cut.
func brief(data any) (string, error) {
	for limit := 400; ; limit /= 2 {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(data); err != nil {
			return "", err
		}
		if b.Len() <= maxEvent || limit == 0 {
			return strings.TrimSpace(b.String()), nil
		}
		switch whole := data.(type) {
		case event:
			whole.Title, whole.Error = cut(whole.Title, limit), cutPointer(whole.Error, limit)
			if whole.Progress != nil {
				shorter := *whole.Progress
				shorter.Message = cut(shorter.Message, limit)
				whole.Progress = &shorter
			}
			data = whole
		case Attempt:
			whole.Error = cutPointer(whole.Error, limit)
			data = whole
		}
	}
}

// cut shortens a text to at most so many bytes, at the end of a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}

func cutPointer(text *string, limit int) *string {
	if text == nil {
		return nil
	}
	short := cut(*text, limit)
	return &short
}

// write sends a text at once. A client that does not take it in time is given up.
func (s *stream) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
