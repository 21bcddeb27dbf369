package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/offstagehq/offstage"
)

var sequenceCases = []Case{
	{"sequence/2,500 jobs", "InsertSeq stores all jobs of the sequence and returns how many there were; they are claimed in its order.", sequenceMany},
	{"sequence/few jobs", "A short sequence is stored too; an empty one stores nothing.", sequenceFew},
	{"sequence/unseen", "Until the sequence has ended, nobody sees any of its jobs.", sequenceUnseen},
	{"sequence/no lock", "InsertSeq holds no lock while the sequence runs: others insert, claim and finish meanwhile.", sequenceNoLock},
	{"sequence/error", "An error of the sequence ends it, is returned, and nothing is stored.", sequenceError},
	{"sequence/panic", "A sequence that panics leaves nothing behind, and the store goes on.", sequencePanic},
	{"sequence/ended context", "A context that ends during the sequence ends the call, and nothing is stored.", sequenceContext},
	{"sequence/unique", "A unique job in a sequence is an InvalidError, and nothing is stored.", sequenceUnique},
	{"sequence/scheduled", "Jobs of a sequence with a delay are scheduled.", sequenceScheduled},
}

// sequence yields n jobs whose args are their index, and calls at before each.
func sequence(n int, at func(i int) error) iter.Seq2[offstage.NewJob, error] {
	return func(yield func(offstage.NewJob, error) bool) {
		for i := range n {
			job := echo()
			job.Args = fmt.Appendf(nil, "%d", i)
			var err error
			if at != nil {
				err = at(i)
			}
			if !yield(job, err) {
				return
			}
		}
	}
}

// noJobs checks that the store has none, by list and by claim.
func (r *rig) noJobs() {
	r.Helper()
	r.chore(offstage.Publish)
	page, err := r.store.List(r.Context(), offstage.Filter{})
	r.must(err, "list")
	same(r, "jobs listed", len(page.Jobs), 0)
	same(r, "jobs claimed", len(r.worker().claim(pool(10, offstage.DefaultQueue))), 0)
}

func sequenceMany(r *rig) {
	const n = 2_500
	count, err := r.store.InsertSeq(r.Context(), sequence(n, nil))
	r.must(err, "insert sequence")
	same(r, "count", count, int64(n))
	page, err := r.store.List(r.Context(), offstage.Filter{State: offstage.Ready, Limit: 10})
	r.must(err, "list")
	same(r, "ready jobs as soon as it has returned", len(page.Jobs), 10)
	r.chore(offstage.Publish)
	w := r.worker()
	for i, job := range w.claim(pool(n+1, offstage.DefaultQueue)) {
		if string(job.Args) != fmt.Sprint(i) {
			r.Fatalf("claimed job %s as number %d", job.Args, i)
		}
	}
	same(r, "claimed", len(w.holds()), n)
}

func sequenceFew(r *rig) {
	count, err := r.store.InsertSeq(r.Context(), sequence(0, nil))
	r.must(err, "insert an empty sequence")
	same(r, "count", count, 0)
	r.noJobs()
	count, err = r.store.InsertSeq(r.Context(), sequence(3, nil))
	r.must(err, "insert sequence")
	same(r, "count", count, 3)
	r.chore(offstage.Publish)
	r.worker().take(3)
}

func sequenceUnseen(r *rig) {
	w, looked := r.worker(), 0
	_, err := r.store.InsertSeq(r.Context(), sequence(2_500, func(i int) error {
		if i%1_100 != 1_050 {
			return nil
		}
		looked++
		r.chore(offstage.Publish)
		page, err := r.store.List(r.Context(), offstage.Filter{})
		r.must(err, "list")
		same(r, "jobs seen during the sequence", len(page.Jobs), 0)
		same(r, "jobs claimed during the sequence", len(w.claim(pool(10, offstage.DefaultQueue))), 0)
		return nil
	}))
	r.must(err, "insert sequence")
	same(r, "looks during the sequence", looked, 2)
}

func sequenceNoLock(r *rig) {
	w, peer := r.worker(), r.peer()
	_, err := r.store.InsertSeq(r.Context(), sequence(1_500, func(i int) error {
		if i != 1_200 {
			return nil
		}
		_, err := peer.Insert(r.Context(), echoes(1))
		r.must(err, "insert during the sequence")
		w.complete()
		return nil
	}))
	r.must(err, "insert sequence")
}

func sequenceError(r *rig) {
	for _, n := range []int{0, 500, 2_200} {
		broken := errors.New("the source is broken")
		count, err := r.store.InsertSeq(r.Context(), sequence(n+1, func(i int) error {
			if i == n {
				return broken
			}
			return nil
		}))
		if !errors.Is(err, broken) {
			r.Errorf("an error after %d jobs: got %v, want the sequence's error", n, err)
		}
		same(r, "count", count, 0)
		r.noJobs()
	}
}

func sequencePanic(r *rig) {
	func() {
		defer func() { same(r, "recovered", recover(), any("the source is broken")) }()
		count, err := r.store.InsertSeq(r.Context(), sequence(2_200, func(i int) error {
			if i == 2_100 {
				panic("the source is broken")
			}
			return nil
		}))
		r.Errorf("insert sequence returned %d, %v", count, err)
	}()
	r.noJobs()
	r.pass(24 * time.Hour)
	r.noJobs()
	r.insertOne(echo())
	r.worker().complete()
}

func sequenceContext(r *rig) {
	ctx, cancel := context.WithCancel(r.Context())
	_, err := r.store.InsertSeq(ctx, sequence(2_500, func(i int) error {
		if i == 1_200 {
			cancel()
		}
		return nil
	}))
	if !errors.Is(err, context.Canceled) {
		r.Errorf("got %v, want an error that is context.Canceled", err)
	}
	r.noJobs()
}

func sequenceUnique(r *rig) {
	for _, n := range []int{0, 1_500} {
		_, err := r.store.InsertSeq(r.Context(), func(yield func(offstage.NewJob, error) bool) {
			for range n {
				if !yield(echo(), nil) {
					return
				}
			}
			job := echo()
			job.Unique = &offstage.UniqueKey{Key: []byte("0123456789abcdef"), Mode: offstage.Skip}
			yield(job, nil)
		})
		var invalid *offstage.InvalidError
		if !errors.As(err, &invalid) {
			r.Errorf("a unique job after %d others: got %v, want an InvalidError", n, err)
		}
		r.noJobs()
	}
}

func sequenceScheduled(r *rig) {
	const n = 1_100
	_, err := r.store.InsertSeq(r.Context(), func(yield func(offstage.NewJob, error) bool) {
		for range n {
			if !yield(echoAfter(time.Hour), nil) {
				return
			}
		}
	})
	r.must(err, "insert sequence")
	r.chore(offstage.Publish)
	w := r.worker()
	same(r, "claimed before their time", len(w.claim(pool(10, offstage.DefaultQueue))), 0)
	r.pass(time.Hour)
	same(r, "promoted", r.chore(offstage.Promote), n)
	same(r, "claimed at their time", len(w.claim(pool(n+1, offstage.DefaultQueue))), n)
}
