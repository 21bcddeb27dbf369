package demo

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/offstagehq/offstage"
)

// macBytes of the HMAC are kept: 128 bits, so that a token has 32 characters
// without padding or spare bits.
const macBytes = 16

// tokens signs jobs' ids, so that whoever has a link sees that job and no other.
// It is safe for concurrent use.
type tokens struct{ key []byte }

// newTokens returns the signer of this store. Its key is made once and kept in
// the store: links survive restarts and work from every web process.
func newTokens(ctx context.Context, store offstage.Store) (tokens, error) {
	key := make([]byte, 32)
	rand.Read(key)
	key, err := store.Setting(ctx, "demo/signing-key", key)
	if err != nil {
		return tokens{}, fmt.Errorf("keep the signing key of status links: %w", err)
	}
	return tokens{key}, nil
}

// sign returns the token of a job.
func (t tokens) sign(id offstage.ID) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(id))
	return base64.RawURLEncoding.EncodeToString(append(raw, t.mac(raw)...))
}

// open returns the job that a token names, and whether the token is genuine.
func (t tokens) open(token string) (offstage.ID, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 8+macBytes {
		return 0, false
	}
	id, mac := raw[:8], raw[8:]
	if !hmac.Equal(mac, t.mac(id)) {
		return 0, false
	}
	return offstage.ID(binary.BigEndian.Uint64(id)), true
}

func (t tokens) mac(id []byte) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte("status link\x00")) // the key may sign other things one day
	h.Write(id)
	return h.Sum(nil)[:macBytes]
}
