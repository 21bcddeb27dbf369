package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// Problem is an answer to a request that was refused or failed. Its text is for
// the sender of the request.
type Problem struct {
	Status int    // the HTTP status code
	Code   string // for programs: a word that stays the same, such as "link-expired"
	Detail string // for people
	// RetryAfter is when it may be worth while to try again; 0: never as it is.
	RetryAfter time.Duration
	// Cause is what went wrong on our side, for the log; nil: nothing did.
	Cause error
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// The problems that have no more to say.
var (
	errNoStatus  = problem(http.StatusNotFound, "no-such-status", "this link leads to nothing")
	errOldLink   = problem(http.StatusGone, "link-expired", "this link has expired")
	errGone      = problem(http.StatusGone, "job-gone", "what this link led to has been removed after its time")
	errNoFile    = problem(http.StatusNotFound, "no-such-file", "there is no such file here")
	errNoResult  = problem(http.StatusNotFound, "no-result", "there is no result here yet")
	errNoCancel  = problem(http.StatusForbidden, "no-cancel", "this cannot be cancelled here")
	errUsedKey   = problem(http.StatusUnprocessableEntity, "idempotency-key-reused", "this Idempotency-Key was used before for a request with other content")
	errNotHashed = errors.New("a request with an Idempotency-Key and a body that is no parsed form came to a route that is not wrapped by Flows.Once")
)

// ProblemOf is the one table from errors to answers: a Problem as it is, the
// mistakes of callers by their kind, and all others as faults of ours whose texts
// are not for strangers.
func ProblemOf(err error) *Problem {
	var (
		known   *Problem
		large   *http.MaxBytesError
		invalid *offstage.InvalidError
		state   *offstage.StateError
		fault   *offstage.StoreError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errForged):
		return errNoStatus
	case errors.Is(err, errExpired):
		return errOldLink
	case errors.Is(err, offstage.ErrNotFound):
		return errGone
	case errors.Is(err, offstage.ErrOtherRequest):
		return errUsedKey
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, "too-large", "the request has more than the %d bytes that are accepted here", large.Limit)
	case errors.As(err, &invalid):
		return problem(http.StatusUnprocessableEntity, "invalid", "%s: %s", invalid.Field, invalid.Problem)
	case errors.As(err, &state):
		return problem(http.StatusConflict, "wrong-state", "%s", strings.TrimPrefix(state.Error(), "offstage: "))
	case errors.As(err, &fault):
		return &Problem{http.StatusServiceUnavailable, "unavailable", "this cannot be done just now; try again in a moment", 2 * time.Second, err}
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "failed", Detail: "something went wrong here; it has been noted", Cause: err}
}

// Refuse answers an error: as the Config says, else as a plain page for a
// browser and as problem+json for all others.
func (f *Flows) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(err)
	if p.Status >= 500 && p.Cause != nil {
		f.cfg.Logger.ErrorContext(r.Context(), "offstage: a request for a job's status failed", "method", r.Method, "path", r.URL.Path, "err", p.Cause)
	}
	header := w.Header()
	if p.RetryAfter > 0 {
		header.Set("Retry-After", seconds(p.RetryAfter))
	}
	header.Add("Vary", "Accept")
	header.Set("Cache-Control", "no-store")
	switch {
	case f.cfg.Refuse != nil:
		f.cfg.Refuse(w, r, p)
	case PrefersHTML(r):
		f.writePage(w, p.Status, problemPage, pageData{Prefix: f.cfg.Prefix, Title: http.StatusText(p.Status), Problem: p})
	default:
		writeJSON(w, p.Status, "application/problem+json", map[string]any{
			"title": http.StatusText(p.Status), "status": p.Status, "code": p.Code, "detail": p.Detail,
		})
	}
}

// seconds writes a duration in whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(int64((d+time.Second-1)/time.Second), 1), 10)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "something went wrong here", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // an error means that the client has gone
}

var problemPage = pageOf(`<h1>{{.Title}}</h1>
<p class="note bad">{{.Problem.Detail}}.</p>`)
