package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/offstagehq/offstage"
)

// Event is a change of a job's state that this worker made. What others make,
// such as a rescue, is told to nobody here.
type Event struct {
	Job     offstage.Facts
	Run     int              // the attempt
	From    offstage.State   // Ready or Running
	To      offstage.State   // what the job is now
	Outcome offstage.Outcome // how the attempt ended; zero while it has not
	Err     string           // why, if it was not completed
}

// hooks are the events that Config.OnChange is still to be told of.
type hooks struct {
	tell func(context.Context, Event) // nil: nobody wants to know

	mu     sync.Mutex
	queue  []Event // guarded by mu
	closed bool    // guarded by mu
	more   signal
}

// behindBy is how many events may wait before fetching does.
const behindBy = 10_000

func (h *hooks) add(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, event)
	h.more.set()
}

func (h *hooks) take() (events []Event, closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events, h.queue = h.queue, nil
	return events, h.closed
}

func (h *hooks) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.more.set()
}

// behind reports whether so much is still to be told that fetching must wait.
func (h *hooks) behind() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue) >= behindBy
}

// claimed tells of an attempt that begins.
func (e *engine) claimed(a *attempt) {
	if e.hooks.tell != nil {
		e.hooks.add(Event{Job: a.job.Facts, Run: a.job.Run, From: offstage.Ready, To: offstage.Running})
	}
}

// tell tells of an attempt whose end was recorded.
func (e *engine) tell(n *entry, next offstage.State) {
	if e.hooks.tell == nil {
		return
	}
	from := offstage.Running
	if n.execution == nil {
		from = offstage.Ready
	}
	e.hooks.add(Event{Job: n.attempt.job.Facts, Run: n.result.Run, From: from, To: next, Outcome: n.result.Outcome, Err: n.result.Error})
}

// keepTelling passes events on in order, until close was called and all are told.
func (e *engine) keepTelling(ctx context.Context) {
	for {
		events, closed := e.hooks.take()
		for i := range events {
			e.tellOne(ctx, events[i])
		}
		if len(events) > 0 {
			e.wake()
			continue
		}
		if closed {
			return
		}
		<-e.hooks.more
	}
}

func (e *engine) tellOne(ctx context.Context, event Event) {
	defer func() {
		if value := recover(); value != nil {
			e.log.Error("offstage: OnChange panicked", "panic", fmt.Sprint(value), "job", event.Job.ID, "stack", string(debug.Stack()))
		}
	}()
	e.hooks.tell(e.carry(ctx, &event.Job, nil), event)
}
