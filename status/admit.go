package status

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// Limit bounds a queue: when it is reached, requests for jobs of the queue are
// refused and nothing is enqueued. Zero fields bound nothing.
type Limit struct {
	// Depth is the most jobs that may be ready in the queue; at most
	// offstage.MaxCounted.
	Depth int
	// Wait bounds how long a job will wait for its start, as estimated by how long
	// the queue's oldest ready job has waited by now. That follows a change of pace,
	// or workers that stop, but says nothing yet of a crowd that has just come:
	// Depth does.
	Wait time.Duration
	// Status is the answer beyond the limit; 0 means 429. 503 says that the
	// service is to blame, not the client.
	Status int
	// RetryAfter is what the answer tells; 0: as long as the queue's oldest job
	// has waited, from 1 s to 1 min.
	RetryAfter time.Duration
}

// codeFull is the code of the answer to a request whose queue is full.
const codeFull = "queue-full"

// lineAge is how long a queue's length counts as known. What this process has
// let in meanwhile is added.
const lineAge = 250 * time.Millisecond

// lines remember how long queues are. The zero value knows none.
type lines struct {
	mu    sync.Mutex
	known map[string]*knownLine // by queue; guarded by mu
}

// knownLine is what is known of one queue. It belongs to whoever has the turn,
// which can be waited for no longer than a request's context lives.
type knownLine struct {
	turn chan struct{}
	offstage.Line
	at time.Time // zero: nobody has looked
}

func (l *lines) of(queue string) *knownLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.known[queue]
	if known == nil {
		if l.known == nil {
			l.known = map[string]*knownLine{}
		}
		known = &knownLine{turn: make(chan struct{}, 1)}
		l.known[queue] = known
	}
	return known
}

// admit lets a job into a queue, or says why not. A job that is let in counts,
// whether or not it is enqueued in the end, until the queue is looked at again.
func (f *Flows) admit(ctx context.Context, queue string) error {
	limit, limited := f.cfg.Limits[queue]
	if !limited {
		return nil
	}
	line, err := f.lineOf(ctx, queue, limit)
	if err != nil {
		return err
	}
	full := limit.Depth > 0 && line.Ready >= limit.Depth || limit.Wait > 0 && line.Oldest > limit.Wait
	if !full {
		return nil
	}
	p := problem(http.StatusTooManyRequests, codeFull, "there is more to do than can be done just now; try again in a while")
	if limit.Status != 0 {
		p.Status = limit.Status
	}
	if p.RetryAfter = limit.RetryAfter; p.RetryAfter == 0 {
		p.RetryAfter = min(max(line.Oldest, time.Second), time.Minute)
	}
	return p
}

// lineOf returns a queue's length with one place taken for the caller. Callers
// that come at once wait for one look.
func (f *Flows) lineOf(ctx context.Context, queue string, limit Limit) (offstage.Line, error) {
	known := f.lines.of(queue)
	select {
	case known.turn <- struct{}{}:
		defer func() { <-known.turn }()
	case <-ctx.Done():
		return offstage.Line{}, context.Cause(ctx)
	}
	if known.at.IsZero() || time.Since(known.at) >= lineAge {
		line, err := f.client.Line(ctx, queue, max(limit.Depth, 1))
		if err != nil {
			return offstage.Line{}, err
		}
		known.Line, known.at = line, time.Now()
	}
	line := known.Line
	known.Ready++
	return line, nil
}
