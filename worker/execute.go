package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// output is how an attempt ended, before anything is made of it.
type output struct {
	value   json.RawMessage
	err     error
	cause   error  // why the context ended before the handler returned; nil: it did not
	trace   string // of a panic
	started bool
	ran     time.Duration
	ended   time.Time // when the handler returned; zero: it was not entered
}

// enter notes a claim in the book and returns its attempts in the order in which
// they start.
func (e *engine) enter(fl *flight) []*attempt {
	jobs := fl.claim.Jobs
	batch := make([]*attempt, len(jobs))
	var slab []attempt
	for i := range jobs {
		if len(slab) == 0 {
			slab = make([]attempt, min(len(jobs)-i, slabSize))
		}
		batch[i], slab = &slab[0], slab[1:]
		e.admit(batch[i], &jobs[i], fl.poolOf)
	}
	e.book.enter(fl.session, fl.claim.Seq, batch)
	return batch
}

// slabSize is how many attempts are allocated together. It spares the garbage
// collector work, and one that runs for long keeps the memory of so few others.
const slabSize = 8

// admit makes the attempt of a job that was claimed.
func (e *engine) admit(a *attempt, job *offstage.ClaimedJob, poolOf []int) {
	a.job = offstage.Job[json.RawMessage]{Facts: job.Facts, Args: job.Args, Run: job.Run, Errors: job.Errors, Lost: job.Lost}
	a.pool, a.kind = poolOf[job.Pool], e.kinds[job.Kind]
	a.marks = marks{job.ArgsDeferred, job.Missing, job.CancelAsked, job.KindPaused}
	a.execution.engine, a.execution.attempt = e, a
}

// start starts the attempts of a claim. Those of a later rank wait until the
// ones before have entered their handlers, so that what comes first in the claim
// comes first in fact. Only a suspect goes before all of them, and then they are
// handed back: they would have to wait for it, and it may be the end of this process.
// With apart, one starts already. start reports whether one of this claim does.
func (e *engine) start(work context.Context, batch []*attempt, apart bool) (suspect bool) {
	if slices.ContainsFunc(batch, (*attempt).suspect) {
		slices.SortStableFunc(batch, func(a, b *attempt) int {
			return cmp.Compare(b.job.Lost/offstage.SuspectLost, a.job.Lost/offstage.SuspectLost)
		})
	}
	rank := make([]*attempt, 0, len(batch))
	for i, a := range batch {
		if i > 0 && !sameRank(a, batch[i-1]) {
			e.startRank(work, rank).Wait()
			rank = rank[len(rank):]
		}
		if result, refused := e.refuse(a, apart || suspect); refused {
			e.end(a, nil, result)
			continue
		}
		suspect = suspect || a.suspect()
		rank = append(rank, a)
	}
	e.startRank(work, rank)
	return suspect
}

// startRank starts attempts; all have entered their handlers when what it
// returns is done.
func (e *engine) startRank(work context.Context, rank []*attempt) *sync.WaitGroup {
	entering := &sync.WaitGroup{}
	entering.Add(len(rank))
	for _, a := range rank {
		a.entering = entering
		e.claimed(a)
	}
	e.man(work, rank)
	return entering
}

// suspect reports whether one more death will fail the job.
func (a *attempt) suspect() bool { return a.job.Lost >= offstage.SuspectLost }

func sameRank(a, b *attempt) bool {
	return a.suspect() == b.suspect() && a.pool == b.pool && a.job.Queue == b.job.Queue && a.job.Priority == b.job.Priority
}

// refuse returns the end of a job that must not start. One suspect at a time may:
// the place is then the attempt's until it is over. With apart, one has just been
// claimed.
func (e *engine) refuse(a *attempt, apart bool) (offstage.Result, bool) {
	job := &a.job
	result := offstage.Result{
		Job: job.ID, Run: job.Run, Errors: job.Errors, Lost: job.Lost, UniqueKey: job.UniqueKey, Parent: job.Parent,
		Outcome: offstage.OutcomeInterrupted, Next: offstage.Blocked,
	}
	switch {
	case a.marks.missing:
		result.Outcome, result.Next, result.Error = offstage.OutcomeCancelled, offstage.Cancelled, "the job was deleted"
	case a.marks.cancelAsked:
		result.Outcome, result.Next, result.Error = offstage.OutcomeCancelled, offstage.Cancelled, offstage.ErrCancelled.Error()
	case a.marks.kindPaused:
		result.Waits, result.Error = offstage.WaitsKindPaused, fmt.Sprintf("the kind %q is paused", job.Kind)
	case a.kind == nil:
		result.Waits, result.Error = offstage.WaitsKindUnknown, fmt.Sprintf("no handler for the kind %q here", job.Kind)
	case a.suspect() && !e.suspect():
		result.Next, result.Error = offstage.Ready, "workers have died of this job, and of another that runs here"
	case apart && !a.suspect():
		result.Next, result.Error = offstage.Ready, "a job of which workers have died starts here, and nothing beside it"
	default:
		return result, false
	}
	return result, true
}

// suspect takes the place of the one suspect that may run here, if it is free.
func (e *engine) suspect() bool {
	select {
	case e.suspects <- struct{}{}:
		return true
	default:
		return false
	}
}

// acquit frees the place of the suspect. Those that were left to others may be
// taken now.
func (e *engine) acquit() {
	<-e.suspects
	e.look()
}

