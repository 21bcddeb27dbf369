package status

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// waited returns a job again when what a long poll waits for has come, or its
// time is over: see [Flows.show].
func (f *Flows) waited(r *http.Request, job offstage.Details) (offstage.Details, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return job, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return job, problem(http.StatusBadRequest, "bad-wait", "wait=%.20q is not a whole number of seconds", text)
	}
	known := knownTo(r)
	arrived := func(info offstage.JobInfo) bool {
		if known == nil {
			return info.State.Terminal()
		}
		return !known[cursorOf(info).String()]
	}
	if arrived(job.JobInfo) || job.State.Terminal() {
		return job, nil
	}
	ctx, cancel := f.untilStop(r.Context())
	defer cancel()
	ctx, expire := context.WithTimeout(ctx, min(time.Duration(n)*time.Second, f.cfg.MaxWait))
	defer expire()
	follower := f.client.Follow(job.ID)
	defer follower.Close()
	for {
		info, err := follower.Next(ctx)
		if err == nil && !arrived(info) {
			continue
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return job, err
		}
		return f.client.Get(r.Context(), job.ID)
	}
}

// knownTo returns the moments that a request's If-None-Match names; nil if it has
// none.
func knownTo(r *http.Request) map[string]bool {
	var known map[string]bool
	for _, line := range r.Header.Values("If-None-Match") {
		for item := range strings.SplitSeq(line, ",") {
			tag := strings.TrimPrefix(strings.TrimSpace(item), "W/")
			name, _, _ := strings.Cut(strings.Trim(tag, `"`), "/")
			if known == nil {
				known = map[string]bool{}
			}
			known[name] = true
		}
	}
	return known
}
