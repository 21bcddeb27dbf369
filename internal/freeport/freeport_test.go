package freeport_test

import (
	"net"
	"testing"

	"github.com/offstagehq/offstage/internal/freeport"
)

// A port is given out only while it is free, and never from the range that the
// kernel uses for outgoing connections.
func TestListenAvoidsTakenAndEphemeralPorts(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		listener, err := freeport.Listen()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		port := listener.Addr().(*net.TCPAddr).Port
		if seen[port] {
			t.Fatalf("port %d was given out twice while taken", port)
		}
		seen[port] = true
		if port < 20000 || port >= 32768 {
			t.Errorf("port %d lies outside 20000–32767", port)
		}
	}
}

// A picked port is free again for the server that will use it.
func TestPickedPortCanBeUsed(t *testing.T) {
	port, err := freeport.Pick()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatalf("the picked port %d cannot be used: %v", port, err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}
