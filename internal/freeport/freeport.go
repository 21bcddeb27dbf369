// Package freeport picks loopback TCP ports on which a server can be stopped
// and started again.
//
// The kernel takes the ports of outgoing connections from a range of its own.
// A server that listens there can lose its port while it is down: a client
// that dials the port may even be given the same port as its source and, by
// TCP's simultaneous open, end up connected to itself. These ports lie below
// that range, so while a server is away its port stays free and refuses.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports to choose from: below the ephemeral ranges of Linux (from 32768),
// macOS and Windows (from 49152), above the well-known servers.
const (
	lowest  = 20000
	highest = 32000
)

// tries bounds the search; with thousands of ports it ends at the first or second.
const tries = 100

// Listen returns a listener on a free port of 127.0.0.1.
func Listen() (net.Listener, error) {
	var err error
	for range tries {
		port := lowest + rand.IntN(highest-lowest)
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("find a free loopback port: %w", err)
}

// Pick returns a port of 127.0.0.1 that is free now. Another process may take
// it before the caller does; whoever starts a server on it must be ready to
// pick again.
func Pick() (int, error) {
	listener, err := Listen()
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}
