package tcpproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is a client's connection and the one to the server that goes with it.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	talk           *conversation
	once           sync.Once
	gone           chan struct{} // closed when the link is cut
	lossy          bool          // bytes were swallowed; guarded by Proxy.mu
}

// serve passes a client's bytes to and fro until both sides have closed or the
// link is cut.
func (p *Proxy) serve(client *net.TCPConn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{
		proxy:  p,
		client: client,
		server: server.(*net.TCPConn),
		talk:   newConversation(p.matches),
		gone:   make(chan struct{}),
	}
	if !p.enter(l) {
		l.cut()
		return
	}
	defer p.leave(l)
	var pipes sync.WaitGroup
	pipes.Go(func() { l.pipe(l.server, l.client, ToServer) })
	pipes.Go(func() { l.pipe(l.client, l.server, ToClient) })
	pipes.Wait()
	l.close()
}

// enter makes the link one that Cut and Close know, unless the proxy is closed.
func (p *Proxy) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.links[l] = struct{}{}
	}
	return !p.closed
}

func (p *Proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pipe passes bytes one way, and then that the sender has closed. When either
// side breaks, so does the other. A fault strikes the end as it does the bytes.
func (l *link) pipe(to, from *net.TCPConn, way Direction) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		admitted := l.admit(way)
		if n > 0 && admitted && l.pass(to, buf[:n], way) != nil {
			l.cut()
			return
		}
		switch {
		case err == nil:
			continue
		case admitted && errors.Is(err, io.EOF):
			_ = to.CloseWrite() // fails only if that side is gone as well
		case admitted:
			l.cut()
		}
		return
	}
}

// admit waits as long as the standing faults ask and reports whether what was
// read may go on.
func (l *link) admit(way Direction) bool {
	held := false
	for {
		faults, changed := l.look()
		switch {
		case faults.blackhole:
			l.swallow()
			return false
		case faults.stall[way]:
			if !held {
				held = true
				l.proxy.count(FaultStall)
			}
			select {
			case <-changed:
			case <-l.gone:
				return false
			}
		case faults.delay > 0:
			l.proxy.count(FaultDelay)
			return l.sleep(faults.delay)
		default:
			return true
		}
	}
}

// look returns the standing faults and what is closed when they change.
func (l *link) look() (standing, <-chan struct{}) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	return l.proxy.standing, l.proxy.changed
}

func (l *link) swallow() {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.lossy = true
	l.proxy.note(FaultBlackhole, 1)
}

// sleep reports whether the link still stands after d.
func (l *link) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.gone:
		return false
	}
}

// errCutAfter ends a link whose answer was to be kept from the client.
var errCutAfter = errors.New("cut after the transaction's end")

// pass sends bytes on, as far as the conversation lets the client have them.
func (l *link) pass(to io.Writer, chunk []byte, way Direction) error {
	if way == ToServer {
		l.talk.sent(chunk)
		_, err := to.Write(chunk)
		return err
	}
	allowed, ended := l.talk.received(chunk)
	if _, err := to.Write(allowed); err != nil {
		return err
	}
	if ended {
		l.proxy.count(FaultCutAfter)
		return errCutAfter
	}
	return nil
}

// cut resets both connections, unless they are closed.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		reset(l.client)
		reset(l.server)
	})
}

// close closes both connections, unless they are closed; what was passed on
// still arrives.
func (l *link) close() {
	l.once.Do(func() {
		close(l.gone)
		_ = l.client.Close() // each side has said its last word
		_ = l.server.Close()
	})
}

// reset closes a connection at once; what was not yet sent is lost. An error
// means that it is closed already.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
