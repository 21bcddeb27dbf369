package tcpproxy

import (
	"bytes"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// However the network cuts the bytes, the client gets every answer up to the
// doomed one and nothing of that one.
func TestConversationAtEveryChunkSize(t *testing.T) {
	requests := encode(t,
		&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "x"}},
		&pgproto3.Parse{Name: "put", Query: "insert"},
		&pgproto3.Sync{},
		&pgproto3.Query{String: "select 1"},
		&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "put", Parameters: [][]byte{make([]byte, 5000)}},
		&pgproto3.Execute{Portal: "p"},
		&pgproto3.Sync{},
		&pgproto3.Query{String: "select 2"},
	)
	granted := encode(t,
		&pgproto3.AuthenticationOk{},
		&pgproto3.ParameterStatus{Name: "server_version", Value: "18"},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.ParseComplete{},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
	)
	withheld := encode(t,
		&pgproto3.BindComplete{},
		&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
		&pgproto3.CommandComplete{CommandTag: []byte("SELECT 2")},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
	)
	for _, size := range []int{1, 2, 3, 5, 7, 64, 4096, 1 << 20} {
		talk := newConversation(func(sql string) bool { return sql == "insert" })
		for chunk := range slices.Chunk(requests, size) {
			talk.sent(chunk)
		}
		got, ended := receive(talk, slices.Concat(granted, withheld), size)
		if !ended || !bytes.Equal(got, granted) {
			t.Errorf("in chunks of %d: ended %t, the client has %q, want %q", size, ended, got, granted)
		}
	}
}

// What is not PostgreSQL's protocol, or no longer readable, passes untouched.
func TestConversationPassesWhatItCannotRead(t *testing.T) {
	encrypted := encode(t, &pgproto3.SSLRequest{})
	for name, c := range map[string]struct{ sent, received []byte }{
		"another protocol": {[]byte("GET / HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\n\r\n")},
		"server first":     {nil, []byte("220 mail.example ESMTP\r\n")},
		"encryption":       {encrypted, []byte("S\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")},
	} {
		talk := newConversation(func(string) bool { return true })
		talk.sent(c.sent)
		if got, ended := receive(talk, c.received, 4); ended || !bytes.Equal(got, c.received) {
			t.Errorf("%s: the client has %q, ended %t, want %q", name, got, ended, c.received)
		}
	}
}

// receive plays the server's bytes in chunks and returns what the client gets.
func receive(talk *conversation, b []byte, size int) (got []byte, ended bool) {
	for chunk := range slices.Chunk(b, size) {
		allowed, end := talk.received(chunk)
		got = append(got, allowed...)
		if end {
			return got, true
		}
	}
	return got, false
}

func encode(t *testing.T, messages ...pgproto3.Message) []byte {
	t.Helper()
	var b []byte
	for _, message := range messages {
		var err error
		switch m := message.(type) {
		case pgproto3.FrontendMessage:
			b, err = m.Encode(b)
		case pgproto3.BackendMessage:
			b, err = m.Encode(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}
