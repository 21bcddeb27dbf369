package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
)

// entry is one job of a claim whose end is to be recorded.
type entry struct {
	claim   *claim
	attempt *attempt // what is known of it here
	// ends is how many of the claim's jobs end by it: 1; 0 for a claim that was
	// found in the store without open jobs.
	ends int
	// result is what is to be recorded; without a Job, only the claim's release.
	result    offstage.Result
	execution *execution // nil: not started
	plain     bool       // reduced to what can surely be stored
	recorded  bool
	bytes     int // when it was added
}

// recorder gathers what has ended, and one goroutine writes it: while one write
// is in flight, the next gathers. What it holds is bounded, since no jobs are
// fetched while it has more than it should.
type recorder struct {
	mu      sync.Mutex
	pending []*entry // guarded by mu: in order of arrival; stays until it is recorded
	bytes   int      // guarded by mu: of pending
	closed  bool     // guarded by mu: nothing more will come
	writing bool     // guarded by mu: a write is in flight
	failing atomic.Bool
	writes  atomic.Int64 // that have ended
	more    signal
}

func newRecorder() *recorder { return &recorder{more: newSignal()} }

// The size of one write, and of what may wait.
const (
	flushJobs    = 1000
	flushBytes   = 4 << 20
	backlogBytes = 64 << 20
)

func (r *recorder) add(entries ...*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, entry := range entries {
		result := &entry.result
		entry.bytes = len(result.Value) + len(result.Log) + len(result.Error) + len(result.Trace)
		r.bytes += entry.bytes
	}
	r.pending = append(r.pending, entries...)
	r.more.set()
}

// close says that nothing more will come.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.more.set()
}

// take returns the next entries to write together: of one session, and not too
// many bytes. They stay pending.
func (r *recorder) take() (group []*entry, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := 0
	group = make([]*entry, 0, min(len(r.pending), flushJobs))
	for i, entry := range r.pending {
		size += entry.bytes
		if i == flushJobs || entry.claim.session != r.pending[0].claim.session || i > 0 && size > flushBytes {
			break
		}
		group = append(group, entry)
	}
	r.writing = len(group) > 0
	return group, r.closed
}

// drop forgets what has been recorded of a group.
func (r *recorder) drop(group []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := r.pending[:0]
	for i, entry := range r.pending {
		if i < len(group) && entry.recorded {
			r.bytes -= entry.bytes
			continue
		}
		rest = append(rest, entry)
	}
	clear(r.pending[len(rest):])
	r.pending = rest
	r.writing = false
	r.writes.Add(1)
}

// backlog returns how many entries wait, whether one more write is under way,
// and whether there is so much that no jobs should be fetched.
func (r *recorder) backlog(slots int) (waiting int, writing, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	full = len(r.pending) >= 2*slots || r.bytes > backlogBytes
	return len(r.pending), r.writing, full
}

// keepRecording writes until close was called and all is written, or ctx ends.
func (e *engine) keepRecording(ctx context.Context) {
	trouble := trouble{log: e.log, what: "record results"}
	wait := backoff{first: 50 * time.Millisecond, last: time.Second}
	patience := patience{}
	var last burst
	for ctx.Err() == nil {
		group, closed := e.recorder.take()
		if len(group) == 0 {
			if closed {
				return
			}
			pause(ctx, forever, e.recorder.more)
			continue
		}
		if last.goesOn(len(group)) {
			pause(ctx, burstWait, nil)
			group, _ = e.recorder.take()
		}
		err := e.flush(ctx, group, &patience)
		last = burst{size: len(group), at: time.Now()}
		e.recorder.drop(group)
		e.recorder.failing.Store(err != nil)
		e.wake()
		if ctx.Err() != nil {
			return
		}
		trouble.note(err)
		if err == nil {
			wait.reset()
			continue
		}
		if hopeless(err) {
			e.fail(err)
			return
		}
		pause(ctx, wait.next(), e.recordNow)
	}
}

// burst is the last group that was written.
type burst struct {
	size int
	at   time.Time
}

