package demo

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
)

// Every page of the navigation is there, allows nothing from elsewhere, and has
// nothing inline that this would break.
func TestPages(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/", "/devices", "/devices/pump-2", "/priorities", "/jobs", "/nowhere"} {
		got := s.get(path)
		if want := 200; path != "/nowhere" && got.status != want || path == "/nowhere" && got.status != 404 {
			t.Errorf("GET %s: %d", path, got.status)
		}
		if policy := got.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("the policy of %s is %q", path, policy)
		}
		for _, inline := range []string{"<style", "style=", "<script>", "onclick", "javascript:", "http://", "https://"} {
			if strings.Contains(got.body, inline) {
				t.Errorf("%s has %q in it", path, inline)
			}
		}
		for _, part := range []string{`<html lang="en">`, `name="viewport"`, "<main", "<h1>"} {
			if !strings.Contains(got.body, part) {
				t.Errorf("%s has no %s", path, part)
			}
		}
	}
}

// Static files can be kept for ever under the address that the pages use.
func TestStaticFiles(t *testing.T) {
	s := start(t, withoutWorker)
	body := s.get("/").body
	at := strings.Index(body, "/static/style.css?v=")
	if at < 0 {
		t.Fatal("the page has no style")
	}
	path, _, _ := strings.Cut(body[at:], `"`)
	got := s.get(path)
	if got.status != 200 || !strings.Contains(got.header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(got.header.Get("Content-Type"), "text/css") {
		t.Errorf("GET %s: %d %v", path, got.status, got.header)
	}
	if got := s.get("/static/nothing"); got.status != http.StatusNotFound {
		t.Errorf("a file that is not there is answered with %d", got.status)
	}
}

// Other sites' pages can neither press buttons here nor reach the service under
// a name of theirs.
func TestOtherSitesAreKeptOut(t *testing.T) {
	s := start(t, withoutWorker)
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Origin", "https://evil.example"},
	} {
		r := s.request(http.MethodPost, "/priorities", nil, headers...)
		if got := s.send(r); got.status != http.StatusForbidden {
			t.Errorf("a request with %v is answered with %d", headers, got.status)
		}
	}
	for host, status := range map[string]int{
		"evil.example": 421, "evil.example:8484": 421, "127.0.0.1.evil.example": 421, "10.0.0.1": 421, "": 200,
		"localhost": 200, "localhost:9999": 200, "app.localhost": 200, "127.0.0.1": 200, "[::1]:8484": 200,
	} {
		r := s.request(http.MethodGet, "/", nil)
		r.Host = host
		if got := s.send(r); got.status != status {
			t.Errorf("the host %q is answered with %d, want %d", host, got.status, status)
		}
	}
	if jobs := s.jobs("raise_alert"); len(jobs) > 0 {
		t.Error("a refused request enqueued jobs")
	}
}

// Where all the network may come in, it may do so under any name.
func TestAnyHostWhenNotLocal(t *testing.T) {
	s := start(t, withoutWorker, func(cfg *Config) { cfg.Listener = listen(t, ":0") })
	r := s.request(http.MethodGet, "/", nil)
	r.Host = "demo.example"
	if got := s.send(r); got.status != http.StatusOK {
		t.Errorf("GET / is answered with %d", got.status)
	}
}

// A form that is longer than any of ours is refused.
func TestLongForm(t *testing.T) {
	s := start(t, withoutWorker)
	long := url.Values{"command": {strings.Repeat("x", 2*maxForm)}}
	if got := s.press("/devices/pump-2/commands", long); got.status != http.StatusUnprocessableEntity && got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long form is answered with %d", got.status)
	}
}

// A taken port: the default moves on to the next one, an address that was asked
// for is refused in a sentence.
func TestListen(t *testing.T) {
	first, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	taken := first.Addr().(*net.TCPAddr).AddrPort()
	if _, err := Listen(t.Context(), taken.String()); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("a taken address is refused with %v", err)
	}
	next, err := listenFrom(context.Background(), netip.MustParseAddr("127.0.0.1"), taken.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Close() }()
	if port := next.Addr().(*net.TCPAddr).Port; port <= int(taken.Port()) {
		t.Errorf("the next free port after %d is %d", taken.Port(), port)
	}
	for _, bad := range []string{"", "8484", "localhost", "localhost:x", "localhost:99999"} {
		if listener, err := Listen(t.Context(), bad); err == nil {
			t.Errorf("%q was taken for an address", bad)
			_ = listener.Close()
		}
	}
}

// The demo keeps to a folder of its own and leaves alone what else is there.
func TestFolderIsItsOwn(t *testing.T) {
	s := start(t, func(cfg *Config) {
		for _, name := range []string{"uploads", "results"} {
			if err := os.Mkdir(filepath.Join(cfg.Dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(cfg.Dir, name, "mine.csv"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.upload("a.csv", strings.NewReader("a\n1\n"))
	for _, name := range []string{"uploads", "results"} {
		if got := mustRead(t, filepath.Join(s.dir, name, "mine.csv")); got != "mine" {
			t.Errorf("%s/mine.csv is now %q", name, got)
		}
	}
	if len(s.uploads()) != 1 {
		t.Errorf("the upload is not in the demo's own folder")
	}
}

// A demo that is told to stop before it has started ends without a complaint.
func TestStopAtOnce(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, role := range Roles() {
		if err := Run(ctx, Config{Store: store, Dir: dir, Role: role, Listener: listen(t, "127.0.0.1:0")}); err != nil {
			t.Errorf("with the role %s: %v", role, err)
		}
	}
}

// When a stop takes too long for whoever waits, running jobs are cancelled at
// once and handed back.
func TestHurry(t *testing.T) {
	hurry := make(chan struct{})
	s := start(t, func(cfg *Config) { cfg.Hurry = hurry })
	long := io.LimitReader(io.MultiReader(strings.NewReader("a\n"), &repeat{"12345678\n"}), 100<<20)
	path := s.upload("long.csv", long).header.Get("Location")
	job := s.await(path, "the report is under way", func(now jobStatus) bool { return now.Progress != nil })
	close(hurry)
	s.stop()
	after, err := s.client.Get(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if after.State != offstage.Ready || len(after.Attempts) != 1 || after.Attempts[0].Outcome != offstage.OutcomeInterrupted {
		t.Errorf("the report is %s after %+v", after.State, after.Attempts)
	}
}
