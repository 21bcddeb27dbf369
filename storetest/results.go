package storetest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

var resultCases = []Case{
	{"finish/great result", "A result of 1 MiB is kept.", finishGreatResult},
	{"finish/result byte for byte", "Results, logs and texts come back as they were sent.", finishTexts},
	{"finish/mixed batch", "Finish answers a verdict for each result, in order, whatever their order and outcome.", finishMixed},
	{"finish/caller's slices", "What goes into Finish belongs to the caller again when it returns, and what comes out of Get to its caller.", finishOwnership},
	{"finish/nothing", "Finish without results may release claims.", finishNothing},
	{"finish/bad data", "FaultData means that at least one result cannot be stored and none was.", finishBadData},
	{"finish/many attempts", "Details bring the latest 100 attempts, oldest first; run numbers go on for ever.", finishManyAttempts},
}

func finishGreatResult(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	value := `"` + strings.Repeat("x", offstage.MaxResult-2) + `"`
	w.counted(w.takeOne().completedWith(value))
	if got := r.get(id).Result; string(got) != value {
		r.Errorf("%d bytes came back otherwise, as %d bytes", len(value), len(got))
	}
}

func finishTexts(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	result := w.takeOne().failed()
	result.Error = "é 😀 \u2028 '\" \\ $1 % \t\n\x1b[0m"
	result.Trace = strings.Repeat("goroutine 1 [running]:\n", 1000)
	result.Value = json.RawMessage(`{"b": 1, "a":"\u0000", "a":2}`)
	result.Log = json.RawMessage(`[{"time":"2030-01-02T03:04:05Z","level":"INFO","message":"half way","attrs":"n=1"}]`)
	w.counted(result)
	attempt := r.history(id, 1).Attempts[0]
	same(r, "error", attempt.Error, result.Error)
	same(r, "trace", attempt.Trace, result.Trace)
	same(r, "result", string(attempt.Result), string(result.Value))
	same(r, "log", string(attempt.Log), string(result.Log))
}

func finishOwnership(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	result := w.takeOne().completedWith(`"mine"`)
	result.Log = json.RawMessage(`["mine"]`)
	w.counted(result)
	for range 2 {
		copy(result.Value, `"else"`)
		copy(result.Log, `["else"]`)
		got := r.history(id, 1)
		same(r, "result", string(got.Result), `"mine"`)
		same(r, "attempt's result and log", string(got.Attempts[0].Result)+string(got.Attempts[0].Log), `"mine"["mine"]`)
		result.Value, result.Log = got.Attempts[0].Result, got.Attempts[0].Log
		copy(got.Result, `"else"`)
	}
}

func finishMixed(r *rig) {
	const n = 60
	r.insert(echoes(n)...)
	w := r.worker()
	jobs := w.take(n)
	results := make([]offstage.Result, n)
	want := make([]offstage.State, n)
	for i := range results {
		job := jobs[(i*37+11)%n] // neither the order of the claim nor that of the ids
		switch i % 6 {
		case 0:
			results[i], want[i] = job.completed(), offstage.Completed
		case 1:
			results[i], want[i] = job.errored(time.Hour), offstage.Retrying
		case 2:
			results[i], want[i] = job.interrupted(), offstage.Ready
		case 3:
			results[i], want[i] = job.failed(), offstage.Failed
		case 4:
			results[i], want[i] = job.blocked(offstage.WaitsKindUnknown), offstage.Blocked
		case 5:
			results[i], want[i] = job.completed(), offstage.Completed
			results[i].Claim++ // not under this claim
		}
	}
	for i, v := range w.finish(results...) {
		if i%6 == 5 {
			same(r, "verdict on another claim's result", v.Kind, offstage.Refused)
			r.wantState(offstage.Running, results[i].Job)
			continue
		}
		same(r, "verdict", v, offstage.Verdict{Kind: offstage.Counted, Next: want[i]})
		r.wantState(want[i], results[i].Job)
	}
	same(r, "held", len(w.holds()), n/6)
}

func finishNothing(r *rig) {
	r.insertOne(echo())
	w := r.worker()
	job := w.takeOne()
	w.counted(job.completed())
	same(r, "claim rows before", w.beat().Held, []int64{job.claim})
	w.finishAll(nil, job.claim)
	same(r, "claim rows after", len(w.beat().Held), 0)
	w.finishAll(nil)
}

func finishBadData(r *rig) {
	ids := r.insert(echoes(2)...)
	w := r.worker()
	jobs := w.take(2)
	bad := jobs[1].failed()
	bad.Error = "a NUL \x00 and an invalid byte \xff"
	_, err := w.store.Finish(r.Context(), offstage.FinishRequest{Worker: w.id, Results: []offstage.Result{jobs[0].completed(), bad}})
	if err == nil {
		r.wantState(offstage.Completed, ids[0])
		r.wantState(offstage.Failed, ids[1])
		return // this store keeps any bytes
	}
	same(r, "class of "+err.Error(), offstage.ClassOf(err), offstage.FaultData)
	r.wantState(offstage.Running, ids...)
	w.counted(jobs[0].completed())
	r.wantState(offstage.Completed, ids[0])
}

func finishManyAttempts(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	const n = 105
	for range n {
		job := w.takeOne()
		w.finishAll([]offstage.Result{job.interrupted()}, job.claim)
	}
	got := r.history(id, 100)
	same(r, "run", got.Run, n)
	same(r, "first and last run", [2]int{got.Attempts[0].Run, got.Attempts[99].Run}, [2]int{6, n})
	same(r, "claimed as run", w.takeOne().Run, n+1)
}
