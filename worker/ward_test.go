package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// span is a job that takes its time.
type span struct {
	Name  string        `json:"name"`
	Takes time.Duration `json:"takes"`
}

func (span) Kind() string { return "span" }

// spans runs jobs of a worker with a lease of ten seconds, which keeps a suspect
// apart for one, and notes when each
// starts and ends, in seconds from the beginning.
func spans(t *testing.T, store offstage.Store) (r *rig, seen *journal) {
	r, seen = newRig(t, store, worker.Config{Lease: 10 * time.Second}), &journal{}
	began := time.Now()
	worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[span]) error {
		note := func(what string) {
			seen.add(fmt.Sprintf("%s %s %.1f", job.Args.Name, what, time.Since(began).Seconds()))
		}
		note("starts")
		tick(job.Args.Takes)
		note("ends")
		return nil
	})
	return r, seen
}

// suspect enqueues a job of which two workers have died, to start after a while.
func suspect(r *rig, store offstage.Store, job span, after time.Duration) {
	r.Helper()
	id := r.enqueue(job)
	for range offstage.SuspectLost {
		die(r.T, store)
	}
	if after == 0 {
		return
	}
	if _, err := r.client.Reschedule(r.Context(), id, time.Now().Add(after)); err != nil {
		r.Fatal(err)
	}
}

// A suspect starts when what started shortly before has ended, and nothing starts
// shortly after it.
func TestASuspectIsKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r, seen := spans(t, store)
		const soon = 200 * time.Millisecond
		suspect(r, store, span{"suspect", 800 * time.Millisecond}, soon)
		r.enqueue(span{"early", 300 * time.Millisecond})
		r.enqueue(span{"after", 200 * time.Millisecond}, offstage.Priority(0), offstage.After(soon))
		r.run()
		tick(soon + 50*time.Millisecond)
		late := r.enqueue(span{"late", 100 * time.Millisecond})
		r.await(late, offstage.Completed)
		tick(time.Second)
		r.endWell()
		lines := seen.all()
		slices.Sort(lines)
		want := "after ends 1.3, after starts 1.1, early ends 0.3, early starts 0.0, late ends 1.2, late starts 1.1, suspect ends 1.1, suspect starts 0.3"
		if got := strings.Join(lines, ", "); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}

// What was claimed before a suspect came and could not start yet does not start
// beside it either.
func TestWhatReadsItsArgumentsWaitsForASuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := faultstore.Wrap(offstagetest.NewStore())
		r, seen := spans(t, store)
		suspect(r, store, span{"suspect", 500 * time.Millisecond}, 100*time.Millisecond)
		r.enqueue(span{"large" + strings.Repeat(" ", 9000), time.Second})
		store.Break(faultstore.Fault{Method: "LoadArgs", Mode: faultstore.Slow, Delay: 300 * time.Millisecond})
		r.run()
		tick(3 * time.Second)
		r.endWell()
		want := "suspect starts 0.1, suspect ends 0.6, large starts 0.6, large ends 1.6"
		if got := strings.ReplaceAll(strings.Join(seen.all(), ", "), strings.Repeat(" ", 9000), ""); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}

// What is claimed with a suspect is handed back before that starts, so that its
// process's death is none of theirs, and nobody waits for a lease to run it.
func TestWhatIsClaimedWithASuspectIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		dies := newMortal(t, store, worker.Config{Lease: 10 * time.Second, Grace: -1})
		worker.Handle(dies.worker, func(context.Context, *offstage.Job[lethal]) error {
			dies.kill()
			return errKilled
		})
		poison := dies.enqueue(lethal{Poison: true})
		for range offstage.SuspectLost {
			die(t, store)
		}
		var others []offstage.ID
		for range 3 {
			others = append(others, dies.enqueue(lethal{}))
		}
		dies.store.Break(faultstore.Fault{Method: "Finish", Mode: faultstore.Slow, Delay: time.Second})
		dies.run()
		<-dies.dead
		_ = dies.end() // it names what it could not hand back

		began := time.Now()
		r := newRig(t, store, worker.Config{Lease: 10 * time.Second})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[lethal]) error { return nil })
		r.run()
		for _, id := range others {
			if details := r.await(id, offstage.Completed); len(details.Attempts) != 2 || details.Attempts[0].Outcome != offstage.OutcomeInterrupted {
				t.Errorf("job %d: %s; want it interrupted and completed", id, story(details))
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the others were completed after %s: they waited for a lease", took)
		}
		r.await(poison, offstage.Failed)
		r.endWell()
	})
}

// Where suspects come one after the other, what was claimed with the first is not
// handed back for each of them.
func TestSuspectsAndOthersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r, seen := spans(t, store)
		for _, name := range []string{"first", "second", "third"} {
			r.enqueue(span{name, 200 * time.Millisecond})
		}
		for range offstage.SuspectLost {
			die(t, store)
		}
		r.enqueue(span{"other", 300 * time.Millisecond})
		r.run()
		tick(3 * time.Second)
		r.endWell()
		want := "first starts 0.0, first ends 0.2, other starts 0.2, other ends 0.5, second starts 0.5, second ends 0.7, third starts 0.7, third ends 0.9"
		if got := strings.Join(seen.all(), ", "); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}

// Suspects that a worker has left to others are looked for when its own has ended.
func TestSuspectsThatWereLeftAreLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := silent{offstagetest.NewStore()}
		r, seen := spans(t, store)
		r.enqueue(span{"suspect", 2 * time.Second})
		suspect(r, store, span{"suspect", 2 * time.Second}, 0)
		r.run()
		tick(4500 * time.Millisecond)
		r.endWell()
		want := "suspect starts 0.0, suspect ends 2.0, suspect starts 2.0, suspect ends 4.0"
		if got := strings.Join(seen.all(), ", "); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	})
}

