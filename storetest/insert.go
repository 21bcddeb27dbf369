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

var insertCases = []Case{
	{"insert/one", "Insert answers an id from 1 to 2^53-1; the job is ready and known by what it was given.", insertOne},
	{"insert/many in order", "Insert answers one Inserted for each job, in order, each with an id of its own.", insertMany},
	{"insert/each its own", "Jobs of one call that differ in one value alone keep each its own.", insertEachItsOwn},
	{"insert/nothing", "Insert of no jobs stores nothing and is no error.", insertNothing},
	{"insert/ended context", "Insert stores all or none: with a context that has ended it stores none and says why.", insertEndedContext},
	{"insert/args byte for byte", "Args are kept byte for byte.", insertArgs},
	{"insert/args of 1 MiB", "Args of the greatest size are kept.", insertGreatArgs},
	{"insert/caller's slices", "Slices that go in belong to the caller again when the call returns.", insertOwnership},
	{"insert/extra", "Tags, metadata and carried values come back as they were given; none stay none.", insertExtra},
	{"insert/delay", "A job with a delay is scheduled, and due that much after its creation by the store's clock.", insertDelay},
	{"insert/run at", "A job with a time is scheduled for it, by the store's clock.", insertRunAt},
	{"insert/run at past", "A job whose time has passed is ready at once.", insertRunAtPast},
	{"insert/created", "A job's creation is the store's time at its insert.", insertCreated},
	{"insert/concurrent", "Insert may be called by many goroutines and handles at once; every job gets its own id.", insertConcurrent},
}

func insertOne(r *rig) {
	job := offstage.NewJob{
		Kind: "send_mail", Queue: "mail", Priority: 3, Args: []byte(`{"to":"a@example.org"}`),
		MaxAttempts: 7, Timeout: 90 * time.Second,
	}
	id := r.insertOne(job)
	if id <= 0 || id >= 1<<53 {
		r.Errorf("id %d is not from 1 to 2^53-1", id)
	}
	got := r.get(id)
	if got.CreatedAt.IsZero() {
		r.Error("the job has no time of creation")
	}
	sameTime(r, "run at", got.RunAt, got.CreatedAt)
	same(r, "state", got.State, offstage.Ready)
	same(r, "kind", got.Kind, "send_mail")
	same(r, "queue", got.Queue, "mail")
	same(r, "priority", got.Priority, 3)
	same(r, "args", string(got.Args), `{"to":"a@example.org"}`)
	same(r, "max attempts", got.MaxAttempts, 7)
	same(r, "timeout", got.Timeout, 90*time.Second)
	same(r, "id", got.ID, id)
	same(r, "run, errors, lost", [3]int{got.Run, got.Errors, got.Lost}, [3]int{})
	same(r, "outcome", got.Outcome, offstage.Outcome(0))
	same(r, "unique key", len(got.UniqueKey), 0)
	same(r, "attempts", len(got.Attempts), 0)
	if got.Progress != nil || !got.StartedAt.IsZero() || !got.FinishedAt.IsZero() || got.Worker != 0 {
		r.Errorf("a job that never ran shows traces of a run: %+v", got.JobInfo)
	}
}

func insertMany(r *rig) {
	jobs := make([]offstage.NewJob, 2_000)
	for i := range jobs {
		jobs[i] = echo()
		jobs[i].Args = fmt.Appendf(nil, "%d", i)
	}
	ids := r.insert(jobs...)
	seen := map[offstage.ID]bool{}
	for i, id := range ids {
		if seen[id] {
			r.Fatalf("id %d was given twice", id)
		}
		seen[id] = true
		if i%97 == 0 {
			same(r, fmt.Sprintf("args of job %d", i), string(r.get(id).Args), fmt.Sprint(i))
		}
	}
}

// insertEachItsOwn guards stores that write what jobs have in common once.
func insertEachItsOwn(r *rig) {
	usual := offstage.NewJob{
		Kind: "send_mail", Queue: "mail", Priority: 3, Args: []byte("{}"), MaxAttempts: 7, Timeout: 90 * time.Second,
	}
	for _, differ := range []func(job *offstage.NewJob){
		func(job *offstage.NewJob) { job.Kind = "echo" },
		func(job *offstage.NewJob) { job.Queue = "default" },
		func(job *offstage.NewJob) { job.Priority = 8 },
		func(job *offstage.NewJob) { job.Args = []byte("[]") },
		func(job *offstage.NewJob) { job.MaxAttempts = 1 },
		func(job *offstage.NewJob) { job.Timeout = time.Hour },
		func(job *offstage.NewJob) { job.Extra.Tags = []string{"red"} },
	} {
		jobs := []offstage.NewJob{usual, usual, usual}
		differ(&jobs[1])
		for i, id := range r.insert(jobs...) {
			got := r.get(id)
			same(r, "terms", fmt.Sprint(got.Kind, got.Queue, got.Priority, got.MaxAttempts, got.Timeout, string(got.Args), got.Tags),
				fmt.Sprint(jobs[i].Kind, jobs[i].Queue, jobs[i].Priority, jobs[i].MaxAttempts, jobs[i].Timeout, string(jobs[i].Args), jobs[i].Extra.Tags))
			same(r, "state", got.State, offstage.Ready)
		}
	}
}

