package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var claimCases = []Case{
	{"claim/facts", "A claim brings the job's facts, its run number and its counters; the job is running under that worker.", claimFacts},
	{"claim/slots", "A claim takes up to its slots for each pool, none for a pool without.", claimSlots},
	{"claim/shared queue", "Two pools that serve the same queue never get the same job.", claimSharedQueue},
	{"claim/other queues", "Jobs of queues that no pool serves are left alone.", claimOtherQueues},
	{"claim/nothing", "When there was nothing to take, there is no claim row.", claimNothing},
	{"claim/held", "What was claimed is named by one claim row under (worker, seq) until it is released.", claimHeld},
	{"claim/great args", "Arguments over 8 KiB are left out and loaded by LoadArgs; those of 8 KiB come along.", claimGreatArgs},
	{"claim/load args of no job", "LoadArgs of a job that does not exist is ErrNotFound.", claimLoadNothing},
	{"claim/deleted job", "A deleted job is not claimed, or is marked as missing.", claimDeleted},
	{"claim/ended context", "With a context that has ended, a claim takes nothing.", claimEndedContext},
	{"claim/sweep", "A claim that looks past the store's hints takes the same jobs in the same order.", claimSweep},
	{"claim/no suspects", "A claim can leave suspects to others; they stay where they are, and are found.", claimNoSuspects},
	{"claim/concurrent", "Many workers on several handles claim at once: each job goes to exactly one of them.", claimConcurrent},
}

func claimFacts(r *rig) {
	job := offstage.NewJob{
		Kind: "send_mail", Queue: "mail", Priority: 3, Args: []byte(`{"to":"x"}`), MaxAttempts: 7, Timeout: 90 * time.Second,
		Unique: &offstage.UniqueKey{Key: []byte("0123456789abcdef"), Mode: offstage.Skip},
		Extra:  offstage.Extra{Tags: []string{"a"}, Metadata: map[string]string{"k": "v"}},
	}
	id := r.insertOne(job)
	facts := r.get(id).Facts
	w := r.worker()
	jobs := w.claim(pool(1, "other"), pool(1, "mail"))
	if len(jobs) != 1 {
		r.Fatalf("claimed %d jobs, want 1", len(jobs))
	}
	got := jobs[0]
	sameTime(r, "created at", got.CreatedAt, facts.CreatedAt)
	got.CreatedAt = facts.CreatedAt
	same(r, "facts", got.Facts, facts)
	same(r, "pool", got.Pool, 1)
	same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{1, 0, 0})
	same(r, "flags", [4]bool{got.ArgsDeferred, got.Missing, got.CancelAsked, got.KindPaused}, [4]bool{})
	info := r.get(id)
	same(r, "state", info.State, offstage.Running)
	same(r, "run", info.Run, 1)
	same(r, "worker", info.Worker, w.id)
	if info.StartedAt.IsZero() || !info.FinishedAt.IsZero() {
		r.Errorf("a running job has started at %v and finished at %v", info.StartedAt, info.FinishedAt)
	}
}

func claimSlots(r *rig) {
	var jobs []offstage.NewJob
	for _, queue := range []string{"a", "b", "c"} {
		for range 5 {
			jobs = append(jobs, echoIn(queue, 5))
		}
	}
	r.insert(jobs...)
	got := map[string]int{}
	for _, job := range r.worker().claim(pool(2, "a"), pool(0, "b"), pool(3, "c")) {
		got[fmt.Sprint(job.Pool, job.Queue)]++
	}
	same(r, "taken", got, map[string]int{"0a": 2, "2c": 3})
}

func claimSharedQueue(r *rig) {
	ids := r.insert(echoes(7)...)
	jobs := r.worker().claim(pool(3, offstage.DefaultQueue), pool(9, "other", offstage.DefaultQueue))
	count := map[offstage.ID]int{}
	pools := map[int]int{}
	for _, job := range jobs {
		count[job.ID]++
		pools[job.Pool]++
	}
	for _, id := range ids {
		if count[id] != 1 {
			r.Errorf("job %d was claimed %d times", id, count[id])
		}
	}
	same(r, "by pool", pools, map[int]int{0: 3, 1: 4})
}

func claimOtherQueues(r *rig) {
	id := r.insertOne(echoIn("elsewhere", 0))
	same(r, "claimed", len(r.worker().claim(pool(5, offstage.DefaultQueue), pool(5, "unheard-of"))), 0)
	r.wantState(offstage.Ready, id)
}

