package main

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"time"
)

// line is a long way to a server: what is sent arrives after a delay, whatever
// else is under way. Unlike a pause before each read it does not narrow the way.
type line struct {
	listener net.Listener
	target   string
	delay    time.Duration
	mu       sync.Mutex
	open     []net.Conn // guarded by mu
}

// startLine listens on a free loopback port.
func startLine(target string, delay time.Duration) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{listener: listener, target: target, delay: delay}
	go l.serve()
	return l, nil
}

func (l *line) addr() string { return l.listener.Addr().String() }

// close cuts every connection.
func (l *line) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.open {
		_ = conn.Close()
	}
}

func (l *line) serve() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l.mu.Lock()
		l.open = append(l.open, client, server)
		l.mu.Unlock()
		go l.carry(server, client)
		go l.carry(client, server)
	}
}

// parcel is what was read at one time.
type parcel struct {
	bytes []byte
	due   time.Time
}

// carry passes bytes one way until either side closes.
func (l *line) carry(to, from net.Conn) {
	way := make(chan parcel, 10_000)
	go func() {
		defer close(way)
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				way <- parcel{bytes.Clone(buf[:n]), time.Now().Add(l.delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for p := range way {
		if broken {
			continue
		}
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			broken = true
			_ = from.Close()
		}
	}
	_ = to.Close()
}

// replaceAddr puts another host and port into a connection URL.
func replaceAddr(url, addr string) string {
	before, rest, _ := strings.Cut(url, "@")
	_, after, _ := strings.Cut(rest, "/")
	return before + "@" + addr + "/" + after
}
