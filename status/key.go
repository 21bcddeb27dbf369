package status

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/offstagehq/offstage"
)

// keyHeader is the header by which a client says which requests are the same
// (draft-ietf-httpapi-idempotency-key-header).
const keyHeader = "Idempotency-Key"

// maxKey limits an Idempotency-Key, in characters.
const maxKey = 255

var errBadKey = problem(http.StatusBadRequest, "idempotency-key-malformed",
	"the Idempotency-Key must be one text of 1 to 255 printable ASCII characters, quoted or bare")

// keyOf reads the Idempotency-Key, a quoted string of RFC 9651 or the bare text
// without blanks, which mean the same. "" is none.
func keyOf(r *http.Request) (string, error) {
	values := r.Header.Values(keyHeader)
	if len(values) == 0 {
		return "", nil
	}
	text := strings.TrimSpace(values[0])
	quoted := strings.HasPrefix(text, `"`)
	key, ok := text, true
	if quoted {
		key, ok = unquote(text)
	}
	if !ok || len(values) > 1 || key == "" || len(key) > maxKey {
		return "", errBadKey
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' || !quoted && (c == ' ' || c == '"' || c == ',') {
			return "", errBadKey
		}
	}
	return key, nil
}

// unquote reads a quoted string whose only escapes are \" and \\.
func unquote(text string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), i == len(text)-1
		case c == '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", false
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// requestOf returns how a request is known again; nil if it need not be, since
// it has no Idempotency-Key. The key counts for one route and one user.
func (f *Flows) requestOf(r *http.Request) (*offstage.Request, error) {
	key, err := keyOf(r)
	if err != nil || key == "" {
		return nil, err
	}
	content, err := contentOf(r)
	if err != nil {
		return nil, err
	}
	route := r.Pattern
	if route == "" {
		route = r.Method + " " + r.URL.Path
	}
	return &offstage.Request{
		Key:         digest("request key", route, f.user(r), key),
		Fingerprint: digest("request", r.Method, r.URL.Path, r.URL.Query().Encode(), string(content)),
		Keep:        offstage.KeepRequest,
	}, nil
}

// digest hashes texts, each with its length, so that none runs into the next.
func digest(texts ...string) []byte {
	h := sha256.New()
	for _, text := range texts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		h.Write([]byte(text))
	}
	return h.Sum(nil)
}
