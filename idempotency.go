package offstage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// IdempotencyKey returns a key to hand to others, who promise to act once for
// each: it is the same for every attempt of the running job and, inside a step,
// of this step, and differs between jobs, steps and databases. Where one step
// does several things, name each by the same parts every time, as in
// IdempotencyKey(ctx, "refund", id).
//
// It has the form of a UUID (RFC 9562, version 8), 36 characters, made by SHA-256
// of the job's id, kind and time of enqueue, the step's name and the parts. A
// copy of the database gives the same keys as the original. Outside a handler
// it is "".
func IdempotencyKey(ctx context.Context, parts ...string) string {
	execution := ExecutionFrom(ctx)
	if execution == nil || execution.Memory() == nil {
		return ""
	}
	facts := &execution.Memory().facts
	step, _ := ctx.Value(stepKey{}).(string)
	hash := sha256.New()
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(facts.ID)))
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(facts.CreatedAt.UnixMicro())))
	for _, part := range append([]string{facts.Kind, step}, parts...) {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write([]byte(part))
	}
	b := hash.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // version and variant
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
