package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/offstagehq/offstage"
)

// DefaultAddr is where the demo listens when nothing else is said.
const DefaultAddr = "127.0.0.1:8484"

// tries is how many ports, from the usual one up, are tried.
const tries = 100

// ListenDefault listens at DefaultAddr or, where that is taken, at the next free
// port.
func ListenDefault(ctx context.Context) (net.Listener, error) {
	at := netip.MustParseAddrPort(DefaultAddr)
	return listenFrom(ctx, at.Addr(), at.Port())
}

func listenFrom(ctx context.Context, ip netip.Addr, first uint16) (net.Listener, error) {
	var err error
	for port := first; port < first+tries; port++ {
		var listener net.Listener
		listener, err = Listen(ctx, netip.AddrPortFrom(ip, port).String())
		if err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("no port from %d to %d is free: %w", first, first+tries-1, err)
}

// Listen listens at one address and nowhere else. An address that is not
// host:port is an [offstage.InvalidError].
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return nil, &offstage.InvalidError{Field: "addr", Problem: fmt.Sprintf("%q is not host:port, such as %s", addr, DefaultAddr)}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program; choose another port or leave --addr out", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", addr, err)
	}
	return listener, nil
}

// IsLoopback reports whether only this machine reaches the address.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// addressOf returns the address of pages that are served here, for mails and for
// devices that call back, both on this machine.
func addressOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