func insertNothing(r *rig) {
	same(r, "ids", len(r.insert()), 0)
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs", len(page.Jobs), 0)
}

func insertEndedContext(r *rig) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	inserted, err := r.store.Insert(ctx, echoes(3))
	if !errors.Is(err, context.Canceled) {
		r.Errorf("got %v, %v, want an error that is context.Canceled", inserted, err)
	}
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs", len(page.Jobs), 0)
}

func insertArgs(r *rig) {
	for _, args := range []string{
		`{}`, `null`, `0`, `"text"`, `[1, 2,3 ]`,
		`{"a":1,"a":2}`, `{ "b" : 1 , "a" : 2 }`, `{"nul":"\u0000"}`, `{"lone":"\ud800"}`,
		`{"n":12345678901234567890.000000000000000001e1}`, "{\n\t\"x\": \"é 😀 \u2028\"\r\n}", `{"t":"<&>' \\ %s $1 ?"}`,
	} {
		job := echo()
		job.Args = []byte(args)
		id := r.insertOne(job)
		same(r, "args by Get", string(r.get(id).Args), args)
		loaded, err := r.store.LoadArgs(r.Context(), id)
		r.must(err, "load args")
		same(r, "args by LoadArgs", string(loaded), args)
	}
	w := r.worker()
	for _, job := range w.take(12) {
		same(r, "args by Claim", string(job.Args), string(r.get(job.ID).Args))
	}
}

func insertGreatArgs(r *rig) {
	job := echo()
	job.Args = []byte(`"` + strings.Repeat("x", offstage.MaxArgs-2) + `"`)
	id := r.insertOne(job)
	if got := r.get(id).Args; string(got) != string(job.Args) {
		r.Errorf("%d bytes came back otherwise, as %d bytes", len(job.Args), len(got))
	}
}

func insertOwnership(r *rig) {
	job := echo()
	job.Args = []byte(`"mine"`)
	job.Unique = &offstage.UniqueKey{Key: []byte("0123456789abcdef"), Mode: offstage.Skip}
	id := r.insertOne(job)
	copy(job.Args, `"else"`)
	copy(job.Unique.Key, "ffffffffffffffff")
	same(r, "args", string(r.get(id).Args), `"mine"`)
	copy(r.get(id).Args, `"else"`)
	got := r.get(id)
	same(r, "args after those that came out were changed", string(got.Args), `"mine"`)
	same(r, "unique key", string(got.UniqueKey), "0123456789abcdef")
}

func insertExtra(r *rig) {
	extra := offstage.Extra{
		Tags:     []string{"b", "a", "é 😀"},
		Metadata: map[string]string{"order": "17", "empty": "", "quote": `"\ '`},
		Carry:    map[string]string{"tenant": "acme"},
	}
	job := echo()
	job.Extra = extra
	ids := r.insert(job, echo())
	same(r, "extra", r.get(ids[0]).Extra, extra)
	same(r, "no extra is empty", r.get(ids[1]).Empty(), true)
	jobs := r.worker().take(2)
	same(r, "claimed extra", jobs[0].Extra, extra)
	same(r, "claimed without extra is empty", jobs[1].Empty(), true)
}

func insertDelay(r *rig) {
	id := r.insertOne(echoAfter(90 * time.Second))
	got := r.get(id)
	same(r, "state", got.State, offstage.Scheduled)
	sameTime(r, "run at", got.RunAt, got.CreatedAt.Add(90*time.Second))
	same(r, "claimed before their time", len(r.worker().claim(pool(5, offstage.DefaultQueue))), 0)
}

func insertRunAt(r *rig) {
	now := r.get(r.insertOne(echoIn("other", 5))).CreatedAt
	job := echo()
	job.RunAt = now.Add(36 * time.Hour).In(time.FixedZone("east", 3600))
	got := r.get(r.insertOne(job))
	same(r, "state", got.State, offstage.Scheduled)
	sameTime(r, "run at", got.RunAt, job.RunAt)
	same(r, "claimed before their time", len(r.worker().claim(pool(5, offstage.DefaultQueue))), 0)
}

func insertRunAtPast(r *rig) {
	now := r.get(r.insertOne(echoIn("other", 5))).CreatedAt
	job := echo()
	job.RunAt = now.Add(-time.Hour)
	id := r.insertOne(job)
	r.wantState(offstage.Ready, id)
	same(r, "claimed", r.worker().takeOne().ID, id)
}

func insertCreated(r *rig) {
	first := r.get(r.insertOne(echo()))
	r.pass(time.Hour)
	second := r.get(r.insertOne(echo()))
	if passed := second.CreatedAt.Sub(first.CreatedAt); passed < time.Hour {
		r.Errorf("an hour later only %s have passed", passed)
	}
}

func insertConcurrent(r *rig) {
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	seen := map[offstage.ID]int{}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for range 25 {
				inserted, err := stores[g%2].Insert(r.Context(), echoes(4))
				if err != nil {
					r.Errorf("insert: %v", err)
					return
				}
				mu.Lock()
				for _, in := range inserted {
					seen[in.ID]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	same(r, "different ids", len(seen), 8*25*4)
	same(r, "claimed", len(r.worker().claim(pool(1000, offstage.DefaultQueue))), 8*25*4)
}
