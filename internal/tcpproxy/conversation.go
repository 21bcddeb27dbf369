package tcpproxy

import (
	"bytes"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// conversation reads along in one connection's PostgreSQL messages, so as to
// know which statement is being executed and when its transaction has ended.
//
// Every Query and Sync that the client sends (and its start) is answered by one
// ReadyForQuery, in order, which says whether a transaction is still open.
// Counting them tells which answer belongs to which statement, also when the
// client sends many at once.
type conversation struct {
	match func(sql string) bool // whether to strike at a statement

	mu         sync.Mutex        // guards what follows: the two directions meet here
	front      splitter          // messages from the client
	back       splitter          // messages from the server
	blind      bool              // this is not PostgreSQL's protocol, or it is encrypted
	statements map[string]string // prepared: name → text
	portals    map[string]string // bound: name → text
	asked      int               // messages sent that ReadyForQuery answers
	answered   int               // ReadyForQuery messages received
	doomed     int               // the answer from which on the link ends with its transaction; 0: none
	undone     bool              // the transaction failed or was rolled back
	held       []byte            // received since the link is doomed, and kept from the client
}

func newConversation(match func(sql string) bool) *conversation {
	return &conversation{
		match:      match,
		front:      splitter{untyped: true},
		statements: map[string]string{},
		portals:    map[string]string{},
	}
}

// sent follows what goes to the server. It must be called before the bytes are
// sent, or their answer could come first.
func (c *conversation) sent(chunk []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blind {
		return
	}
	c.blind = !c.front.split(chunk, func(kind byte, body []byte, _ int) {
		if c.front.untyped {
			c.start(body)
		} else {
			c.request(kind, body)
		}
	})
}

// start follows a message without a type: the start-up message, or before it a
// question whether encryption is spoken, which is answered by a single byte.
func (c *conversation) start(body []byte) {
	const sslRequest, gssRequest = "\x04\xd2\x16\x2f", "\x04\xd2\x16\x30"
	switch string(body) {
	case sslRequest, gssRequest:
		c.back.singles++
	default:
		c.front.untyped = false
		c.asked++
	}
}

// request follows one message of a client that has started. A message that
// cannot be read is the server's to refuse.
func (c *conversation) request(kind byte, body []byte) {
	switch kind {
	case 'Q':
		c.asked++
		c.execute(string(bytes.TrimRight(body, "\x00")), c.asked)
	case 'S', 'F':
		c.asked++
	case 'P':
		var parse pgproto3.Parse
		if parse.Decode(body) == nil {
			c.statements[parse.Name] = parse.Query
		}
	case 'B':
		var bind pgproto3.Bind
		if bind.Decode(body) == nil {
			c.portals[bind.DestinationPortal] = c.statements[bind.PreparedStatement]
		}
	case 'E':
		var execute pgproto3.Execute
		if execute.Decode(body) == nil {
			c.execute(c.portals[execute.Portal], c.asked+1)
		}
	}
}

// execute dooms the link if the statement, which the nth answer will be for,
// is one to strike at.
func (c *conversation) execute(sql string, nth int) {
	if c.doomed == 0 && c.match(sql) {
		c.doomed = nth
	}
}

// received follows what comes from the server. It returns the bytes that the
// client may have by now, and whether the link must end here.
func (c *conversation) received(chunk []byte) (allowed []byte, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blind {
		return chunk, false
	}
	before, released := len(c.held), 0
	c.held = append(c.held, chunk...)
	readable := c.back.split(chunk, func(kind byte, body []byte, end int) {
		if ended {
			return
		}
		ended = c.answer(kind, body)
		if kind == 'Z' && !ended {
			released = before + end
		}
	})
	c.blind = c.blind || !readable
	if !ended && (c.doomed == 0 || c.blind) {
		released = len(c.held)
	}
	allowed, c.held = c.held[:released], c.held[released:]
	return allowed, ended
}

// answer follows one message of the server and reports whether it says that
// the transaction of a doomed link has committed.
func (c *conversation) answer(kind byte, body []byte) (committed bool) {
	switch kind {
	case 'E':
		c.undone = true
	case 'C':
		c.undone = c.undone || string(bytes.TrimRight(body, "\x00")) == "ROLLBACK"
	case 'Z':
		c.answered++
		idle := string(body) == "I"
		if c.doomed > 0 && c.answered >= c.doomed && idle {
			committed = !c.undone
			c.doomed = 0
		}
		if idle {
			c.undone = false
		}
	case 'S', 'G':
		// As the answer of a single byte: from here on it is encrypted. The
		// message of that type, ParameterStatus, always has a body.
		c.blind = c.blind || len(body) == 0
	}
	return committed
}
