package storetest

import (
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
	return w.takeFrom(n, offstage.DefaultQueue)
}

// takeFrom claims exactly n jobs of these queues.
func (w *worker) takeFrom(n int, queues ...string) []taken {
	w.Helper()
	jobs := w.claim(pool(n, queues...))
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
			w.breathe()
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

// halfDie claims two jobs of a queue of its own and lets the store take the
// worker for dead, with one of them still to be rescued.
func (w *worker) halfDie() {
	w.Helper()
	w.insert(echoIn("of the dying", 5), echoIn("of the dying", 5))
	w.takeFrom(2, "of the dying")
	_, more, err := w.rig.store.Rescue(w.Context(), offstage.Peer{ID: w.id, Dead: true}, 1)
	w.must(err, "rescue")
	same(w.rig, "more to rescue", more, true)
}

// start names a job's run as the suspect that this worker is about to start.
func (w *worker) start(job taken) {
	w.Helper()
	w.must(w.store.Suspect(w.Context(), w.id, job.ID, job.Run), "name a suspect")
}

// dieOf starts a job and dies of it.
func (w *worker) dieOf(job taken) int {
	w.Helper()
	if job.Lost >= offstage.SuspectLost {
		w.start(job)
	}
	return w.die()
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
