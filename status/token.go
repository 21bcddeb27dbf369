package status

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
)

// macBytes of the HMAC are kept: 128 bits, so that with the 14 bytes before it a
// token has 40 characters, without padding or spare bits.
const macBytes = 16

// token is what a link says: one job, until when, for whom.
type token struct {
	job     offstage.ID
	expires time.Time // whole seconds
	bound   bool      // to the user
	user    string    // not in the text: whoever shows the token says who he is
	file    string    // the file that it is for; "": the job's status. Not in the text
}

var (
	errForged  = errors.New("this link was not made here, or for somebody else")
	errExpired = errors.New("this link has expired")
)

// tokens signs what links say. It is safe for concurrent use.
type tokens struct{ key []byte }

// sign returns a token's text.
func (t tokens) sign(link token) string {
	raw := make([]byte, 0, 14+macBytes)
	raw = append(raw, flagOf(link.bound))
	seconds := binary.BigEndian.AppendUint64(nil, uint64(link.expires.Unix()))
	raw = append(raw, seconds[3:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(link.job))
	return base64.RawURLEncoding.EncodeToString(append(raw, t.mac(raw, link)...))
}

func flagOf(bound bool) byte {
	if bound {
		return 1
	}
	return 0
}

// open reads a token that a user shows for a file, or "" for a status.
func (t tokens) open(text, user, file string, now time.Time) (token, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// Decoding passes over line ends: a token has one text.
	if err != nil || len(raw) != 14+macBytes || len(text) != base64.RawURLEncoding.EncodedLen(len(raw)) || raw[0] > 1 {
		return token{}, errForged
	}
	raw, mac := raw[:14], raw[14:]
	link := token{bound: raw[0] == 1, file: file}
	if link.bound {
		link.user = user
	}
	if !hmac.Equal(mac, t.mac(raw, link)) {
		return token{}, errForged
	}
	var seconds [8]byte
	copy(seconds[3:], raw[1:6])
	link.expires = time.Unix(int64(binary.BigEndian.Uint64(seconds[:])), 0)
	link.job = offstage.ID(binary.BigEndian.Uint64(raw[6:]))
	if !now.Before(link.expires) {
		return token{}, errExpired
	}
	return link, nil
}

// mac covers what is in the text and what is not, each part with its length.
func (t tokens) mac(raw []byte, link token) []byte {
	h := hmac.New(sha256.New, t.key)
	for _, part := range []string{"status link 1", string(raw), link.user, link.file} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:macBytes]
}