// The times of a burst: after a group of several, a smaller one waits a moment
// for company; one that comes alone does not.
const (
	burstWait = 200 * time.Microsecond
	burstOver = 10 * time.Millisecond
)

func (b burst) goesOn(size int) bool { return size < b.size && time.Since(b.at) < burstOver }

// flush records a group. Bad data is found by halving: the culprit alone is
// recorded as errored, so that its neighbours do not suffer.
func (e *engine) flush(ctx context.Context, group []*entry, patience *patience) error {
	err := e.write(ctx, group, patience)
	if err == nil || offstage.ClassOf(err) != offstage.FaultData {
		return err
	}
	if len(group) > 1 {
		half := len(group) / 2
		if err := e.flush(ctx, group[:half], patience); err != nil {
			return err
		}
		return e.flush(ctx, group[half:], patience)
	}
	if group[0].plain {
		e.log.Error("offstage: a result cannot be stored in any form; its job stays running until this worker ends",
			"kind", group[0].attempt.job.Kind, "job", group[0].result.Job, "error", err)
		group[0].recorded = true
		return nil
	}
	group[0].simplify(err)
	return e.flush(ctx, group, patience)
}

// simplify replaces what cannot be stored by a clear text.
func (n *entry) simplify(cause error) {
	text := fmt.Errorf("the result could not be stored: %s", clean(cause.Error(), 1000))
	old := n.result
	if old.Outcome == offstage.OutcomeCompleted {
		end := offstage.Ending{Facts: n.attempt.job.Facts, Run: old.Run, Errors: old.Errors, Lost: old.Lost, Err: text, Now: time.Now(), Started: old.Started}
		n.result = offstage.Conclude(end, n.attempt.policy())
		n.result.Claim, n.result.Ran = old.Claim, old.Ran
	}
	n.result.Value, n.result.Log, n.result.Trace = nil, nil, ""
	n.result.Error = text.Error()
	n.plain = true
}

// write sends one Finish and takes in the verdicts.
func (e *engine) write(ctx context.Context, group []*entry, patience *patience) error {
	e.saveProgress(ctx, group)
	request := offstage.FinishRequest{Worker: group[0].claim.session.id, Release: e.book.releases(group)}
	results := make([]*entry, 0, len(group))
	request.Results = make([]offstage.Result, 0, len(group))
	for _, entry := range group {
		if entry.result.Job != 0 {
			results = append(results, entry)
			request.Results = append(request.Results, entry.result)
		}
	}
	call, cancel := patience.limit(ctx)
	verdicts, err := e.store.Finish(call, request)
	cancel()
	patience.note(err)
	if err != nil {
		return err
	}
	if len(verdicts) != len(results) {
		return fmt.Errorf("offstage: the store answered %d verdicts for %d results", len(verdicts), len(results))
	}
	for _, entry := range group {
		entry.recorded = true
	}
	e.book.recorded(group)
	e.heedVerdicts(results, verdicts)
	return nil
}

// heedVerdicts tells what became of results, and of what may be due soon.
func (e *engine) heedVerdicts(results []*entry, verdicts []offstage.Verdict) {
	refused := 0
	for i, entry := range results {
		if verdicts[i].Kind == offstage.Refused {
			refused++
			continue
		}
		switch verdicts[i].Next {
		case offstage.Ready:
			e.look()
		case offstage.Scheduled, offstage.Retrying:
			if entry.result.Wait < promoteEvery && e.leading() {
				e.alarm.ring()
			}
		}
		e.tell(entry, verdicts[i].Next)
	}
	if refused > 0 {
		e.log.Warn("offstage: results came too late and were refused: their jobs were others' by then", "results", refused)
	}
}

// callTime is how long a call of the store may take, at first.
const callTime = 5 * time.Second

// patience is the time-out of calls that must succeed in the end: it grows while
// they time out, so that a slow store is waited for. It belongs to one goroutine.
type patience struct{ extra time.Duration }

func (p *patience) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTime+p.extra)
}

func (p *patience) note(err error) {
	if err == nil {
		p.extra = 0
	} else if errors.Is(err, context.DeadlineExceeded) {
		p.extra = min(2*p.extra+callTime, time.Minute)
	}
}
