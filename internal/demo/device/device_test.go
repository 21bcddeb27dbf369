package device

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// childDir makes the test program a process that serves the devices of this folder until it is killed.
const childDir = "OFFSTAGE_TEST_DEVICES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		serveAsChild(dir)
	}
	goleak.VerifyTestMain(m)
}

func serveAsChild(dir string) {
	f, err := New(Options{Dir: dir, Seed: 1, Faults: Faults{LoseAnswer: 0.3, Drop: 0.2}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, url, err := Listen()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(url)
	fmt.Fprintln(os.Stderr, f.Serve(context.Background(), l))
	os.Exit(1)
}

// newFleet returns a fleet that is closed with the test.
func newFleet(t *testing.T, o Options) *Fleet {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// serve serves the fleet on l until the test ends.
func serve(t *testing.T, f *Fleet, l net.Listener) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- f.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// start serves the fleet on loopback and returns a client and its base URL.
func start(t *testing.T, f *Fleet) (*Client, string) {
	t.Helper()
	l, url, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	serve(t, f, l)
	return newClient(t, &http.Transport{}), url
}

func newClient(t *testing.T, transport *http.Transport) *Client {
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{HTTP: &http.Client{Transport: transport}}
}

// insist sends the command until it is applied or refused for good.
func insist(ctx context.Context, c *Client, url func() string, id, command, key string) (Result, error) {
	for {
		r, err := c.Send(ctx, url(), id, command, key)
		var down *UnavailableError
		if !errors.As(err, &down) {
			return r, err
		}
	}
}

func TestACommandIsAppliedOncePerKey(t *testing.T) {
	c, url := start(t, newFleet(t, Options{}))
	first, err := c.Send(t.Context(), url, "pump-1", "open valve", "k1")
	if err != nil || first.AlreadyApplied || first.Number != 1 || first.Device != "pump-1" || first.Command != "open valve" || first.Key != "k1" || first.AppliedAt.IsZero() {
		t.Fatalf("first: %+v, %v", first, err)
	}
	again, err := c.Send(t.Context(), url, "pump-1", "open valve", "k1")
	want := first
	want.AlreadyApplied = true
	if err != nil || again != want {
		t.Errorf("again: %+v, %v; want %+v", again, err, want)
	}
	for _, other := range []struct {
		device, key string
		number      int64
	}{{"pump-1", "k2", 2}, {"pump-2", "k1", 1}} {
		r, err := c.Send(t.Context(), url, other.device, "open valve", other.key)
		if err != nil || r.AlreadyApplied || r.Number != other.number {
			t.Errorf("%+v: %+v, %v", other, r, err)
		}
	}
	s, err := c.State(t.Context(), url, "pump-1")
	if err != nil || s.Applied != 2 || len(s.Log) != 2 || s.Log[0].Key != "k2" || s.Log[1].Key != "k1" || s.DownUntil != nil {
		t.Errorf("state: %+v, %v", s, err)
	}
}

func TestOneKeyAtTheSameTime(t *testing.T) {
	dir := t.TempDir()
	c, url := start(t, newFleet(t, Options{Dir: dir}))
	c2, url2 := start(t, newFleet(t, Options{Dir: dir})) // as another process would
	var group sync.WaitGroup
	results := make(chan Result, 100)
	for i := range cap(results) {
		group.Go(func() {
			c, url := c, url
			if i%2 == 0 {
				c, url = c2, url2
			}
			r, err := c.Send(t.Context(), url, "d", "reboot", fmt.Sprint("key ", i%5))
			if err != nil {
				t.Error(err)
			}
			results <- r
		})
	}
	group.Wait()
	close(results)
	applied := 0
	for r := range results {
		if !r.AlreadyApplied {
			applied++
		}
	}
	s, err := c.State(t.Context(), url, "d")
	if err != nil || applied != 5 || s.Applied != 5 || len(s.Log) != 5 {
		t.Errorf("%d answers say applied now, the state is %+v, %v; want 5", applied, s, err)
	}
}

func TestRejected(t *testing.T) {
	c, url := start(t, newFleet(t, Options{}))
	if _, err := c.Send(t.Context(), url, "d", "open", "k"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Send(t.Context(), url, "d", "close", "k")
	var rejected *RejectedError
	if !errors.As(err, &rejected) || rejected.Status != http.StatusUnprocessableEntity {
		t.Errorf("a key used twice: %v", err)
	}
	for _, bad := range [][3]string{
		{"", "open", "k"}, {"..", "open", "k"}, {"a/b", "open", "k"}, {strings.Repeat("d", 65), "open", "k"},
		{"d", "", "k"}, {"d", "a\nb", "k"}, {"d", strings.Repeat("x", 257), "k"}, {"d", "\xff", "k"},
		{"d", "open", ""}, {"d", "open", strings.Repeat("k", 129)}, {"d", "open", "a\x00"},
	} {
		_, err := c.Send(t.Context(), url, bad[0], bad[1], bad[2])
		if !errors.As(err, &rejected) || rejected.Status != http.StatusBadRequest {
			t.Errorf("%q: got %v, want a refusal with 400", bad, err)
		}
	}
	for _, request := range []struct {
		path, key, body string
		status          int
	}{
		{"/devices/d/commands", "", `{"command":"open"}`, 400},
		{"/devices/d/commands", "k9", `{"command":`, 400},
		{"/devices/d/commands", "k9", `{"command":"` + strings.Repeat("x", 5000) + `"}`, 400},
		{"/devices/-/commands", "k9", `{"command":"open"}`, 400},
		{"/devices/d/down", "", "", 400},
		{"/devices/d/down?for=-3s", "", "", 400},
		{"/devices/d/down?for=25h", "", "", 400},
		{"/devices/-/up", "", "", 400},
		{"/devices/d", "", "", 405},
		{"/nothing", "", "", 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+request.path, strings.NewReader(request.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", request.key)
		response, _, err := c.fetch(r)
		if err != nil || response.StatusCode != request.status {
			t.Errorf("%+v: %v, %v", request, response, err)
		}
	}
	if s, err := c.State(t.Context(), url, "d"); err != nil || s.Applied != 1 {
		t.Errorf("after refusals: %+v, %v; want 1 command", s, err)
	}
	if _, err := c.State(t.Context(), url, "-"); !errors.As(err, &rejected) {
		t.Errorf("state of an invalid device: %v", err)
	}
}

// child is a process that serves devices.
type child struct {
	process *exec.Cmd
	url     string
}

func startChild(t *testing.T, dir string) child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(exe)
	process.Env = append(os.Environ(), childDir+"="+dir)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // in case the test did not come to it
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child has no address: %v", err)
	}
	return child{process, strings.TrimSpace(url)}
}

func (c child) kill(t *testing.T) {
	t.Helper()
	if err := c.process.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = c.process.Wait() // it was killed, and says so
}

// Devices that lose answers and are killed again and again apply each of 200 commands once.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	running := startChild(t, dir)
	url := func() string { mu.Lock(); defer mu.Unlock(); return running.url }
	c := newClient(t, &http.Transport{DisableKeepAlives: true})

	keys := make(chan int)
	done := make(chan int)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range keys {
				if _, err := insist(t.Context(), c, url, "d", "step", fmt.Sprint("k", i)); err != nil {
					t.Error(err)
				}
				done <- i
			}
		})
	}
	go func() {
		defer close(keys)
		for i := range 200 {
			keys <- i
		}
	}()
	for n := range 200 {
		<-done
		if n%20 == 10 { // while others are on their way
			next := startChild(t, dir) // already serves the same devices
			mu.Lock()
			old := running
			running = next
			mu.Unlock()
			old.kill(t)
		}
	}
	group.Wait()
	s, err := c.State(t.Context(), url(), "d")
	running.kill(t)
	if err != nil || s.Applied != 200 || len(s.Log) != 200 {
		t.Fatalf("%d applied, %d in the log, %v; want 200", s.Applied, len(s.Log), err)
	}
	seen := map[string]bool{}
	for _, a := range s.Log {
		if seen[a.Key] {
			t.Errorf("%s was applied twice", a.Key)
		}
		seen[a.Key] = true
	}
}

func TestNewNamesTheWrongOption(t *testing.T) {
	for part, o := range map[string]Options{
		"Faults.Hang":    {Faults: Faults{Hang: -0.1}},
		"Faults.Drop":    {Faults: Faults{Drop: 1.1}},
		"add up to 1.2":  {Faults: Faults{Drop: 0.6, Hang: 0.6}},
		"Faults.Latency": {Faults: Faults{Latency: -1}},
		"Remember":       {Remember: -1},
		os.DevNull:       {Dir: os.DevNull + "/x"},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want an error about %s", err, part)
		}
	}
}

func TestServeReturnsTheListenersError(t *testing.T) {
	l, _, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := newFleet(t, Options{}).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want %v", err, net.ErrClosed)
	}
}
