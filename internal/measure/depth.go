//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/offstagehq/offstage"
)

// How the depth of a queue is measured: rounds on a shallow and a deep one in
// turn, so that the machine's moods strike both alike. A turn is some rounds, for
// the first one finds the processor's caches full of the other queue. Before it a
// SQLite file is read, for what was enqueued a minute ago may have been taken away by
// the host of a virtual machine, and what was enqueued just now is there.
const (
	shallowJobs = 1000
	deepJobs    = 1_000_000
	queueTurns  = 30
	turnRounds  = 10
	claimBatch  = 100
)

// queueOf is a queue that is so deep, in a database of its own.
type queueOf struct {
	*ground
	worker offstage.WorkerID
	seq    int64
	// What each call took.
	enqueue, many, fetch, list []time.Duration
}

func measureDepth(ctx context.Context, g *ground, out *report) (err error) {
	other, err := newGround(ctx, g.kind)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.close()) }()
	shallow, deep := &queueOf{ground: g}, &queueOf{ground: other}
	if err := errors.Join(shallow.fill(ctx, shallowJobs, out), deep.fill(ctx, deepJobs, out)); err != nil {
		return err
	}
	if err := takeTurns(ctx, shallow, deep); err != nil {
		return err
	}
	compare(out, "enqueue one", shallow.enqueue, deep.enqueue)
	compare(out, "enqueue 180 at once", shallow.many, deep.many)
	compare(out, "fetch and finish 100", shallow.fetch, deep.fetch)
	compare(out, "list a page of 50", shallow.list, deep.list)
	return nil
}

// compare holds the deep queue's calls against the shallow one's.
func compare(out *report, what string, shallow, deep []time.Duration) {
	rate := float64(total(shallow)) / float64(total(deep))
	p99 := float64(percentile(deep, 99)) / float64(percentile(shallow, 99))
	out.say(what+", 1,000 ready", "%s", spread(shallow))
	out.say(what+", 1,000,000 ready", "%s", spread(deep))
	out.hold(rate >= 0.9, what+": rate", "0.90", "%.2f of the shallow queue's", rate)
	out.hold(p99 <= 1.5, what+": p99", "1.50", "%.2f times the shallow queue's", p99)
}

func naps(n int, each nap, options ...offstage.Option) iter.Seq[offstage.Args] {
	return func(yield func(offstage.Args) bool) {
		for range n {
			if !yield(offstage.With(each, options...)) {
				return
			}
		}
	}
}

func (q *queueOf) fill(ctx context.Context, n int, out *report) (err error) {
	q.worker, err = q.store.Register(ctx, offstage.WorkerInfo{Name: "measure", Queues: []string{offstage.DefaultQueue}, Kinds: []offstage.Kind{{Name: nap{}.Kind()}}})
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err = q.client.EnqueueMany(ctx, naps(n, nap{})); err != nil {
		return err
	}
	took := time.Since(began)
	out.say(fmt.Sprintf("enqueue %d jobs in one call", n), "%s, %.0f jobs/s", short(took), float64(n)/took.Seconds())
	return q.published(ctx)
}

// published waits until the jobs of a large enqueue can all be claimed: they are
// moved in the background.
func (q *queueOf) published(ctx context.Context) error {
	term, err := q.store.Lead(ctx, q.worker, 10*time.Minute)
	if err != nil {
		return err
	}
	for {
		report, err := q.store.Chore(ctx, term, offstage.Publish, 1000)
		if err != nil {
			return err
		}
		if !report.More && report.Done == 0 {
			return nil
		}
	}
}

// atHand reads all of a SQLite file.
func (q *queueOf) atHand() (err error) {
	if q.kind != sqliteStore {
		return nil
	}
	file, err := os.Open(q.at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(struct{ io.Writer }{io.Discard}, file)
	return err
}

// takeTurns makes as many rounds on the one as on the other.
func takeTurns(ctx context.Context, one, other *queueOf) error {
	for range queueTurns {
		if err := errors.Join(one.turn(ctx), other.turn(ctx)); err != nil {
			return err
		}
		one, other = other, one
	}
	return nil
}

func (q *queueOf) turn(ctx context.Context) error {
	if err := q.atHand(); err != nil {
		return err
	}
	for range turnRounds {
		if err := q.round(ctx); err != nil {
			return err
		}
	}
	return nil
}

// round makes every call some times, and leaves the queue as deep as it was.
func (q *queueOf) round(ctx context.Context) error {
	for range 20 {
		if err := timed(&q.enqueue, func() error {
			_, err := q.client.Enqueue(ctx, nap{})
			return err
		}); err != nil {
			return err
		}
	}
	if err := timed(&q.many, func() error {
		_, err := q.client.EnqueueMany(ctx, naps(180, nap{}))
		return err
	}); err != nil {
		return err
	}
	for range 2 {
		if err := timed(&q.fetch, func() error { return q.cycle(ctx) }); err != nil {
			return err
		}
	}
	for range 10 {
		if err := timed(&q.list, func() error {
			page, err := q.client.List(ctx, offstage.Filter{State: offstage.Ready})
			if err == nil && len(page.Jobs) != 50 {
				err = fmt.Errorf("a page of %d jobs", len(page.Jobs))
			}
			return err
		}); err != nil {
			return err
		}
	}
	_, err := q.store.Beat(ctx, q.worker)
	return err
}

// cycle claims a batch and finishes it.
func (q *queueOf) cycle(ctx context.Context) error {
	q.seq++
	claim, err := q.store.Claim(ctx, offstage.ClaimRequest{
		Worker: q.worker, Seq: q.seq, Pools: []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: claimBatch}},
	})
	if err != nil || len(claim.Jobs) != claimBatch {
		return fmt.Errorf("claimed %d jobs, want %d: %w", len(claim.Jobs), claimBatch, err)
	}
	results := make([]offstage.Result, len(claim.Jobs))
	for i, job := range claim.Jobs {
		results[i] = offstage.Result{Job: job.ID, Run: job.Run, Claim: q.seq, Outcome: offstage.OutcomeCompleted, Next: offstage.Completed, Started: true}
	}
	_, err = q.store.Finish(ctx, offstage.FinishRequest{Worker: q.worker, Results: results, Release: []int64{q.seq}})
	return err
}

// timed adds how long a call took.
func timed(times *[]time.Duration, call func() error) error {
	began := time.Now()
	err := call()
	*times = append(*times, time.Since(began))
	return err
}