func claimNothing(r *rig) {
	w := r.worker()
	same(r, "claimed", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
	same(r, "claim rows", len(w.beat().Held), 0)
	claims, err := r.store.Claims(r.Context(), w.id)
	r.must(err, "claims")
	same(r, "claims", len(claims), 0)
}

func claimHeld(r *rig) {
	r.insert(echoes(3)...)
	w, other := r.worker(), r.worker()
	w.claim(pool(1, "other"))
	jobs := w.take(2)
	more := w.takeOne()
	same(r, "claim rows", len(w.beat().Held), 2)
	same(r, "claim rows of another worker", len(other.beat().Held), 0)
	w.finishAll([]offstage.Result{jobs[0].completed(), jobs[1].completed()}, jobs[0].claim)
	same(r, "claim rows after a release", w.beat().Held, []int64{more.claim})
	same(r, "held", w.holds(), []offstage.HeldJob{{Job: more.ID, Run: 1}})
}

func claimGreatArgs(r *rig) {
	small, great := echo(), echo()
	small.Args = []byte(`"` + strings.Repeat("s", 8<<10-2) + `"`)
	great.Args = []byte(`"` + strings.Repeat("g", 8<<10-1) + `"`)
	r.insert(small, great)
	jobs := r.worker().take(2)
	same(r, "8 KiB are deferred", jobs[0].ArgsDeferred, false)
	same(r, "8 KiB", string(jobs[0].Args), string(small.Args))
	same(r, "more are deferred", jobs[1].ArgsDeferred, true)
	same(r, "bytes of what is deferred", len(jobs[1].Args), 0)
	args, err := r.store.LoadArgs(r.Context(), jobs[1].ID)
	r.must(err, "load args")
	same(r, "loaded", string(args), string(great.Args))
}

func claimLoadNothing(r *rig) {
	if _, err := r.store.LoadArgs(r.Context(), 1<<40); !errors.Is(err, offstage.ErrNotFound) {
		r.Errorf("got %v, want ErrNotFound", err)
	}
}

func claimDeleted(r *rig) {
	ids := r.insert(echoes(2)...)
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: ids[0]})
	for _, job := range r.worker().claim(pool(5, offstage.DefaultQueue)) {
		if job.ID == ids[0] && !job.Missing {
			r.Error("the deleted job was claimed as if it were there")
		}
	}
	r.wantState(offstage.Running, ids[1])
}

func claimEndedContext(r *rig) {
	id := r.insertOne(echo())
	w := r.worker()
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	_, err := r.store.Claim(ctx, offstage.ClaimRequest{Worker: w.id, Seq: 1, Pools: []offstage.PoolRequest{pool(1, offstage.DefaultQueue)}})
	if !errors.Is(err, context.Canceled) {
		r.Errorf("got %v, want an error that is context.Canceled", err)
	}
	r.wantState(offstage.Ready, id)
	same(r, "held", len(w.holds()), 0)
}

func claimSweep(r *rig) {
	ids := r.insert(echo(), echoIn(offstage.DefaultQueue, 1), echo())
	w := r.worker()
	sweep := offstage.ClaimRequest{Pools: []offstage.PoolRequest{pool(2, offstage.DefaultQueue)}, Sweep: true}
	same(r, "order", idsOf(w.claimAs(sweep)), []offstage.ID{ids[1], ids[0]})
	same(r, "order", idsOf(w.claimAs(sweep)), ids[2:])
	same(r, "claimed when there are none", len(w.claimAs(sweep)), 0)
}

func claimNoSuspects(r *rig) {
	suspects := r.suspects(2)
	w := r.worker()
	picky := offstage.ClaimRequest{Pools: []offstage.PoolRequest{pool(2, offstage.DefaultQueue)}, NoSuspects: true}
	for range 3 {
		others := r.insert(echo(), echoIn(offstage.DefaultQueue, 1), echo())
		same(r, "claimed", idsOf(w.claimAs(picky)), []offstage.ID{others[1], others[0]})
		same(r, "claimed then", idsOf(w.claimAs(picky)), others[2:])
		same(r, "claimed when there are suspects alone", len(w.claimAs(picky)), 0)
	}
	r.wantState(offstage.Ready, suspects...)
	same(r, "claimed by another", idsOf(r.worker().take(2)), suspects)
}

func claimConcurrent(r *rig) {
	const jobs, workers = 300, 6
	ids := r.insert(echoes(jobs)...)
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	claimed := map[offstage.ID]int{}
	var group sync.WaitGroup
	for g := range workers {
		w := r.workerOn(stores[g%2], offstage.WorkerInfo{Queues: []string{offstage.DefaultQueue}})
		group.Go(func() {
			for seq := int64(1); ; seq++ {
				claim, err := w.store.Claim(r.Context(), offstage.ClaimRequest{
					Worker: w.id, Seq: seq, Pools: []offstage.PoolRequest{pool(7, offstage.DefaultQueue)},
				})
				if err != nil {
					r.Errorf("claim: %v", err)
					return
				}
				mu.Lock()
				for _, job := range claim.Jobs {
					claimed[job.ID]++
				}
				all := len(claimed) == jobs
				mu.Unlock()
				if all || len(claim.Jobs) == 0 && !claim.Pending {
					return
				}
			}
		})
	}
	group.Wait()
	for _, id := range ids {
		if claimed[id] > 1 {
			r.Errorf("job %d was claimed %d times", id, claimed[id])
		}
	}
	rest := r.worker().claim(pool(jobs, offstage.DefaultQueue))
	same(r, "claimed in all", len(claimed)+len(rest), jobs)
}
