// Package tcpproxy puts faults between a client and its server on loopback:
// connections cut, refused, swallowed, stalled or slowed, and the fault that
// matters most to a queue: a transaction that the server committed while the
// client lost the answer.
//
// Without a fault it passes bytes on. It reads along in PostgreSQL's protocol
// (see [Proxy.CutAfter]); traffic that is not PostgreSQL's, or is encrypted,
// passes all the same.
package tcpproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/offstagehq/offstage/internal/freeport"
)

// Fault names a kind of fault in [Proxy.Struck].
type Fault string

// The faults, and what is counted of each.
const (
	FaultCut       Fault = "cut"       // connections cut by Cut
	FaultRefuse    Fault = "refuse"    // calls of Refuse: refused clients never reach us
	FaultBlackhole Fault = "blackhole" // reads swallowed
	FaultStall     Fault = "stall"     // reads held back
	FaultDelay     Fault = "delay"     // reads delayed
	FaultCutAfter  Fault = "cut_after" // transactions whose end was kept from the client
)

// Direction is one of the two ways that bytes go through a connection.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// Proxy is a TCP proxy before one server. Its methods may be called from
// several goroutines. It must be closed.
type Proxy struct {
	target string
	addr   string
	work   sync.WaitGroup // every goroutine of the proxy

	matching sync.Mutex // held while match runs

	mu       sync.Mutex // guards what follows
	listener net.Listener
	links    map[*link]struct{}
	standing standing
	changed  chan struct{} // closed, and replaced, when standing changes
	struck   map[Fault]int
	noted    chan struct{} // closed, and replaced, when struck changes
	closed   bool
}

// standing are the faults that last until Resume.
type standing struct {
	refuse    bool
	blackhole bool
	stall     [2]bool // by Direction
	delay     time.Duration
	match     func(sql string) bool
}

// Start listens on a free loopback port and passes every connection on to the
// target, "127.0.0.1:5432". The server need not be up yet; while it is not,
// clients are connected and then cut.
func Start(target string) (*Proxy, error) {
	listener, err := freeport.Listen()
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		target:  target,
		addr:    listener.Addr().String(),
		links:   map[*link]struct{}{},
		changed: make(chan struct{}),
		struck:  map[Fault]int{},
		noted:   make(chan struct{}),
	}
	p.listen(listener)
	return p, nil
}

// Addr returns the host and port that clients connect to. It never changes.
func (p *Proxy) Addr() string { return p.addr }

// Cut cuts every connection, with a reset on both sides, and returns how many
// there were.
func (p *Proxy) Cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut := len(p.links)
	p.note(FaultCut, cut)
	for l := range p.links {
		l.cut()
	}
	return cut
}

// Refuse refuses new connections, as a machine does on whose port nobody
// listens. Those that stand are not touched.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.standing.refuse {
		return nil
	}
	p.change(func(s *standing) { s.refuse = true })
	p.note(FaultRefuse, 1)
	return p.listener.Close()
}

// Blackhole loses all that is sent, in both directions, as a network without a
// route does: clients connect, and then nothing comes.
func (p *Proxy) Blackhole() { p.impose(func(s *standing) { s.blackhole = true }) }

// Stall holds one direction back. What was sent meanwhile arrives after Resume.
func (p *Proxy) Stall(way Direction) { p.impose(func(s *standing) { s.stall[way] = true }) }

// Delay holds every read back for d before it is passed on.
func (p *Proxy) Delay(d time.Duration) { p.impose(func(s *standing) { s.delay = d }) }

// CutAfter watches PostgreSQL's traffic for statements for which match reports
// true. Such a statement is passed on; when the transaction that it is part of,
// or is, has committed, the server's answer is kept from the client and the
// connection is cut. A transaction that fails or is rolled back is spared.
//
// The text is the statement's as the client sent or prepared it. Calls of match
// do not overlap. Nil ends the watch.
func (p *Proxy) CutAfter(match func(sql string) bool) {
	p.impose(func(s *standing) { s.match = match })
}

// Resume ends every standing fault. Connections whose bytes were lost in a
// black hole cannot go on and are cut.
func (p *Proxy) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	refused := p.standing.refuse
	p.change(func(s *standing) { *s = standing{} })
	for l := range p.links {
		if l.lossy {
			l.cut()
		}
	}
	if !refused {
		return nil
	}
	listener, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen again: %w", err)
	}
	p.listen(listener)
	return nil
}

// Struck returns how often each fault struck. A fault that never did is absent.
func (p *Proxy) Struck() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.struck)
}

// Await returns when a fault has struck at least n times since the start, or
// when ctx is done.
func (p *Proxy) Await(ctx context.Context, f Fault, n int) error {
	for {
		p.mu.Lock()
		struck, noted := p.struck[f], p.noted
		p.mu.Unlock()
		if struck >= n {
			return nil
		}
		select {
		case <-noted:
		case <-ctx.Done():
			return fmt.Errorf("%s struck %d times of %d: %w", f, struck, n, context.Cause(ctx))
		}
	}
}

// Close cuts every connection and returns when every goroutine of the proxy
// has ended. Closing again does nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	err := p.listener.Close()
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	p.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) impose(set func(*standing)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change(set)
}

// change sets standing faults and wakes whoever waits for a change. The caller
// holds mu.
func (p *Proxy) change(set func(*standing)) {
	set(&p.standing)
	close(p.changed)
	p.changed = make(chan struct{})
}

// listen accepts connections until the listener is closed.
func (p *Proxy) listen(listener net.Listener) {
	p.listener = listener
	p.work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(client.(*net.TCPConn)) })
		}
	})
}

// count notes that a fault struck once.
func (p *Proxy) count(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(f, 1)
}

// note notes that a fault struck n times. The caller holds mu.
func (p *Proxy) note(f Fault, n int) {
	if n == 0 {
		return
	}
	p.struck[f] += n
	close(p.noted)
	p.noted = make(chan struct{})
}

// matches asks the standing match, if any, about a statement.
func (p *Proxy) matches(sql string) bool {
	p.mu.Lock()
	match := p.standing.match
	p.mu.Unlock()
	if match == nil {
		return false
	}
	p.matching.Lock()
	defer p.matching.Unlock()
	return match(sql)
}
