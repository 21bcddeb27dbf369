package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/csvreport"
	"github.com/offstagehq/offstage/status"
)

// refusal is an error whose text is for whoever sent the request.
type refusal struct {
	Status int    `json:"-"`
	Text   string `json:"error"`
	Line   int64  `json:"line,omitempty"` // of the uploaded file
	Byte   int64  `json:"byte,omitempty"`
	// Again is when it may be worth while to try again; 0: never as it is.
	Again time.Duration `json:"-"`
}

// Error returns the text.
func (r *refusal) Error() string { return r.Text }

func refuse(status int, format string, args ...any) error {
	return &refusal{Status: status, Text: fmt.Sprintf(format, args...)}
}

// refusalOf is the one table from errors to answers. Errors that it does not
// know are ours, and their texts are not for strangers.
func refusalOf(err error) *refusal {
	var (
		known   *refusal
		problem *status.Problem
		content *csvreport.Error
		large   *http.MaxBytesError
		invalid *offstage.InvalidError
		state   *offstage.StateError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &problem):
		return &refusal{Status: problem.Status, Text: problem.Detail, Again: problem.RetryAfter}
	case errors.Is(err, offstage.ErrOtherRequest):
		return &refusal{Status: http.StatusUnprocessableEntity, Text: status.ProblemOf(err).Detail}
	case errors.As(err, &content):
		return &refusal{Status: http.StatusUnprocessableEntity, Text: content.Error(), Line: content.Line, Byte: content.Byte}
	case errors.As(err, &large):
		return &refusal{Status: http.StatusRequestEntityTooLarge, Text: "the request is larger than " + size(large.Limit)}
	case errors.As(err, &invalid):
		return &refusal{Status: http.StatusUnprocessableEntity, Text: invalid.Field + ": " + invalid.Problem}
	case errors.As(err, &state):
		return &refusal{Status: http.StatusConflict, Text: strings.TrimPrefix(state.Error(), "offstage: ")}
	case errors.Is(err, offstage.ErrNotFound):
		return &refusal{Status: http.StatusNotFound, Text: "there is no such job, or none any more"}
	case isStoreFault(err):
		return &refusal{Status: http.StatusServiceUnavailable, Text: "the job store does not answer; try again in a moment", Again: 2 * time.Second}
	}
	return &refusal{Status: http.StatusInternalServerError, Text: "something went wrong here; it has been logged"}
}

func isStoreFault(err error) bool {
	var fault *offstage.StoreError
	return errors.As(err, &fault)
}

// fail answers an error: a page for browsers, JSON for all others.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	answer := refusalOf(err)
	if answer.Status >= 500 {
		s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	if answer.Again > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(answer.Again.Round(time.Second)/time.Second)))
	}
	if !status.PrefersJSON(r) && (status.PrefersHTML(r) || r.Method == http.MethodGet) {
		s.render(w, answer.Status, "problem", problemPage{frame{Title: http.StatusText(answer.Status)}, answer})
		return
	}
	s.writeJSON(w, answer.Status, answer)
}

type problemPage struct {
	frame
	Problem *refusal
}

// accept turns a request into a job and answers it; a browser's form is led to
// the page, or if that is "" to the job's.
func (s *service) accept(w http.ResponseWriter, r *http.Request, args offstage.Args, page string, options ...offstage.Option) {
	ticket, err := s.flows.Enqueue(r, args, options...)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ticket.Page = page
	ticket.Answer(w, r)
}

// accepted answers a request whose work goes on as a job that is there already:
// 202 with the place where it can be followed, or the way to a page.
func (s *service) accepted(w http.ResponseWriter, r *http.Request, job offstage.ID, page string) {
	if status.PrefersHTML(r) {
		http.Redirect(w, r, page, http.StatusSeeOther)
		return
	}
	link := s.flows.Link(r, job)
	w.Header().Set("Location", link)
	s.writeJSON(w, http.StatusAccepted, map[string]any{"id": job, "status": link})
}

func (s *service) writeJSON(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		s.log.Error("write JSON", "err", err)
		http.Error(w, "something went wrong here; it has been logged", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // an error means that the client has gone
}
