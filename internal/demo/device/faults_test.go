package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a listener without a network, for tests in virtual time.
type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return mine, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// devices is the base URL on a pipe.
const devices = "http://devices"

// virtual runs the test in virtual time, with a client of a fleet with these options.
func virtual(t *testing.T, o Options, test func(t *testing.T, c *Client)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		serve(t, newFleet(t, o), p)
		test(t, newClient(t, &http.Transport{DialContext: p.dial}))
	})
}

// asUnavailable fails the test unless err is an *UnavailableError.
func asUnavailable(t *testing.T, err error) *UnavailableError {
	t.Helper()
	var e *UnavailableError
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want an *UnavailableError", err, err)
	}
	return e
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		faults  Faults
		applied int64
		timeout bool
		again   bool // the device asks to be tried again later
	}{
		{"unavailable", Faults{Unavailable: 1}, 0, false, true},
		{"hang", Faults{Hang: 1}, 0, true, false},
		{"drop", Faults{Drop: 1}, 0, false, false},
		{"lose the answer", Faults{LoseAnswer: 1}, 1, false, false},
		{"slow", Faults{Latency: time.Minute}, 0, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, Options{Faults: c.faults}, func(t *testing.T, client *Client) {
				client.Timeout = 10 * time.Millisecond
				begin := time.Now()
				for range 3 { // also on a connection that was used before
					_, err := client.Send(t.Context(), devices, "d", "open", "k")
					e := asUnavailable(t, err)
					if errors.Is(err, ErrTimeout) != c.timeout || (e.RetryAfter > 0) != c.again {
						t.Errorf("got %v with RetryAfter %v", err, e.RetryAfter)
					}
				}
				if waited := time.Since(begin); c.timeout && waited != 30*time.Millisecond {
					t.Errorf("3 timeouts took %v, want 30ms", waited)
				}
				s, err := client.State(t.Context(), devices, "d")
				if err != nil || s.Applied != c.applied {
					t.Errorf("state %+v, %v; want %d applied", s, err, c.applied)
				}
			})
		})
	}
}

func TestHangEndsByItself(t *testing.T) {
	virtual(t, Options{Faults: Faults{Hang: 1}}, func(t *testing.T, c *Client) {
		c.Timeout = time.Hour
		begin := time.Now()
		_, err := c.Send(t.Context(), devices, "d", "open", "k")
		asUnavailable(t, err)
		if waited := time.Since(begin); waited != maxHang {
			t.Errorf("hung for %v, want %v", waited, maxHang)
		}
	})
}

func TestServeBreaksOffWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		f := newFleet(t, Options{Faults: Faults{Hang: 1}})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- f.Serve(ctx, p) }()
		sent := make(chan error)
		c := newClient(t, &http.Transport{DialContext: p.dial})
		go func() {
			_, err := c.Send(t.Context(), devices, "d", "open", "k")
			sent <- err
		}()
		synctest.Wait() // the request hangs
		begin := time.Now()
		stop()
		asUnavailable(t, <-sent)
		if err := <-served; err != nil || time.Since(begin) > time.Second {
			t.Errorf("Serve: %v after %v", err, time.Since(begin))
		}
	})
}

// A device is down for 30 s while 50 commands are sent again and again: each is applied once, after that.
func TestDown(t *testing.T) {
	virtual(t, Options{Faults: Unreliable(), Seed: 7}, func(t *testing.T, c *Client) {
		begin := time.Now()
		s, err := c.Down(t.Context(), devices, "d", 30*time.Second)
		if err != nil || s.DownUntil == nil || !s.DownUntil.Equal(begin.Add(30*time.Second)) {
			t.Fatalf("down: %+v, %v", s, err)
		}
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				for {
					_, err := c.Send(t.Context(), devices, "d", "step", fmt.Sprint("k", i))
					if err == nil {
						return
					}
					<-time.After(max(asUnavailable(t, err).RetryAfter, time.Second))
				}
			})
		}
		group.Wait()
		s, err = c.State(t.Context(), devices, "d")
		if err != nil || s.Applied != 50 || len(s.Log) != 50 || s.DownUntil != nil {
			t.Fatalf("state: %+v, %v", s, err)
		}
		keys := map[string]bool{}
		for _, a := range s.Log {
			keys[a.Key] = true
			if a.At.Sub(begin) < 30*time.Second {
				t.Errorf("%s was applied after %v, while the device was down", a.Key, a.At.Sub(begin))
			}
		}
		if len(keys) != 50 {
			t.Errorf("%d keys, want 50", len(keys))
		}
	})
}

