package demo

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/status"
)

// The whole way of a report: 202 with a place to look, growing progress, figures,
// and a chart to open or keep.
func TestReport(t *testing.T) {
	s := start(t)
	const rows = 200_000
	got := s.upload("sales.csv", readings(rows))
	if got.status != http.StatusAccepted {
		t.Fatalf("the upload was answered with %d %s", got.status, got.body)
	}
	path := got.header.Get("Location")
	token, found := strings.CutPrefix(path, "/status/")
	if !found || strings.ContainsAny(token, "/?#") {
		t.Errorf("Location is %q: the token shall be its last segment, without a query", path)
	}
	var before int64
	done := s.await(path, "the report is built", func(now jobStatus) bool {
		if now.Progress != nil {
			if now.Progress.Done < before {
				t.Errorf("the progress fell from %d to %d", before, now.Progress.Done)
			}
			before = now.Progress.Done
		}
		if now.State != "completed" && (now.Error != nil || string(now.Result) != "null") {
			t.Errorf("%s with error %v and result %s", now.State, now.Error, now.Result)
		}
		return now.State == "completed"
	})
	if done.Kind != "build_report" || done.Attempt != 1 || done.Error != nil {
		t.Errorf("the report ended as %+v", done)
	}
	want := `{"rows":200000,"columns":[{"name":"value","count":200000,"sum":20000100000,"min":1,"max":200000,"mean":100000.5}]}`
	if string(done.Result) != want {
		t.Errorf("the result is %s, want %s", done.Result, want)
	}
	page := s.get(path, "Accept", "text/html")
	for _, text := range []string{"sales.csv", "200,000 rows", "20000100000", "Open the chart"} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the status page does not show %q", text)
		}
	}
	chart := s.get(s.file(path) + "?view")
	if chart.status != http.StatusOK || !strings.Contains(chart.body, "<svg") {
		t.Errorf("the chart is %d %.100s", chart.status, chart.body)
	}
	_, params, err := mime.ParseMediaType(s.get(s.file(path)).header.Get("Content-Disposition"))
	if err != nil || params["filename"] != "sales.csv.html" {
		t.Errorf("the download is named %v, %v", params, err)
	}
}

// A browser's form is led to the status page; every other request gets 202.
func TestReportAnswersByAccept(t *testing.T) {
	s := start(t, withoutWorker)
	for _, c := range []struct {
		accept string
		status int
	}{
		{"text/html", http.StatusSeeOther},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", http.StatusSeeOther},
		{"", http.StatusAccepted},
		{"*/*", http.StatusAccepted},
		{"application/json", http.StatusAccepted},
		{"application/json, text/html;q=0.5", http.StatusAccepted},
		{"text/html;q=0", http.StatusAccepted},
	} {
		got := s.upload("a.csv", strings.NewReader("a\n1\n"), "Accept", c.accept)
		if got.status != c.status {
			t.Errorf("with Accept %q the answer is %d, want %d", c.accept, got.status, c.status)
		}
		if !strings.HasPrefix(got.header.Get("Location"), "/status/") {
			t.Errorf("with Accept %q Location is %q", c.accept, got.header.Get("Location"))
		}
	}
}

func withoutWorker(cfg *Config) { cfg.Role = RoleWeb }

// What is no CSV is refused at the door, with the place of the trouble; nothing
// is enqueued and no file stays.
func TestReportRefusesWhatIsNoCSV(t *testing.T) {
	s := start(t, withoutWorker)
	for name, c := range map[string]struct {
		content string
		status  int
		says    string
	}{
		"empty":       {"", 422, "empty"},
		"only header": {"a,b\n", 422, "record"},
		"binary":      {"a,b\n1,\x00\n", 422, "line 2, byte 7"},
		"encoding":    {"a,b\n1,\xff\n", 422, "line 2, byte 7"},
		"control":     {"a,b\n1,\x1b\n", 422, "line 2, byte 7"},
		"width":       {"a,b\n1,2\n1,2,3\n", 422, "line 3"},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.upload("x.csv", strings.NewReader(c.content))
			var problem struct{ Error string }
			if err := json.Unmarshal([]byte(got.body), &problem); err != nil {
				t.Fatalf("%d %s: %v", got.status, got.body, err)
			}
			if got.status != c.status || !strings.Contains(problem.Error, c.says) {
				t.Errorf("%d %q, want %d naming %q", got.status, problem.Error, c.status, c.says)
			}
			page := s.upload("x.csv", strings.NewReader(c.content), "Accept", "text/html")
			if page.status != c.status || !strings.Contains(page.body, "<html") || !strings.Contains(page.body, c.says) {
				t.Errorf("a browser gets %d %.200s", page.status, page.body)
			}
		})
	}
	if jobs := s.jobs("build_report"); len(jobs) > 0 {
		t.Errorf("%d jobs were enqueued", len(jobs))
	}
	if files := s.uploads(); len(files) > 0 {
		t.Errorf("files stayed: %v", files)
	}
}

