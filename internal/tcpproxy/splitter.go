package tcpproxy

import "encoding/binary"

// The longest messages that PostgreSQL itself accepts: before the client has
// started, and after.
const (
	longestStart   = 10_000
	longestMessage = 1 << 30
)

// splitter cuts one direction's bytes into PostgreSQL's messages: a byte that
// says the type, four that say the length (themselves included), the body.
type splitter struct {
	untyped bool   // the next message has no type byte
	singles int    // how many of the next messages are a single byte
	rest    []byte // the beginning of a message
}

// split adds bytes and calls each with every message that is now complete and
// where, in these bytes, it ends; body is valid during the call. It reports
// false if this cannot be PostgreSQL's protocol.
func (s *splitter) split(chunk []byte, each func(kind byte, body []byte, end int)) bool {
	carried := len(s.rest)
	s.rest = append(s.rest, chunk...)
	at := 0
	for {
		kind, head, size, ok := s.first(s.rest[at:])
		if !ok {
			return false
		}
		if size == 0 || at+size > len(s.rest) {
			break
		}
		body := s.rest[at+head : at+size]
		at += size
		each(kind, body, at-carried)
	}
	s.rest = append(s.rest[:0], s.rest[at:]...)
	return true
}

// first reads the type, the head's size and the whole size of the message that
// the bytes begin with; the size is 0 while it is unknown.
func (s *splitter) first(b []byte) (kind byte, head, size int, ok bool) {
	head, longest := 5, longestMessage
	switch {
	case len(b) == 0:
		return 0, 0, 0, true
	case s.singles > 0:
		s.singles--
		return b[0], 1, 1, true
	case s.untyped:
		head, longest = 4, longestStart
	default:
		kind = b[0]
	}
	if len(b) < head {
		return 0, 0, 0, true
	}
	length := binary.BigEndian.Uint32(b[head-4:])
	if length < 4 || length > uint32(longest) {
		return 0, 0, 0, false
	}
	return kind, head, head - 4 + int(length), true
}
