package storetest

import (
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

var debounceCases = []Case{
	{"debounce/burst", "Debounce puts the holder off until Wait after each enqueue: of a burst one job runs, with the last arguments.", debounceBurst},
	{"debounce/longest wait", "Debounce never puts the holder off beyond MaxWait after the first enqueue of the burst.", debounceLongest},
	{"debounce/default longest wait", "Without a MaxWait the longest wait is 10 × Wait.", debounceDefault},
	{"debounce/next burst", "When the holder has ended, the next enqueue begins a new burst.", debounceNextBurst},
	{"debounce/running", "Debounce of a running holder enqueues a new job, which takes the key and begins a new burst.", debounceRunning},
}

// wantDue checks when a scheduled job is due, relative to a time.
func (r *rig) wantDue(id offstage.ID, since time.Time, want time.Duration) {
	r.Helper()
	got := r.get(id)
	same(r, "state", got.State, offstage.Scheduled)
	if due := got.RunAt.Sub(since).Round(time.Second); due != want {
		r.Errorf("due %s after the first enqueue, want %s", got.RunAt.Sub(since), want)
	}
}

func debounceBurst(r *rig) {
	job := uniqueEcho(offstage.Debounce, "key") // waits 10 s, at most 30 s
	id := r.insertOne(job)
	first := r.get(id).CreatedAt
	r.wantDue(id, first, 10*time.Second)
	for i := 1; i <= 3; i++ {
		r.pass(5 * time.Second)
		r.chore(offstage.Promote)
		same(r, "holder", r.enqueue(withArgs(job, fmt.Sprint(i))), offstage.Inserted{ID: id, Existed: true})
		r.wantDue(id, first, time.Duration(i*5+10)*time.Second)
	}
	w := r.worker()
	r.pass(9 * time.Second)
	r.chore(offstage.Promote)
	same(r, "claimed too early", len(w.claim(pool(5, offstage.DefaultQueue))), 0)
	r.pass(time.Second)
	r.chore(offstage.Promote)
	same(r, "args", string(w.takeOne().Args), "3")
	same(r, "jobs", r.jobs(), 1)
}

func debounceLongest(r *rig) {
	job := uniqueEcho(offstage.Debounce, "key")
	id := r.insertOne(job)
	first := r.get(id).CreatedAt
	for i := 1; i <= 3; i++ {
		r.pass(8 * time.Second)
		r.enqueue(withArgs(job, fmt.Sprint(i)))
	}
	r.wantDue(id, first, 30*time.Second)
	r.pass(6 * time.Second)
	same(r, "promoted", r.chore(offstage.Promote), 1)
	same(r, "holder that is ready, later than the longest wait", r.enqueue(withArgs(job, "4")), offstage.Inserted{ID: id, Existed: true})
	r.wantState(offstage.Ready, id)
	same(r, "args", string(r.worker().takeOne().Args), "4")
}

func debounceDefault(r *rig) {
	job := uniqueEcho(offstage.Debounce, "key")
	job.Unique.MaxWait = 0
	id := r.insertOne(job)
	first := r.get(id).CreatedAt
	for range 12 {
		r.pass(8 * time.Second)
		r.enqueue(job)
	}
	r.wantDue(id, first, 100*time.Second)
}

func debounceNextBurst(r *rig) {
	job := uniqueEcho(offstage.Debounce, "key")
	w := r.worker()
	r.insertOne(job)
	r.pass(10 * time.Second)
	r.chore(offstage.Promote)
	w.complete()
	r.pass(time.Hour)
	id := r.insertOne(job)
	first := r.get(id).CreatedAt
	r.wantDue(id, first, 10*time.Second)
	r.pass(8 * time.Second)
	r.enqueue(job)
	r.wantDue(id, first, 18*time.Second)
}

func debounceRunning(r *rig) {
	job := uniqueEcho(offstage.Debounce, "key")
	r.insertOne(job)
	r.pass(10 * time.Second)
	r.chore(offstage.Promote)
	w := r.worker()
	running := w.takeOne()
	r.pass(25 * time.Second)
	next := r.insertOne(withArgs(job, `"new"`))
	first := r.get(next).CreatedAt
	r.wantDue(next, first, 10*time.Second)
	r.pass(8 * time.Second)
	same(r, "holder of the new burst", r.enqueue(withArgs(job, `"newer"`)), offstage.Inserted{ID: next, Existed: true})
	r.wantDue(next, first, 18*time.Second)
	w.counted(running.completed())
	same(r, "holder after the old one's end", r.enqueue(uniqueEcho(offstage.Skip, "key")), offstage.Inserted{ID: next, Existed: true})
	r.pass(10 * time.Second)
	r.chore(offstage.Promote)
	same(r, "args", string(w.takeOne().Args), `"newer"`)
}
