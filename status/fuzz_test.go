package status

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

// FuzzPreferences reads any Prefer and Accept headers: waits stay within their
// limit, weights between 0 and 1, and what is said to be applied is what is read
// from it again.
func FuzzPreferences(f *testing.F) {
	f.Add("wait=10, respond-async", "text/html, application/json;q=0.9")
	f.Add(`wait="5"; x=y, wait=7`, "text/html;q=NaN")
	f.Add("wait=-1, wait=99999999999", "application/json;q=inf, text/html;q=2")
	f.Add("WAIT = 3 ,,;=", "text/html;q=-1;level=1, */*")
	f.Fuzz(func(t *testing.T, prefer, accept string) {
		const most = time.Minute
		r := &http.Request{Header: http.Header{"Prefer": {prefer}, "Accept": {accept}}}
		p := preferenceOf(r, most)
		if p.wait < 0 || p.wait > most || !p.waits && p.wait != 0 {
			t.Errorf("%q asks for %+v", prefer, p)
		}
		r.Header.Set("Prefer", p.applied(true))
		if again := preferenceOf(r, most); again != p {
			t.Errorf("%q is applied as %q, which asks for %+v, not %+v", prefer, p.applied(true), again, p)
		}
		for _, kind := range []string{"text/html", "application/json"} {
			if q := quality(r, kind); !(q >= 0 && q <= 1) {
				t.Errorf("the weight of %s in %q is %v", kind, accept, q)
			}
		}
		PrefersHTML(r)
	})
}

// FuzzIdempotencyKey reads any Idempotency-Key: what is read can be written in
// quotes and is then the same.
func FuzzIdempotencyKey(f *testing.F) {
	f.Add("abc")
	f.Add(`"a \"b\" \\ c"`)
	f.Add(`"a`)
	f.Add(" \"\x7f\" ")
	f.Add(strings.Repeat("k", 256))
	f.Fuzz(func(t *testing.T, text string) {
		key, err := keyOf(&http.Request{Header: http.Header{keyHeader: {text}}})
		if err != nil {
			if key != "" {
				t.Errorf("%q is refused and read as %q", text, key)
			}
			return
		}
		if key == "" || len(key) > maxKey {
			t.Errorf("%q is read as a key of %d characters", text, len(key))
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := keyOf(&http.Request{Header: http.Header{keyHeader: {quoted}}}); err != nil || again != key {
			t.Errorf("%q is read as %q, and %s as %q, %v", text, key, quoted, again, err)
		}
	})
}

// FuzzToken opens any text: only what was signed here for the same user and file
// opens, and says what was signed.
func FuzzToken(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	signer := tokens{[]byte("a key of the test")}
	f.Add(signer.sign(token{job: 7, expires: now.Add(time.Hour)}), int64(7), int64(1_700_000_100), "ann", "a.csv", true)
	f.Add("", int64(0), int64(0), "", "", false)
	f.Add("\r", int64(-13), int64(-8), "0", "", false)
	f.Add(strings.Repeat("A", 40), int64(-1), int64(1)<<40-1, "\x00", "/", true)
	f.Fuzz(func(t *testing.T, text string, job, expires int64, user, file string, bound bool) {
		if link, err := signer.open(text, user, file, now); err == nil && signer.sign(link) != text {
			t.Errorf("%q was opened as %+v", text, link)
		}
		link := token{job: offstage.ID(job), expires: time.Unix(expires&(1<<40-1), 0), bound: bound, file: file}
		if bound {
			link.user = user
		}
		signed := signer.sign(link)
		got, err := signer.open(signed, user, file, now)
		if want := link.expires.After(now); want != (err == nil) || want && got != link {
			t.Errorf("%+v was opened as %+v, %v", link, got, err)
		}
		for name, open := range map[string]func() (token, error){
			"with another key":   func() (token, error) { return tokens{[]byte("another")}.open(signed, user, file, now) },
			"for another file":   func() (token, error) { return signer.open(signed, user, file+"x", now) },
			"with another text":  func() (token, error) { return signer.open(text+signed, user, file, now) },
			"with its end cut":   func() (token, error) { return signer.open(signed[:len(signed)-1], user, file, now) },
			"with another first": func() (token, error) { return signer.open("_"+signed[1:], user, file, now) },
		} {
			if name == "with another text" && text == "" {
				continue
			}
			if got, err := open(); err == nil {
				t.Errorf("%+v was opened %s: %+v", link, name, got)
			}
		}
		if got, err := signer.open(signed, user+"x", file, now); bound && err == nil {
			t.Errorf("%+v was opened by another user: %+v", link, got)
		}
	})
}

// FuzzCursor reads any id of an event; what is read is written and read the same.
func FuzzCursor(f *testing.F) {
	f.Add("17.2.end")
	f.Add("17.0.scheduled1700000000000000")
	f.Add("-1.+2..")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseCursor(text)
		if !ok {
			return
		}
		if again, ok := parseCursor(c.String()); !ok || again != c {
			t.Errorf("%q is read as %+v, and that as %+v, %t", text, c, again, ok)
		}
		if last := c.at == atEnd || c.at == atEnded; last && !c.knowsEnd() {
			t.Errorf("%q does not know the end", text)
		}
	})
}

