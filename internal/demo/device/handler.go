package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of one request.
const (
	maxBody     = 4 << 10
	maxCommand  = 256 // bytes
	maxKey      = 128 // bytes
	maxDown     = 24 * time.Hour
	maxHang     = 2 * time.Minute
	maxLog      = 1_000 // commands in one State
	maxCooldown = 5     // seconds; a device never knows longer than this when it will be back
)

// Result is the answer to a command that was applied, be it now or before.
type Result struct {
	Device         string    `json:"device"`
	Command        string    `json:"command"`
	Key            string    `json:"key"`
	Number         int64     `json:"number"` // 1 for the first command that the device applied
	AppliedAt      time.Time `json:"applied_at"`
	AlreadyApplied bool      `json:"already_applied"` // an earlier request with this key applied it
}

// Applied is one command in the log of a device.
type Applied struct {
	Number  int64     `json:"number"`
	Command string    `json:"command"`
	Key     string    `json:"key"`
	At      time.Time `json:"at"`
}

// State is what can be seen of a device.
type State struct {
	Device    string     `json:"device"`
	DownUntil *time.Time `json:"down_until"` // nil while it is switched on
	Applied   int64      `json:"applied"`    // number of the last command
	Log       []Applied  `json:"log"`        // newest first, at most 1,000
}

// ServeHTTP answers one request; see the package comment.
func (f *Fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mux.ServeHTTP(w, r)
}

func (f *Fleet) serveCommand(w http.ResponseWriter, r *http.Request) {
	key, command, callback, err := readCommand(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	latency, outcome := f.fate(key)
	wait(r.Context(), latency)
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody listens any more: the command did not get through
	}
	now := time.Now()
	until, err := f.memory.downUntil(key.device, now)
	switch {
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
		return
	case !until.IsZero():
		refuseForNow(w, until.Sub(now), fmt.Errorf("%s is down", key.device))
		return
	}
	switch outcome {
	case unavailable:
		refuseForNow(w, time.Second+latency, fmt.Errorf("%s is busy", key.device))
		return
	case hang:
		wait(r.Context(), maxHang)
		panic(http.ErrAbortHandler)
	case drop:
		panic(http.ErrAbortHandler)
	}
	result, err := f.memory.apply(key, command, now)
	if err == nil && callback != "" && !result.AlreadyApplied {
		f.owed.owe(callback, f.faults.Work, result)
	}
	switch {
	case errors.Is(err, errKeyReused):
		refuse(w, http.StatusUnprocessableEntity, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	case outcome == loseAnswer:
		panic(http.ErrAbortHandler)
	default:
		answer(w, http.StatusOK, result)
	}
}

// readCommand returns the parts of a request that is well formed.
func readCommand(w http.ResponseWriter, r *http.Request) (key deviceKey, command, callback string, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return key, "", "", fmt.Errorf("body: %w", err)
	}
	var request struct {
		Command  string `json:"command"`
		Callback string `json:"callback"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return key, "", "", fmt.Errorf(`body: %w; send {"command": "..."}`, err)
	}
	if err := validateCallback(request.Callback); err != nil {
		return key, "", "", err
	}
	key = deviceKey{r.PathValue("id"), r.Header.Get("Idempotency-Key")}
	return key, request.Command, request.Callback, Validate(key.device, request.Command, key.key)
}

// Validate checks the parts of a request by themselves, so that an application can refuse what no device would accept.
// The error names the part and its limit.
func Validate(id, command, key string) error {
	switch {
	case command == "" || len(command) > maxCommand || !printable(command):
		return fmt.Errorf("command: use 1 to %d bytes of printable text", maxCommand)
	case key == "" || len(key) > maxKey || !printable(key):
		return fmt.Errorf("idempotency key: use 1 to %d bytes of printable text", maxKey)
	}
	return validateID(id)
}

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func validateID(id string) error {
	if !validID.MatchString(id) {
		return fmt.Errorf("device %q: use 1 to 64 letters, digits, points, dashes and underscores, a letter or digit first", id)
	}
	return nil
}

func printable(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func (f *Fleet) serveState(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := validateID(id); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	state, err := f.memory.state(id, time.Now())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, http.StatusOK, state)
}

func (f *Fleet) serveDown(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || d <= 0 || d > maxDown {
		refuse(w, http.StatusBadRequest, fmt.Errorf("query parameter for: use a duration up to %v, such as 30s", maxDown))
		return
	}
	f.serveSwitch(w, r, d)
}

func (f *Fleet) serveUp(w http.ResponseWriter, r *http.Request) {
	f.serveSwitch(w, r, 0)
}

// serveSwitch switches a device off for d from now, or on when d is 0.
func (f *Fleet) serveSwitch(w http.ResponseWriter, r *http.Request, d time.Duration) {
	id := r.PathValue("id")
	if err := validateID(id); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	now := time.Now()
	switch err := f.memory.setDown(id, now, d); {
	case errors.Is(err, errTooManyDown):
		refuse(w, http.StatusTooManyRequests, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	default:
		f.serveState(w, r)
	}
}

func refuseForNow(w http.ResponseWriter, d time.Duration, err error) {
	seconds := min(max(math.Ceil(d.Seconds()), 1), maxCooldown)
	w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	refuse(w, http.StatusServiceUnavailable, err)
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, problem{err.Error()})
}

// problem is the body of every answer that is not 200.
type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // plain structs always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that has gone needs no answer
}

// wait returns after d or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