// A request that is not a form with a file is told what is missing.
func TestReportRefusesOtherRequests(t *testing.T) {
	s := start(t, withoutWorker)
	const boundary = "multipart/form-data; boundary=b"
	field := func(name, content string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"x.csv\"\r\n\r\n" + content + "\r\n"
	}
	for name, c := range map[string]struct{ contentType, body, says string }{
		"no form":    {"text/csv", "a\n1\n", "multipart/form-data"},
		"other form": {"application/x-www-form-urlencoded", "file=a", "multipart/form-data"},
		"no field":   {boundary, field("data", "a\n1\n") + "--b--\r\n", `"file"`},
		"no body":    {boundary, "", `"file"`},
		"broken off": {boundary, field("file", "a\n1\n"), "broke off"},
		"two files":  {boundary, field("file", "a\n1\n") + field("file", "b\n2\n") + "--b--\r\n", "one file"},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.send(s.request(http.MethodPost, "/reports", strings.NewReader(c.body), "Content-Type", c.contentType))
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, strings.ReplaceAll(c.says, `"`, `\"`)) {
				t.Errorf("%d %s, want 400 naming %s", got.status, got.body, c.says)
			}
		})
	}
	if files := s.uploads(); len(files) > 0 {
		t.Errorf("files stayed: %v", files)
	}
}

// The limit is for the file, to the byte, whether or not the sender says how
// long the request is.
func TestReportLimit(t *testing.T) {
	const limit = 3 << 20
	s := start(t, withoutWorker, func(cfg *Config) { cfg.MaxUpload = limit })
	content := func(size int64) io.Reader {
		return io.LimitReader(io.MultiReader(strings.NewReader("a\n"), &repeat{"12345678\n"}), size)
	}
	if got := s.upload("x.csv", content(limit)); got.status != http.StatusAccepted {
		t.Errorf("a file of the limit's size got %d %s", got.status, got.body)
	}
	if got := s.upload("x.csv", content(limit+1)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a file over the limit got %d %s", got.status, got.body)
	}
	body, contentType := form("x.csv", content(3*limit))
	whole, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, expect := range []string{"", "100-continue"} {
		r := s.request(http.MethodPost, "/reports", strings.NewReader(string(whole)), "Content-Type", contentType)
		if expect != "" {
			r.Header.Set("Expect", expect)
		}
		got := s.send(r)
		if got.status != http.StatusRequestEntityTooLarge || !strings.Contains(got.body, "3 MiB") {
			t.Errorf("a long request got %d %s", got.status, got.body)
		}
	}
	if files := s.uploads(); len(files) != 1 {
		t.Errorf("%d files stayed, want the one that was accepted", len(files))
	}
}

// repeat reads the same text again and again.
type repeat struct{ text string }

func (r *repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], r.text)
	}
	// The next read begins where this one ended in the text.
	cut := n % len(r.text)
	r.text = r.text[cut:] + r.text[:cut]
	return n, nil
}

// A record that is broken later ends the report at once, and its user reads
// where.
func TestReportBrokenLater(t *testing.T) {
	s := start(t)
	content := io.MultiReader(readings(50_000), strings.NewReader("only one cell\n"))
	path := s.upload("x.csv", content).header.Get("Location")
	got := s.awaitState(path, offstage.Failed)
	if got.Attempt != 1 || got.Error == nil || !strings.Contains(*got.Error, "line 50002") {
		t.Errorf("the report ended as %+v, %s", got, value(got.Error))
	}
	if page := s.get(path); !strings.Contains(page.body, "line 50002") {
		t.Error("the page does not say where")
	}
	if len(got.Files) > 0 {
		t.Errorf("there is a chart: %v", got.Files)
	}
}

func value(text *string) string {
	if text == nil {
		return "null"
	}
	return *text
}

// UTF-16 and semicolons work from end to end.
func TestReportInUTF16(t *testing.T) {
	s := start(t)
	text := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune("größe;näme\n1.5;x\n-2;y\n")) {
		text = append(text, byte(unit), byte(unit>>8))
	}
	path := s.upload("x.csv", strings.NewReader(string(text))).header.Get("Location")
	got := s.awaitState(path, offstage.Completed)
	if want := `{"rows":2,"columns":[{"name":"größe","count":2,"sum":-0.5,"min":-2,"max":1.5,"mean":-0.25}]}`; string(got.Result) != want {
		t.Errorf("the result is %s, want %s", got.Result, want)
	}
}

// A report without its file ends with a sentence for the user.
func TestReportWithoutItsFile(t *testing.T) {
	s := start(t)
	receipt, err := s.client.Enqueue(t.Context(), BuildReport{File: "gone.csv", Name: "gone.csv", Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := s.client.Enqueue(t.Context(), BuildReport{File: "../../offstage.db", Name: "x", Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	flows, err := status.New(t.Context(), s.client, status.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := s.request(http.MethodGet, "/", nil)
	if got := s.awaitState(flows.Link(r, receipt.ID), offstage.Failed); !strings.Contains(value(got.Error), "no longer here") {
		t.Errorf("the user reads %s", value(got.Error))
	}
	if got := s.awaitState(flows.Link(r, forged.ID), offstage.Failed); value(got.Error) != "something went wrong on our side; it has been noted" {
		t.Errorf("the user reads %s", value(got.Error))
	}
}

// Names of files are shown and stored, but they command nothing.
func TestDisplayName(t *testing.T) {
	for name, want := range map[string]string{
		"sales.csv":                       "sales.csv",
		`C:\Users\me\sales.csv`:           "sales.csv",
		"../../etc/passwd":                "passwd",
		"a\x1b[31m\x00\u202eb.csv":        "a[31mb.csv",
		"\xff\xfe":                        "upload.csv",
		"":                                "upload.csv",
		"größe 1.csv":                     "größe 1.csv",
		strings.Repeat("ä", 150) + ".csv": strings.Repeat("ä", 100),
	} {
		if got := displayName(name); got != want {
			t.Errorf("displayName(%q) is %q, want %q", name, got, want)
		}
	}
}