func TestUp(t *testing.T) {
	virtual(t, Options{}, func(t *testing.T, c *Client) {
		if _, err := c.Down(t.Context(), devices, "d", time.Hour); err != nil {
			t.Fatal(err)
		}
		_, err := c.Send(t.Context(), devices, "d", "open", "k")
		if e := asUnavailable(t, err); e.RetryAfter != maxCooldown*time.Second {
			t.Errorf("RetryAfter %v, want %ds", e.RetryAfter, maxCooldown)
		}
		if _, err := c.Send(t.Context(), devices, "other", "open", "k"); err != nil {
			t.Errorf("another device: %v", err)
		}
		for range 2 {
			if s, err := c.Up(t.Context(), devices, "d"); err != nil || s.DownUntil != nil {
				t.Errorf("up: %+v, %v", s, err)
			}
		}
		if _, err := c.Send(t.Context(), devices, "d", "open", "k"); err != nil {
			t.Errorf("after up: %v", err)
		}
	})
}

func TestTooManyOutages(t *testing.T) {
	virtual(t, Options{}, func(t *testing.T, c *Client) {
		for i := range maxOutages {
			if _, err := c.Down(t.Context(), devices, fmt.Sprint("d", i), time.Duration(1+i)*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Down(t.Context(), devices, "more", time.Second); asUnavailable(t, err) == nil {
			t.Error("one more outage is taken")
		}
		if _, err := c.Down(t.Context(), devices, "d999", time.Hour); err != nil {
			t.Errorf("a longer outage of a device that is down: %v", err)
		}
		<-time.After(2 * time.Second)
		if _, err := c.Down(t.Context(), devices, "more", time.Second); err != nil {
			t.Errorf("after an outage has ended: %v", err)
		}
	})
}

// fates returns the outcomes of 4 tries of 50 commands, asked for in the given order.
func fates(t *testing.T, seed uint64, order []int) map[string][]string {
	f := newFleet(t, Options{Seed: seed, Faults: Unreliable()})
	all := map[string][]string{}
	for range 4 {
		for _, i := range order {
			key := fmt.Sprint("k", i)
			latency, outcome := f.fate(deviceKey{"d", key})
			all[key] = append(all[key], fmt.Sprint(latency, outcome))
		}
	}
	return all
}

func TestTheSeedDecides(t *testing.T) {
	var up, down []int
	for i := range 50 {
		up, down = append(up, i), append(down, 49-i)
	}
	same := func(a, b map[string][]string) bool {
		for key := range a {
			if !slices.Equal(a[key], b[key]) {
				return false
			}
		}
		return true
	}
	if !same(fates(t, 1, up), fates(t, 1, down)) {
		t.Error("the order of requests changes their fate")
	}
	if same(fates(t, 1, up), fates(t, 2, up)) {
		t.Error("another seed changes nothing")
	}
}

func TestTheSharesHold(t *testing.T) {
	f := newFleet(t, Options{Faults: Unreliable()})
	const tries = 3 * maxTries // also beyond the memory of tries
	counts := map[outcome]float64{}
	var total time.Duration
	for i := range tries {
		latency, outcome := f.fate(deviceKey{"d", fmt.Sprint(i)})
		counts[outcome]++
		total += latency
	}
	want := Unreliable()
	for outcome, share := range map[outcome]float64{
		unavailable: want.Unavailable, hang: want.Hang, drop: want.Drop, loseAnswer: want.LoseAnswer, succeed: 0.5,
	} {
		if got := counts[outcome] / tries; got < share-0.015 || got > share+0.015 {
			t.Errorf("outcome %d: share %v, want %v", outcome, got, share)
		}
	}
	if mean := total / tries; mean < 290*time.Millisecond || mean > 310*time.Millisecond {
		t.Errorf("mean latency %v, want %v", mean, want.Latency)
	}
}
