package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var requestCases = []Case{
	{"request/first", "A request's first enqueue stores the job and answers the store's time.", requestFirst},
	{"request/repeat", "A repeated request stores nothing and answers the first one's job and time, whatever has become of the job.", requestRepeat},
	{"request/other content", "A request whose key was used with another fingerprint is refused, and nothing is stored.", requestOther},
	{"request/keys apart", "Requests with different keys do not meet.", requestKeysApart},
	{"request/keep", "A request's key is kept for its time, then it can be used anew, and Prune removes it.", requestKeep},
	{"request/asked for", "Requested answers what a repeat would get, and stores nothing.", requestAsked},
	{"request/race", "Of requests of one key at once one makes the job, and all get the same answer.", requestRace},
	{"request/unique", "A request for a unique job that is there already is answered by that job, for ever.", requestUnique},
	{"request/in a transaction", "A request in a caller's transaction is made if and only if the caller commits.", requestWithin},
}

// requested is echo for a request.
func requested(key, fingerprint string) offstage.NewJob {
	job := echo()
	job.Request = &offstage.Request{Key: []byte(key), Fingerprint: []byte(fingerprint), Keep: time.Hour}
	return job
}

// flow enqueues a job with its request and follower.
func (r *rig) flow(job offstage.NewJob) offstage.Inserted {
	r.Helper()
	inserted, err := r.store.InsertFlow(r.Context(), job)
	r.must(err, "insert a flow")
	return inserted
}

func requestFirst(r *rig) {
	job := requested("key", "print")
	job.Tags, job.Delay = []string{"t"}, time.Hour
	in := r.flow(job)
	same(r, "existed", in.Existed, false)
	got := r.get(in.ID)
	same(r, "state and tag", got.State.String()+got.Tags[0], "scheduledt")
	sameTime(r, "time of the request", in.At, got.CreatedAt)
	plain := r.flow(echo())
	same(r, "time without a request", plain.At, time.Time{})
	same(r, "jobs", r.jobs(), 2)
}

func requestRepeat(r *rig) {
	first := r.flow(requested("key", "print"))
	want := offstage.Inserted{ID: first.ID, Existed: true, At: first.At}
	again := func(when string) {
		r.Helper()
		r.pass(time.Minute)
		in, err := r.peer().InsertFlow(r.Context(), requested("key", "print"))
		r.must(err, "repeat")
		sameTime(r, "time of the request "+when, in.At, first.At)
		in.At = first.At
		same(r, "answer "+when, in, want)
	}
	again("while it waits")
	w := r.worker()
	job := w.takeOne()
	again("while it runs")
	w.counted(job.completed())
	again("when it has ended")
	r.apply(offstage.Change{Verb: offstage.VerbDelete, Job: first.ID})
	again("when it is gone")
	same(r, "jobs", r.jobs(), 0)
}

func requestOther(r *rig) {
	r.flow(requested("key", "print"))
	if _, err := r.store.InsertFlow(r.Context(), requested("key", "other")); !errors.Is(err, offstage.ErrOtherRequest) {
		r.Errorf("got %v, want ErrOtherRequest", err)
	}
	same(r, "jobs", r.jobs(), 1)
}

func requestKeysApart(r *rig) {
	ids := map[offstage.ID]bool{}
	for _, key := range []string{"a", "b", "A", "\x00", "\xff\xfe"} {
		ids[r.flow(requested(key, "print")).ID] = true
	}
	same(r, "jobs", len(ids), 5)
}

func requestKeep(r *rig) {
	first := r.flow(requested("key", "print"))
	r.flow(requested("other", "print"))
	r.pass(59 * time.Minute)
	r.chore(offstage.Prune)
	same(r, "after 59 minutes", r.flow(requested("key", "print")).ID, first.ID)
	r.pass(2 * time.Minute)
	second := r.flow(requested("key", "print anew"))
	same(r, "existed after 61 minutes", second.Existed, false)
	same(r, "pruned", r.chore(offstage.Prune), 1)
	same(r, "the new one", r.flow(requested("key", "print anew")).ID, second.ID)
	same(r, "jobs", r.jobs(), 3)
}

func requestAsked(r *rig) {
	ask := func(key, fingerprint string) (offstage.Inserted, error) {
		return r.store.Requested(r.Context(), *requested(key, fingerprint).Request)
	}
	if _, err := ask("key", "print"); !errors.Is(err, offstage.ErrNotFound) {
		r.Errorf("before the first: got %v, want ErrNotFound", err)
	}
	first := r.flow(requested("key", "print"))
	made, err := ask("key", "print")
	r.must(err, "ask for a request")
	sameTime(r, "time", made.At, first.At)
	same(r, "answer", [2]any{made.ID, made.Existed}, [2]any{first.ID, true})
	if _, err := ask("key", "other"); !errors.Is(err, offstage.ErrOtherRequest) {
		r.Errorf("with another fingerprint: got %v, want ErrOtherRequest", err)
	}
	r.pass(2 * time.Hour)
	if _, err := ask("key", "print"); !errors.Is(err, offstage.ErrNotFound) {
		r.Errorf("when its time is over: got %v, want ErrNotFound", err)
	}
	same(r, "jobs", r.jobs(), 1)
}

func requestRace(r *rig) {
	stores := []offstage.Store{r.store, r.peer()}
	var mu sync.Mutex
	ids, fresh := map[offstage.ID]int{}, 0
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			in, err := stores[g%2].InsertFlow(r.Context(), requested("key", "print"))
			if err != nil {
				r.Errorf("insert a flow: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[in.ID]++
			if !in.Existed {
				fresh++
			}
		})
	}
	group.Wait()
	same(r, "ids", len(ids), 1)
	same(r, "enqueues that made a job", fresh, 1)
	same(r, "jobs", r.jobs(), 1)
}

func requestUnique(r *rig) {
	holder := r.insertOne(uniqueEcho(offstage.Skip, "unique"))
	job := requested("key", "print")
	job.Unique = uniqueEcho(offstage.Skip, "unique").Unique
	same(r, "first", r.flow(job).ID, holder)
	w := r.worker()
	w.counted(w.takeOne().completed())
	again := r.flow(job)
	same(r, "repeat when the holder has ended", again.ID, holder)
	same(r, "existed", again.Existed, true)
	same(r, "jobs", r.jobs(), 1)
}

func requestWithin(r *rig) {
	t := r.begin()
	_, err := t.store.InsertFlow(r.Context(), requested("key", "print"))
	r.must(err, "insert a flow in a transaction")
	r.must(t.rollback(), "roll back")
	same(r, "jobs", r.jobs(), 0)
	t = r.begin()
	first, err := t.store.InsertFlow(r.Context(), requested("key", "print"))
	r.must(err, "insert a flow in a transaction")
	same(r, "existed", first.Existed, false)
	again, err := t.store.InsertFlow(r.Context(), requested("key", "print"))
	r.must(err, "insert the flow again")
	same(r, "repeat in the transaction", [2]any{again.ID, again.Existed}, [2]any{first.ID, true})
	r.must(t.commit(), "commit")
	same(r, "repeat after the commit", r.flow(requested("key", "print")).ID, first.ID)
	same(r, "jobs", r.jobs(), 1)
}
