package tcpproxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/internal/tcpproxy"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Without a fault every byte arrives, in both directions, and so does the end.
func TestPassesBytesAndTheirEnd(t *testing.T) {
	proxy, _ := startEcho(t)
	conn := dial(t, proxy)
	sent := bytes.Repeat([]byte("offstage"), 1<<17)
	var writing sync.WaitGroup
	writing.Go(func() {
		if _, err := conn.Write(sent); err != nil {
			t.Error(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(conn)
	writing.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("got %d bytes back, %v, want the %d sent", len(got), err, len(sent))
	}
	if struck := proxy.Struck(); len(struck) != 0 {
		t.Errorf("struck %v, want nothing", struck)
	}
}

// Cut ends what stands; the next connection is as good as the first.
func TestCut(t *testing.T) {
	proxy, _ := startEcho(t)
	first, second := dial(t, proxy), dial(t, proxy)
	echo(t, first)
	echo(t, second)
	if cut := proxy.Cut(); cut != 2 {
		t.Errorf("Cut = %d, want 2", cut)
	}
	for _, conn := range []net.Conn{first, second} {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading from a cut connection: %v, want a reset", err)
		}
	}
	echo(t, dial(t, proxy))
	wantStruck(t, proxy, tcpproxy.FaultCut, 2)
}

// While it refuses, the port is as if nobody listened; old connections go on.
func TestRefuse(t *testing.T) {
	proxy, _ := startEcho(t)
	old := dial(t, proxy)
	echo(t, old)
	if err := errors.Join(proxy.Refuse(), proxy.Refuse()); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial: %v, %v, want a refusal", conn, err)
	}
	echo(t, old)
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
	echo(t, dial(t, proxy))
	wantStruck(t, proxy, tcpproxy.FaultRefuse, 1)
}

// A black hole takes connections and bytes and gives nothing; what went in is
// lost, so its connections end with it.
func TestBlackhole(t *testing.T) {
	proxy, server := startEcho(t)
	old := dial(t, proxy)
	echo(t, old)
	before := server.received()

	proxy.Blackhole()
	fresh := dial(t, proxy)
	for n, conn := range []net.Conn{old, fresh} {
		if _, err := conn.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		if err := proxy.Await(t.Context(), tcpproxy.FaultBlackhole, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{old, fresh} {
		if got, err := io.ReadAll(conn); err == nil || len(got) > 0 {
			t.Errorf("read %q, %v, want only a reset", got, err)
		}
	}
	if got := server.received(); got != before {
		t.Errorf("the server received %d bytes out of the black hole", got-before)
	}
	echo(t, dial(t, proxy))
}

// A stalled direction loses nothing, and the other direction goes on.
func TestStallOneWay(t *testing.T) {
	proxy, server := startEcho(t)
	conn := dial(t, proxy)
	echo(t, conn)
	before := server.received()

	proxy.Stall(tcpproxy.ToClient)
	if _, err := conn.Write([]byte("held")); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Await(t.Context(), tcpproxy.FaultStall, 1); err != nil {
		t.Fatal(err)
	}
	if got := server.received(); got != before+4 {
		t.Errorf("the server received %d bytes during the stall, want 4", got-before)
	}
	if err := proxy.Resume(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "held" {
		t.Errorf("after the stall: %q, %v", got, err)
	}
}

// A delay holds each direction back by at least what was asked.
func TestDelay(t *testing.T) {
	const delay = 20 * time.Millisecond
	proxy, _ := startEcho(t)
	conn := dial(t, proxy)
	proxy.Delay(delay)
	start := time.Now()
	echo(t, conn)
	if took := time.Since(start); took < 2*delay {
		t.Errorf("there and back took %v, want at least %v", took, 2*delay)
	}
	wantStruck(t, proxy, tcpproxy.FaultDelay, 2)
}

// While the server is away, clients get in and are cut. Closing is for good.
func TestServerAway(t *testing.T) {
	proxy, server := startEcho(t)
	server.close()
	conn, err := net.Dial("tcp", proxy.Addr())
	if err == nil { // else the cut was faster than the dial
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("without a server: %v, want a reset", err)
	}
	if err := errors.Join(proxy.Close(), proxy.Close(), proxy.Resume()); err != nil {
		t.Errorf("closing twice, then resuming: %v", err)
	}
}

func startEcho(t *testing.T) (*tcpproxy.Proxy, *echoServer) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &echoServer{listener: listener}
	server.work.Go(server.accept)
	t.Cleanup(server.close)
	proxy, err := tcpproxy.Start(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the server's: it waits for its connections to end
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy, server
}

// echoServer sends back what it receives, and counts it.
type echoServer struct {
	listener net.Listener
	work     sync.WaitGroup
	mu       sync.Mutex // guards bytes
	bytes    int
}

func (s *echoServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() {
			defer func() { _ = conn.Close() }()
			_, _ = io.Copy(io.MultiWriter(s, conn), conn) // ends when the proxy does
		})
	}
}

// Write counts bytes before they are sent back.
func (s *echoServer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += len(b)
	return len(b), nil
}

func (s *echoServer) received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *echoServer) close() {
	_ = s.listener.Close() // may be closed already
	s.work.Wait()
}

func dial(t *testing.T, proxy *tcpproxy.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// echo sends bytes and waits until they are back.
func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte("hello, offstage")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("hello, offstage"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello, offstage" {
		t.Fatalf("echo: %q, %v", got, err)
	}
}

func wantStruck(t *testing.T, proxy *tcpproxy.Proxy, fault tcpproxy.Fault, want int) {
	t.Helper()
	if got := proxy.Struck()[fault]; got != want {
		t.Errorf("%s struck %d times, want %d", fault, got, want)
	}
}