// FuzzFileName takes any name for a file: one that is let through comes back from
// the header of a download as it was.
func FuzzFileName(f *testing.F) {
	for _, name := range []string{"report.csv", "Bericht für März.pdf", `a"b;c='d'.txt`, "..", "a/b", "\u202egnp.exe", "%41", "日本"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkFileName(name) != nil {
			return
		}
		header := mime.FormatMediaType("attachment", map[string]string{"filename": name})
		_, params, err := mime.ParseMediaType(header)
		if err != nil || params["filename"] != name {
			t.Errorf("%q is sent as %q and read as %q, %v", name, header, params["filename"], err)
		}
	})
}

// FuzzBody hashes any body as any content: in pieces of any size to the same end.
func FuzzBody(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", []byte("a=1&b=%20;&=&&%"))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"../b\"\r\n\r\n1\r\n--x--\r\n"))
	f.Add("multipart/form-data", []byte("--\r\n\r\n"))
	f.Add("multipart/form-data; boundary=\"\"", []byte{0})
	f.Add("text/plain; charset", []byte("x"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		hash := func(from io.Reader) (string, error) {
			b := newHashedBody(&http.Request{Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(from)})
			first, err := b.sum()
			second, again := b.sum()
			if !bytes.Equal(first, second) || (err == nil) != (again == nil) {
				t.Errorf("asked twice, the hash is %x, %v and %x, %v", first, err, second, again)
			}
			b.stop()
			return fmt.Sprintf("%x", first), err
		}
		whole, err := hash(bytes.NewReader(body))
		pieces, err2 := hash(iotest.OneByteReader(bytes.NewReader(body)))
		if whole != pieces || (err == nil) != (err2 == nil) {
			t.Errorf("the hash is %s, %v; in pieces %s, %v", whole, err, pieces, err2)
		}
		if _, err := hash(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(body)))); err == nil && len(body) > 0 {
			t.Error("a body that was cut off has a hash")
		}
	})
}

// FuzzFlows sends any request to the status of a job: it is answered, and never by
// an error of ours.
func FuzzFlows(f *testing.F) {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	blobs, err := Dir(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	flows, err := New(f.Context(), client, Config{
		Files: NewFiles(client, blobs), Logger: slog.New(slog.DiscardHandler),
		Cancel: func(*http.Request, offstage.JobInfo) bool { return true },
	})
	if err != nil {
		f.Fatal(err)
	}
	flows.Stop() // nobody waits for what will not come
	made, err := client.Enqueue(f.Context(), offstage.Named("any", 1))
	if err != nil {
		f.Fatal(err)
	}
	link := flows.Link(httptest.NewRequestWithContext(f.Context(), http.MethodGet, "/", http.NoBody), made.ID)
	f.Add("", "wait=1", "text/html", "1.0.0", "bytes=0-", "")
	f.Add("/events", "", "*/*", "1.99.end", "bytes=9-1", "last_event_id=x")
	f.Add("/result", "respond-async", "", "", "", "%zz")
	f.Add("/files/..%2f", "", "", "", "bytes=-", "view")
	f.Add("/cancel", "", "application/json", "", "", "x=1")
	f.Fuzz(func(t *testing.T, path, prefer, accept, last, part, query string) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
			r.URL.Path, r.URL.RawQuery = link+path, query
			r.Header = http.Header{"Prefer": {prefer}, "Accept": {accept}, "Last-Event-Id": {last}, "Range": {part}, "If-None-Match": {last}}
			w := httptest.NewRecorder()
			flows.ServeHTTP(w, r)
			if w.Code >= http.StatusInternalServerError {
				t.Errorf("%s %s is answered with %d: %s", method, r.URL, w.Code, w.Body)
			}
		}
	})
}
