package offstage

import (
	"context"
	"maps"
)

// Carrier moves values between a context and the values that travel with a job,
// in the way of W3C trace propagators. It must be safe for concurrent use.
type Carrier interface {
	// Inject adds to values what ctx holds, at enqueue.
	Inject(ctx context.Context, values map[string]string)
	// Extract returns ctx with what values hold, before the handler starts.
	Extract(ctx context.Context, values map[string]string) context.Context
}

type carryKey struct{}

// Carry returns a context whose enqueues give each job this value, as with a
// tenant or a locale. The handler reads it by [Carried], and the jobs that the
// handler enqueues carry it on.
func Carry(ctx context.Context, key, value string) context.Context {
	values := maps.Clone(carriedBy(ctx))
	if values == nil {
		values = map[string]string{}
	}
	values[key] = value
	return context.WithValue(ctx, carryKey{}, values)
}

// Carried returns the value that [Carry] gave, here or where the running job
// was enqueued; "" if there is none.
func Carried(ctx context.Context, key string) string { return carriedBy(ctx)[key] }

// WithCarried returns ctx with all of a job's carried values. The worker calls
// it; the map must not change afterwards.
func WithCarried(ctx context.Context, values map[string]string) context.Context {
	if len(values) == 0 {
		return ctx
	}
	return context.WithValue(ctx, carryKey{}, values)
}

func carriedBy(ctx context.Context) map[string]string {
	values, _ := ctx.Value(carryKey{}).(map[string]string)
	return values
}