// execute runs one attempt under base. What follows it is deferred, since a
// handler can end the goroutine by runtime.Goexit.
func (e *engine) execute(base, work context.Context, a *attempt) {
	ctx, cancel := context.WithCancelCause(base)
	a.execution.arm(cancel)
	var out output
	suspect := a.suspect()
	defer func() {
		a.enter()
		cancel(nil)
		e.quit(a, suspect, out.started)
		e.conclude(work, a, &out)
		if suspect {
			e.acquit()
		}
	}()
	begun, err := e.prepare(ctx, a, suspect)
	if err != nil {
		out.err, out.cause = err, err
		return
	}
	timeout := a.job.Timeout
	if timeout == 0 {
		timeout = a.kind.timeout
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, offstage.ErrTimeout)
		defer cancel()
	}
	a.execution.begin(begun, ctx.Err)
	out.started = true
	a.enter()
	e.call(ctx, a, begun, &out)
}

// enter lets the attempts of the next rank start.
func (a *attempt) enter() {
	if a.entering != nil {
		a.entering.Done()
		a.entering = nil
	}
}

// prepare waits until the attempt may start: for its arguments, a valid lease and
// its place in the ward, and a suspect until the store has back what was claimed with
// it and knows its name. It returns when the attempt begins; an error says that it will
// not start. Of what a job that does nothing takes, reading the clock is a good part.
func (e *engine) prepare(ctx context.Context, a *attempt, suspect bool) (begun time.Time, err error) {
	if a.marks.argsDeferred && e.mayStart(ctx) == nil {
		a.enter()
		if err := e.loadArgs(ctx, a); err != nil {
			return begun, err
		}
	}
	retry := backoff{first: 50 * time.Millisecond, last: time.Second}
	for named := false; ; {
		if err := e.mayStart(ctx); err != nil {
			return begun, err
		}
		at := e.clock()
		ok, wait := e.lease.valid(a.claim.session, at)
		switch {
		case ok && suspect && a.stay == nil:
			e.isolate(ctx, a)
			continue
		case ok && suspect && !named:
			if wait = e.book.company(a); wait == nil {
				named = e.name(ctx, a, &retry)
				continue
			}
		case ok && suspect:
			e.ward.begin(a.stay)
			return at.mono, nil
		case ok:
			if wait = e.ward.enter(a, at.mono); wait == nil {
				return at.mono, nil
			}
		}
		a.enter()
		e.await(ctx, wait, e.config.Beat)
	}
}

// await waits for an event, and no longer than for a while or until the attempt
// or the worker ends.
func (e *engine) await(ctx context.Context, event <-chan struct{}, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-event:
	case <-ctx.Done():
	case <-e.stopping:
	case <-timer.C:
	}
}

// isolate waits until nothing runs beside a suspect that has only just started.
func (e *engine) isolate(ctx context.Context, a *attempt) {
	a.stay = e.ward.isolate()
	a.enter() // those that come after it wait for its stay
	for e.mayStart(ctx) == nil {
		wait := e.ward.young(time.Now())
		if wait <= 0 {
			return
		}
		e.await(ctx, a.stay.left, wait)
	}
}

// quit leaves the ward.
func (e *engine) quit(a *attempt, suspect, started bool) {
	switch {
	case suspect:
		e.ward.end(a.stay)
	case started:
		e.ward.leave(a)
	}
}

// name tells the store which suspect is about to start, and waits a moment if
// that fails.
func (e *engine) name(ctx context.Context, a *attempt, retry *backoff) bool {
	call, cancel := context.WithTimeout(ctx, callTime)
	err := e.store.Suspect(call, a.claim.session.id, a.job.ID, a.job.Run)
	cancel()
	if err != nil {
		e.await(ctx, nil, retry.next())
	}
	return err == nil
}

func (e *engine) mayStart(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e.isStopping() {
		return offstage.ErrShutdown
	}
	return nil
}

func (e *engine) loadArgs(ctx context.Context, a *attempt) error {
	wait := backoff{first: 50 * time.Millisecond, last: time.Second}
	for {
		call, cancel := context.WithTimeout(ctx, callTime)
		args, err := e.store.LoadArgs(call, a.job.ID)
		cancel()
		if err == nil {
			a.job.Args, a.job.Facts.Args = args, args
			return nil
		}
		if errors.Is(err, offstage.ErrNotFound) {
			return offstage.Cancel(errors.New("the job was deleted"))
		}
		if err := e.mayStart(ctx); err != nil {
			return err
		}
		e.await(ctx, nil, wait.next())
	}
}

var errGoexit = errors.New("the handler ended its goroutine by runtime.Goexit")

// panicError is a handler's panic as an error.
type panicError struct{ value any }

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// Unwrap returns the value of the panic if it was an error.
func (p *panicError) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// call calls the handler with everything that it may reach from its context.
func (e *engine) call(ctx context.Context, a *attempt, begun time.Time, out *output) {
	returned := false
	defer func() {
		out.ended = time.Now()
		out.ran = out.ended.Sub(begun)
		out.cause = context.Cause(ctx)
		if returned {
			return
		}
		out.value = nil
		if value := recover(); value != nil {
			out.err, out.trace = &panicError{value}, string(debug.Stack())
		} else {
			out.err = errGoexit
		}
	}()
	job := &a.job
	if len(e.config.Middleware) > 0 { // which may change it
		own := a.job
		job = &own
	}
	out.value, out.err = a.kind.handle(e.carry(ctx, &a.job.Facts, &a.execution), job)
	returned = true
}

// carry adds to a context what travelled with the job and, unless it is nil, the
// execution.
func (e *engine) carry(ctx context.Context, facts *offstage.Facts, execution *execution) context.Context {
	if len(facts.Carry) > 0 {
		ctx = offstage.WithCarried(ctx, facts.Carry)
		for _, carrier := range e.config.Carriers {
			ctx = carrier.Extract(ctx, facts.Carry)
		}
	}
	if execution != nil {
		ctx = offstage.WithExecution(ctx, execution)
	}
	return ctx
}
