package status

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preference is what a request's Prefer header (RFC 7240) asks of an answer that
// takes long.
type preference struct {
	async bool          // respond-async: rather 202 than to wait
	wait  time.Duration // wait: how long the client will wait
	waits bool          // wait was given
}

// preferenceOf reads the Prefer header. Of a preference that is given twice the
// first counts; what cannot be read is ignored, as preferences are.
func preferenceOf(r *http.Request, most time.Duration) preference {
	var p preference
	for _, line := range r.Header.Values("Prefer") {
		for item := range strings.SplitSeq(line, ",") {
			item, _, _ = strings.Cut(item, ";")
			name, value, _ := strings.Cut(item, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
				if err == nil && !p.waits {
					p.waits, p.wait = true, min(time.Duration(n)*time.Second, most)
				}
			}
		}
	}
	return p
}

// applied says in the words of the header what was done of it, "" for nothing.
func (p preference) applied(asynchronous bool) string {
	var words []string
	if p.async && asynchronous {
		words = append(words, "respond-async")
	}
	if p.waits {
		words = append(words, "wait="+strconv.FormatInt(int64(p.wait/time.Second), 10))
	}
	return strings.Join(words, ", ")
}

// PrefersHTML reports whether a browser's page load or form sent the request: its
// Accept header names text/html, and JSON no higher. It is by what the answers
// here are pages or JSON, for the application's own handlers beside them.
func PrefersHTML(r *http.Request) bool {
	html := quality(r, "text/html")
	return html > 0 && html >= quality(r, "application/json")
}

// PrefersJSON reports whether a request's Accept header names JSON, and HTML no
// higher. A request that names neither prefers neither.
func PrefersJSON(r *http.Request) bool {
	json := quality(r, "application/json")
	return json > 0 && json >= quality(r, "text/html")
}

// quality returns the weight that a request's Accept header gives to exactly
// this media type; wildcards do not count.
func quality(r *http.Request, mediaType string) float64 {
	best := 0.0
	for _, line := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(line, ",") {
			name, params, err := mime.ParseMediaType(item)
			if err != nil || name != mediaType {
				continue
			}
			q := 1.0
			if text, ok := params["q"]; ok {
				if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) { // it reads NaN as well
					continue
				}
			}
			best = max(best, q)
		}
	}
	return best
}