// What runs for longer than a tenth of a lease holds up neither a suspect nor, if it is one,
// the others.
func TestNobodyIsKeptApartForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		r, seen := spans(t, store)
		suspect(r, store, span{"suspect", time.Hour}, 8*time.Second)
		r.enqueue(span{"long", time.Hour})
		r.run()
		tick(7500 * time.Millisecond)
		r.enqueue(span{"early", time.Minute}) // young when the suspect comes
		tick(900 * time.Millisecond)
		late := r.enqueue(span{"late", time.Second})
		r.await(late, offstage.Completed)
		want := "long starts 0.0, early starts 7.5, suspect starts 8.5, late starts 9.5, late ends 10.5"
		if got := strings.Join(seen.all(), ", "); got != want {
			t.Errorf("%s; want %s", got, want)
		}
		tick(time.Hour)
		r.endWell()
	})
}

// mortal is a worker process that a handler can kill: from then on it reaches no
// store, and its handlers are gone.
type mortal struct {
	*rig
	store *faultstore.Store
	once  sync.Once
	dead  chan struct{}
}

func newMortal(t *testing.T, store offstage.Store, config worker.Config) *mortal {
	faulty := faultstore.Wrap(store)
	return &mortal{rig: newRig(t, faulty, config), store: faulty, dead: make(chan struct{})}
}

func (m *mortal) kill() {
	m.once.Do(func() {
		m.store.Break(faultstore.Fault{Mode: faultstore.Before})
		close(m.dead)
		m.stop()
	})
}

var errKilled = errors.New("nobody hears this: the process is gone")

// works lets time pass in a handler, while its process lives.
func (m *mortal) works(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-m.dead:
		return errKilled
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lethal is a job that kills its process after a time, if it is poison.
type lethal struct {
	Poison bool          `json:"poison"`
	Takes  time.Duration `json:"takes"`
}

func (lethal) Kind() string { return "lethal" }

// plague runs processes and starts another for each that was killed, until it is
// over.
type plague struct {
	*testing.T
	store  *offstagetest.Store
	config worker.Config

	mu    sync.Mutex
	kills map[offstage.ID]int // guarded by mu
	over  bool                // guarded by mu
	all   sync.WaitGroup
	procs []*mortal // guarded by mu
}

func (p *plague) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	m := newMortal(p.T, p.store, p.config)
	worker.Handle(m.worker, func(ctx context.Context, job *offstage.Job[lethal]) error {
		if err := m.works(ctx, job.Args.Takes); err != nil || !job.Args.Poison {
			return err
		}
		p.mu.Lock()
		p.kills[job.ID]++
		p.mu.Unlock()
		m.kill()
		return errKilled
	}, worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return 0 }}))
	p.procs = append(p.procs, m)
	m.run()
	p.all.Go(func() {
		select {
		case <-m.dead:
			tick(100 * time.Millisecond)
			p.start()
		case <-p.Context().Done():
		}
	})
}

// end ends the processes; those that were killed cannot end well.
func (p *plague) end() {
	p.mu.Lock()
	p.over = true
	procs := p.procs
	p.mu.Unlock()
	for _, m := range procs {
		m.once.Do(func() { close(m.dead) })
		_ = m.end() // it names jobs that it could not hand back
	}
	p.all.Wait()
}

// Jobs that kill their processes, many of them and all different, fail after at
// most three kills each; and of the others, which are in the same processes all
// the time, none does.
func TestManyPoisonsFailNoNeighbour(t *testing.T) {
	for _, every := range []int{3, 8, 30} {
		t.Run(fmt.Sprint("one in ", every), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { ravage(t, every) })
		})
	}
}

// ravage runs jobs of which one in so many is poison. None takes as long as a
// tenth of a lease.
func ravage(t *testing.T, every int) {
	p := &plague{T: t, store: offstagetest.NewStore(), kills: map[offstage.ID]int{}, config: worker.Config{
		Lease: 10 * time.Second, Grace: -1, Pools: []worker.Pool{{Queues: []string{offstage.DefaultQueue}, Slots: 10}},
	}}
	client := offstage.NewClient(p.store)
	poison := map[offstage.ID]bool{}
	var ids []offstage.ID
	for n := range 200 {
		job := lethal{Poison: n%every == every-1, Takes: time.Duration(n*37%900) * time.Millisecond}
		if job.Poison {
			job.Takes /= 3
		}
		receipt, err := client.Enqueue(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		ids, poison[receipt.ID] = append(ids, receipt.ID), job.Poison
	}
	for range 4 {
		p.start()
	}
	for _, id := range ids {
		wait, cancel := context.WithTimeout(t.Context(), time.Hour)
		_, err := client.Receipt(id).Wait(wait)
		cancel()
		if failed := err != nil; failed != poison[id] {
			details, _ := client.Get(t.Context(), id)
			t.Errorf("job %d, poison %t: %v, after %s", id, poison[id], err, story(details))
		}
	}
	p.end()
	for id, kills := range p.kills {
		if kills > offstage.MaxLost {
			t.Errorf("job %d killed %d processes", id, kills)
		}
	}
	if err := p.store.Close(); err != nil {
		t.Error(err)
	}
}

func story(details offstage.Details) (text string) {
	for _, a := range details.Attempts {
		text += fmt.Sprintf("%d %s by %d, ", a.Run, a.Outcome, a.Worker)
	}
	return text
}
