package storetest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// worker is a registered worker as the store sees it: nothing runs.
type worker struct {
	*rig
	store offstage.Store // the handle that it uses
	id    offstage.WorkerID
	seq   int64 // of the latest claim
}

// worker registers one for queue default and kind echo.
func (r *rig) worker() *worker {
	r.Helper()
	return r.workerOn(r.store, offstage.WorkerInfo{Queues: []string{offstage.DefaultQueue}, Kinds: []offstage.Kind{{Name: "echo"}}})
}

// workerOn registers a worker through the handle.
func (r *rig) workerOn(store offstage.Store, info offstage.WorkerInfo) *worker {
	r.Helper()
	if info.Name == "" {
		info.Name, info.Slots = "storetest", 10
	}
	id, err := store.Register(r.Context(), info)
	r.must(err, "register")
	if id == 0 {
		r.Fatal("register gave the zero id, which names no worker")
	}
	return &worker{rig: r, store: store, id: id}
}

// taken is a claimed job with the claim that it belongs to.
type taken struct {
	offstage.ClaimedJob
	claim int64
}

// pool is a pool's request.
func pool(slots int, queues ...string) offstage.PoolRequest {
	return offstage.PoolRequest{Queues: queues, Slots: slots}
}

// claim takes what the pools can get.
func (w *worker) claim(pools ...offstage.PoolRequest) []taken {
	w.Helper()
	return w.claimAs(offstage.ClaimRequest{Pools: pools})
}

// claimAs sends a claim with the worker's id and next seq.
func (w *worker) claimAs(req offstage.ClaimRequest) []taken {
	w.Helper()
	w.seq++
	req.Worker, req.Seq = w.id, w.seq
	claim, err := w.store.Claim(w.Context(), req)
	w.must(err, "claim")
	if claim.Seq != w.seq {
		w.Fatalf("claim %d was answered as claim %d", w.seq, claim.Seq)
	}
	jobs := make([]taken, len(claim.Jobs))
	for i, job := range claim.Jobs {
		jobs[i] = taken{job, w.seq}
	}
	return jobs
}

// take claims exactly n jobs of queue default.
func (w *worker) take(n int) []taken {
	w.Helper()
	jobs := w.claim(pool(n, offstage.DefaultQueue))
	if len(jobs) != n {
		w.Fatalf("claimed %d jobs, want %d", len(jobs), n)
	}
	return jobs
}

// takeOne claims one job of queue default.
func (w *worker) takeOne() taken {
	w.Helper()
	return w.take(1)[0]
}

// search claims up to 5 jobs of queue default, and looks past the store's hints
// before it finds none.
func (w *worker) search() []taken {
	w.Helper()
	for _, sweep := range []bool{false, true, false} {
		jobs := w.claimAs(offstage.ClaimRequest{Pools: []offstage.PoolRequest{pool(5, offstage.DefaultQueue)}, Sweep: sweep})
		if len(jobs) > 0 {
			return jobs
		}
	}
	return nil
}

// drain completes the jobs of queue default until over is closed and none is
// left. It shows what each claim brought.
func (w *worker) drain(over <-chan struct{}, show func([]taken)) {
	w.Helper()
	for {
		last := false
		select {
		case <-over:
			last = true
		default:
		}
		jobs := w.search()
		if len(jobs) == 0 {
			if last {
				return
			}
			continue
		}
		show(jobs)
		results := make([]offstage.Result, len(jobs))
		for i, job := range jobs {
			results[i] = job.completed()
		}
		w.finishAll(results, w.seq)
	}
}

// finish sends results without releasing their claims.
func (w *worker) finish(results ...offstage.Result) []offstage.Verdict {
	w.Helper()
	return w.finishAll(results)
}

// finishAll sends results and releases claims.
func (w *worker) finishAll(results []offstage.Result, release ...int64) []offstage.Verdict {
	w.Helper()
	verdicts, err := w.store.Finish(w.Context(), offstage.FinishRequest{Worker: w.id, Results: results, Release: release})
	w.must(err, "finish")
	if len(verdicts) != len(results) {
		w.Fatalf("finish answered %d verdicts to %d results", len(verdicts), len(results))
	}
	return verdicts
}

