package offstage

import "time"

// Option changes one property of a job that is about to be enqueued. Options
// apply in order, after the client's and the arguments' own.
type Option func(*NewJob) error

// WithOptions may be implemented by arguments to bring options of their own,
// which those of the call come after.
type WithOptions interface {
	// EnqueueOptions are applied at each enqueue of these arguments.
	EnqueueOptions() []Option
}

// InQueue puts the job into this queue instead of "default".
func InQueue(name string) Option {
	return func(job *NewJob) error { job.Queue = name; return nil }
}

// Priority orders the job inside its queue: 0 is first, 9 is last, 5 is usual.
func Priority(p int) Option {
	return func(job *NewJob) error { job.Priority = p; return nil }
}

// At makes the job due at a time, by the store's clock. A time that has passed
// means at once.
func At(t time.Time) Option {
	return func(job *NewJob) error { job.RunAt, job.Delay = t, 0; return nil }
}

// After makes the job due after a delay, counted from the enqueue by the store's
// clock.
func After(d time.Duration) Option {
	return func(job *NewJob) error { job.RunAt, job.Delay = time.Time{}, d; return nil }
}

// Tags adds labels for people to filter by: at most 20, of at most 100 bytes.
func Tags(tags ...string) Option {
	return func(job *NewJob) error { job.Tags = append(job.Tags, tags...); return nil }
}

// Metadata adds one of the application's own notes. All metadata and carried
// values of a job together may have 64 KiB.
func Metadata(key, value string) Option {
	return func(job *NewJob) error {
		if job.Metadata == nil {
			job.Metadata = map[string]string{}
		}
		job.Metadata[key] = value
		return nil
	}
}

// MaxAttempts limits the attempts that may fail: 1 means no retry. Without it
// the kind's policy counts, else 25.
func MaxAttempts(n int) Option {
	return func(job *NewJob) error {
		if n < 1 {
			return invalid("max attempts", "%d is less than 1", n)
		}
		job.MaxAttempts = n
		return nil
	}
}

// Timeout limits each attempt's time. Without it the kind's timeout counts,
// else there is none.
func Timeout(d time.Duration) Option {
	return func(job *NewJob) error {
		if d <= 0 {
			return invalid("timeout", "%s is not positive", d)
		}
		job.Timeout = d
		return nil
	}
}
