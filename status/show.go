package status

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// jobOf returns the job that a request's link names.
func (f *Flows) jobOf(r *http.Request) (job offstage.Details, self string, err error) {
	text := r.PathValue("token")
	link, err := f.tokens.open(text, f.user(r), "", time.Now())
	if err != nil {
		return job, "", err
	}
	job, err = f.client.Get(r.Context(), link.job)
	return job, f.cfg.Prefix + "/" + text, err
}

// show is GET {status}: the status as JSON or as a page. With ?wait=n it answers
// when the status is another than the one of If-None-Match, or after n seconds;
// without If-None-Match, when the job has ended. With ?redirect=result a
// completed job's answer is 303 to its result.
func (f *Flows) show(w http.ResponseWriter, r *http.Request) {
	job, self, err := f.jobOf(r)
	if err == nil {
		job, err = f.waited(r, job)
	}
	if err != nil {
		f.Refuse(w, r, err)
		return
	}
	status := f.statusOf(r, job, self)
	if err := f.placeOf(r.Context(), &status, job.JobInfo); err != nil {
		f.Refuse(w, r, err)
		return
	}
	header := w.Header()
	header.Add("Vary", "Accept")
	header.Set("Cache-Control", "private, no-cache")
	if !status.State.Terminal() {
		header.Set("Retry-After", seconds(status.lookAgain()))
	}
	if status.Links.Result != nil && r.URL.Query().Get("redirect") == "result" {
		http.Redirect(w, r, *status.Links.Result, http.StatusSeeOther)
		return
	}
	html := PrefersHTML(r)
	if !html || f.cfg.Page == nil {
		tag := tagOf(status, html)
		header.Set("ETag", tag)
		if matches(r, tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	switch {
	case !html:
		writeJSON(w, http.StatusOK, "application/json", status)
	case f.cfg.Page != nil:
		f.cfg.Page(w, r, status)
	default:
		f.writePage(w, http.StatusOK, statusPage, newPageData(f.cfg.Prefix, status))
	}
}

// placeOf fills in where a ready job stands.
func (f *Flows) placeOf(ctx context.Context, s *Status, job offstage.JobInfo) error {
	if job.State != offstage.Ready {
		return nil
	}
	place, err := f.client.Place(ctx, job.ID, MaxAhead)
	if err != nil || !place.Ready {
		return err
	}
	s.Position = &Position{Ahead: place.Ahead, More: place.More}
	now := time.Now()
	if wait, known := f.paces.see(job.Queue, job.ID, place, now); known {
		s.StartsAt = timeOrNull(now.Add(wait).Round(time.Second))
	}
	return nil
}

// tagOf is the entity tag of a status: it begins with what names the moment
// among the job's events, and changes with whatever else is shown, but for when
// links to files expire. Times that are estimates change all the time; so it is a weak one.
func tagOf(s Status, html bool) string {
	s.StartsAt, s.Files = nil, slices.Clone(s.Files)
	for i := range s.Files {
		s.Files[i].URL = ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		return `W/"` + s.cursor + `"`
	}
	sum := sha256.Sum256(append(text, strconv.FormatBool(html)...))
	return `W/"` + s.cursor + "/" + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`
}

// matches reports whether a request has what the tag stands for already.
func matches(r *http.Request, tag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item == tag || item == "*" || "W/"+item == tag {
				return true
			}
		}
	}
	return false
}

// result is GET {status}/result: a completed job's result as it is.
func (f *Flows) result(w http.ResponseWriter, r *http.Request) {
	job, _, err := f.jobOf(r)
	if err == nil && (job.State != offstage.Completed || job.Result == nil) {
		err = errNoResult
	}
	if err != nil {
		f.Refuse(w, r, err)
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "private, no-cache")
	header.Set("Content-Type", "application/json")
	header.Set("ETag", `"`+cursorOf(job.JobInfo).String()+`"`)
	if matches(r, header.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(job.Result) // an error means that the client has gone
}

// cancel is POST {status}/cancel: it calls the job off, if this user may.
func (f *Flows) cancel(w http.ResponseWriter, r *http.Request) {
	job, self, err := f.jobOf(r)
	if err == nil && (f.cfg.Cancel == nil || !f.cfg.Cancel(r, job.JobInfo)) {
		err = errNoCancel
	}
	if err == nil {
		_, err = f.client.Cancel(r.Context(), job.ID)
	}
	if err == nil && !PrefersHTML(r) {
		job, err = f.client.Get(r.Context(), job.ID)
	}
	if err != nil {
		f.Refuse(w, r, err)
		return
	}
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", "no-store")
	if PrefersHTML(r) {
		http.Redirect(w, r, self, http.StatusSeeOther)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", f.statusOf(r, job, self))
}