// counted sends results each of which must count, and answers the next states.
func (w *worker) counted(results ...offstage.Result) []offstage.State {
	w.Helper()
	next := make([]offstage.State, len(results))
	for i, v := range w.finish(results...) {
		if v.Kind != offstage.Counted {
			w.Fatalf("the result of job %d, run %d got verdict %d, want Counted", results[i].Job, results[i].Run, v.Kind)
		}
		next[i] = v.Next
	}
	return next
}

// complete claims the one ready job of queue default and ends it.
func (w *worker) complete() offstage.ID {
	w.Helper()
	job := w.takeOne()
	w.finishAll([]offstage.Result{job.completed()}, job.claim)
	return job.ID
}

// beat sends a heartbeat that must be welcome.
func (w *worker) beat() offstage.Beat {
	w.Helper()
	beat, err := w.store.Beat(w.Context(), w.id)
	w.must(err, "beat")
	return beat
}

// sees returns another worker as this one's heartbeat sees it.
func (w *worker) sees(other *worker) (offstage.Peer, bool) {
	w.Helper()
	peers := w.beat().Peers
	i := slices.IndexFunc(peers, func(p offstage.Peer) bool { return p.ID == other.id })
	if i < 0 {
		return offstage.Peer{}, false
	}
	return peers[i], true
}

// lead takes the leadership.
func (w *worker) lead(ttl time.Duration) int64 {
	w.Helper()
	term, err := w.store.Lead(w.Context(), w.id, ttl)
	w.must(err, "lead")
	return term
}

// holds returns the jobs that the store believes this worker to hold, by id.
func (w *worker) holds() []offstage.HeldJob {
	w.Helper()
	claims, err := w.store.Claims(w.Context(), w.id)
	w.must(err, "claims")
	var jobs []offstage.HeldJob
	for _, claim := range claims {
		jobs = append(jobs, claim.Jobs...)
	}
	slices.SortFunc(jobs, func(a, b offstage.HeldJob) int { return int(a.Job - b.Job) })
	return jobs
}

// die lets the store take the worker for dead and rescues all its jobs.
func (w *worker) die() int {
	w.Helper()
	total := 0
	for {
		rescued, more, err := w.rig.store.Rescue(w.Context(), offstage.Peer{ID: w.id, Dead: true}, 100)
		w.must(err, "rescue")
		if total += rescued; !more {
			return total
		}
	}
}

// ended is the result of an attempt that ran for a second.
func (t taken) ended(outcome offstage.Outcome, next offstage.State) offstage.Result {
	return offstage.Result{
		Job: t.ID, Run: t.Run, Claim: t.claim, Outcome: outcome, Next: next,
		Errors: t.Errors, Lost: t.Lost, Started: true, Ran: time.Second, UniqueKey: t.UniqueKey,
	}
}

// completed is the result of a handler that returned nil.
func (t taken) completed() offstage.Result {
	return t.ended(offstage.OutcomeCompleted, offstage.Completed)
}

// errored is the result of a handler that failed and is to be retried.
func (t taken) errored(wait time.Duration) offstage.Result {
	result := t.ended(offstage.OutcomeErrored, offstage.Retrying)
	result.Errors, result.Wait, result.Error = t.Errors+1, wait, "it did not work"
	return result
}

// failed is the result of a handler that failed for the last time.
func (t taken) failed() offstage.Result {
	result := t.ended(offstage.OutcomeErrored, offstage.Failed)
	result.Errors, result.Error = t.Errors+1, "it will never work"
	return result
}

// interrupted is the result of a run that is handed back.
func (t taken) interrupted() offstage.Result {
	return t.ended(offstage.OutcomeInterrupted, offstage.Ready)
}

// blocked is the result of a job that was handed back unstarted to wait.
func (t taken) blocked(waits string) offstage.Result {
	result := t.ended(offstage.OutcomeInterrupted, offstage.Blocked)
	result.Waits, result.Started, result.Ran = waits, false, 0
	return result
}

// completedWith is a completed result with a value.
func (t taken) completedWith(value string) offstage.Result {
	result := t.completed()
	result.Value = json.RawMessage(value)
	return result
}

// idsOf returns the ids of claimed jobs, in their order.
func idsOf(jobs []taken) []offstage.ID {
	ids := make([]offstage.ID, len(jobs))
	for i, job := range jobs {
		ids[i] = job.ID
	}
	return ids
}
