package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/offstagehq/offstage"
)

// HandlerFunc runs one attempt of a job, whose arguments are JSON, and returns
// its result as JSON; nil is none. It is what [Middleware] wraps.
type HandlerFunc func(ctx context.Context, job *offstage.Job[json.RawMessage]) (json.RawMessage, error)

// Middleware wraps the handlers of all kinds. It runs inside the attempt: its
// context is the handler's, its errors count as the handler's, and it may change
// the job's arguments before the handler decodes them.
type Middleware func(next HandlerFunc) HandlerFunc

// Option is a property of a kind, given when its handler is registered.
type Option func(*kind) error

// kind is what a worker knows about a kind that it handles.
type kind struct {
	name    string
	handle  HandlerFunc // with the middleware around it
	retry   offstage.RetryPolicy
	timeout time.Duration // 0: none
	keep    offstage.Retention
}

// Timeout limits the time of each attempt of the kind's jobs, unless a job has a
// timeout of its own. Without it there is none.
func Timeout(d time.Duration) Option {
	return func(k *kind) error {
		if d <= 0 || d > offstage.MaxDelay {
			return invalid("timeout", "%s is not from 0 to 100 years", d)
		}
		k.timeout = d
		return nil
	}
}

// Retry says what happens to the kind's jobs when an attempt fails.
func Retry(policy offstage.RetryPolicy) Option {
	return func(k *kind) error {
		k.retry = policy
		return policy.Check()
	}
}

// Keep says how long the kind's ended jobs are kept.
func Keep(retention offstage.Retention) Option {
	return func(k *kind) error {
		k.keep = retention
		return nil
	}
}

// Handle registers the handler of the kind that A names. Like all of its
// family it must be called before [Worker.Run], and panics if the kind has a
// handler already, or if its name or an option is not valid.
func Handle[A offstage.Args](w *Worker, handler func(ctx context.Context, job *offstage.Job[A]) error, options ...Option) {
	HandleNamed(w, kindOf[A](), handler, options...)
}

// HandleResult is [Handle] for a handler that returns a result, which must
// marshal to at most [offstage.MaxResult] bytes of JSON. What it returns beside
// an error is not kept.
func HandleResult[A offstage.Args, R any](w *Worker, handler func(ctx context.Context, job *offstage.Job[A]) (R, error), options ...Option) {
	HandleNamedResult(w, kindOf[A](), handler, options...)
}

// HandleNamed registers the handler of a kind by the kind's name, for arguments
// of any type that unmarshals from JSON.
func HandleNamed[A any](w *Worker, kind string, handler func(ctx context.Context, job *offstage.Job[A]) error, options ...Option) {
	w.register(kind, handler != nil, func(ctx context.Context, raw *offstage.Job[json.RawMessage]) (json.RawMessage, error) {
		job, err := decode[A](raw)
		if err != nil {
			return nil, err
		}
		return nil, handler(ctx, job)
	}, options)
}

// HandleNamedResult is [HandleNamed] for a handler that returns a result.
func HandleNamedResult[A, R any](w *Worker, kind string, handler func(ctx context.Context, job *offstage.Job[A]) (R, error), options ...Option) {
	w.register(kind, handler != nil, func(ctx context.Context, raw *offstage.Job[json.RawMessage]) (json.RawMessage, error) {
		job, err := decode[A](raw)
		if err != nil {
			return nil, err
		}
		result, err := handler(ctx, job)
		if err != nil {
			return nil, err
		}
		return encode(result)
	}, options)
}

// register panics on a mistake, since it is one of the program, not of its input.
func (w *Worker) register(name string, given bool, handle HandlerFunc, options []Option) {
	k := &kind{name: name, handle: handle}
	err := offstage.CheckName("kind", name)
	for _, option := range options {
		if err == nil {
			err = option(k)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		panic(fmt.Sprintf("worker: handle %q: %v", name, err))
	case !given:
		panic(fmt.Sprintf("worker: handle %q: the handler is nil", name))
	case w.kinds[name] != nil:
		panic(fmt.Sprintf("worker: handle %q: the kind has a handler already", name))
	case w.started:
		panic(fmt.Sprintf("worker: handle %q: the worker runs already", name))
	}
	for i := len(w.config.Middleware) - 1; i >= 0; i-- {
		k.handle = w.config.Middleware[i](k.handle)
	}
	w.kinds[name] = k
}

// kindOf asks a value of A for its kind; for a pointer type, one that points to
// a zero value.
func kindOf[A offstage.Args]() string {
	var args A
	if t := reflect.TypeFor[A](); t.Kind() == reflect.Pointer {
		args = reflect.New(t.Elem()).Interface().(A)
	}
	return args.Kind()
}

// decode makes the handler's job. An error is an ordinary one, with retries: a
// deploy may bring the type that fits.
func decode[A any](raw *offstage.Job[json.RawMessage]) (*offstage.Job[A], error) {
	job := &offstage.Job[A]{Facts: raw.Facts, Run: raw.Run, Errors: raw.Errors, Lost: raw.Lost}
	if args, ok := any(&job.Args).(*json.RawMessage); ok {
		*args = raw.Args
		return job, nil
	}
	if err := json.Unmarshal(raw.Args, &job.Args); err != nil {
		return nil, fmt.Errorf("the arguments of kind %q cannot be decoded into %s: %w", raw.Kind, reflect.TypeFor[A](), err)
	}
	return job, nil
}

// encode makes the JSON of a result. What cannot be written now never can:
// such an attempt is not tried again.
func encode(result any) (json.RawMessage, error) {
	encoded, err := json.Marshal(result)
	if err != nil {
		return nil, offstage.Fail(fmt.Errorf("the result of type %T cannot be written as JSON: %w", result, err))
	}
	return encoded, nil
}
