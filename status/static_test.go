package status_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/status"
)

// The browser module is small, and both files may be kept for ever under their
// versioned addresses.
func TestStatic(t *testing.T) {
	each(t, status.Config{}, func(r *rig) {
		for path, kind := range map[string]string{status.Script: "text/javascript", status.Style: "text/css"} {
			answer := r.do("GET", "/status"+path, "")
			text := r.want(answer, http.StatusOK)
			if len(text) > 4096 && path == status.Script {
				r.Errorf("%s has %d bytes, more than 4096", path, len(text))
			}
			if !strings.HasPrefix(answer.Header.Get("Content-Type"), kind) || !strings.Contains(answer.Header.Get("Cache-Control"), "immutable") {
				r.Errorf("%s comes with %v", path, answer.Header)
			}
			name, _, _ := strings.Cut(path, "?")
			if plain := r.do("GET", "/status"+name, ""); plain.Header.Get("Cache-Control") != "" {
				r.Errorf("%s may be kept: %v", name, plain.Header)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				r.Error(err)
			}
		}
	})
}
