package idempotency

import (
	"net/http"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// FuzzRetryAfter reads any Retry-After, beside any Date: a wait is above zero and
// within what an engine can wait.
func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("-1", "")
	f.Add("9223372036854775807", "")
	f.Add("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:27:00 GMT")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")
	f.Fuzz(func(t *testing.T, text, date string) {
		header := http.Header{"Retry-After": {text}, "Date": {date}}
		wait, ok := retryAfter(header, time.Unix(1_700_000_000, 0))
		if ok && wait <= 0 || wait > offstage.MaxDelay {
			t.Errorf("%q, said at %q, is a wait of %v: %t", text, date, wait, ok)
		}
	})
}
