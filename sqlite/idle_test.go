package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/worker"
)

// statements returns how many statements the store's connections have run. All
// of them must be at rest.
func (s *Store) statements() (n int64) {
	for _, free := range []chan *conn{s.reader1, s.readers} {
		for range cap(free) {
			reader := <-free
			if reader != nil {
				n += reader.ran.Load()
			}
			free <- reader
		}
	}
	return n + s.out.ran.Load()
}

// An idle worker, which leads and so does the chores, asks its file at most
// three questions a second, however many queues it serves.
func TestIdleWorkerAsksLittle(t *testing.T) {
	for _, queues := range []int{1, 50} {
		t.Run(fmt.Sprint(queues, " queues"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "idle.db")
			synctest.Test(t, func(t *testing.T) { idle(t, path, queues) })
		})
	}
}

func idle(t *testing.T, path string, queues int) {
	store, err := Open(t.Context(), path, WithoutWatch())
	if err != nil {
		t.Fatal(err)
	}
	store.watching.Add(1) // nobody else is there to be watched
	pool := worker.Pool{}
	for n := range queues {
		pool.Queues = append(pool.Queues, fmt.Sprint("queue_", n))
	}
	w, err := worker.New(store, worker.Config{Pools: []worker.Pool{pool}})
	if err != nil {
		t.Fatal(err)
	}
	worker.HandleNamed(w, "echo", func(context.Context, *offstage.Job[string]) error { return nil })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()

	<-time.After(time.Minute) // what a start brings with it is over
	synctest.Wait()
	before := store.statements()
	<-time.After(10 * time.Minute)
	synctest.Wait()
	asked := store.statements() - before
	t.Logf("%.2f statements a second", float64(asked)/600)
	if asked > 3*600 {
		t.Errorf("%d statements in ten idle minutes; want at most three a second", asked)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// While nobody commits, a beat asks the file nothing, and still tells what peers of
// this process do; what anybody commits it tells at once.
func TestBeatsWhileStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openFile(t, WithoutWatch())
		s.watching.Add(1) // nobody else is there to be watched
		var ids [2]offstage.WorkerID
		for i := range ids {
			var err error
			if ids[i], err = s.Register(t.Context(), offstage.WorkerInfo{}); err != nil {
				t.Fatal(err)
			}
		}
		me, other := ids[0], ids[1]
		beat := func(worker offstage.WorkerID, asks bool) offstage.Beat {
			t.Helper()
			synctest.Wait() // the writer is at rest
			before := s.statements()
			beat, err := s.Beat(t.Context(), worker)
			if err != nil {
				t.Fatal(err)
			}
			if asked := s.statements() > before; asked != asks {
				t.Errorf("the beat asked the file: %t, want %t", asked, asks)
			}
			return beat
		}

		first := beat(me, true)
		beat(other, true)
		again := beat(me, false)
		if len(first.Peers) != 1 || len(again.Peers) != 1 || again.Peers[0].Counter == first.Peers[0].Counter {
			t.Errorf("the peer has beaten in between, but it was %+v and is %+v", first.Peers, again.Peers)
		}

		job, err := s.Insert(t.Context(), []offstage.NewJob{echoJob()})
		if err != nil {
			t.Fatal(err)
		}
		claim, err := s.Claim(t.Context(), offstage.ClaimRequest{Worker: me, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 1}}})
		if err != nil || len(claim.Jobs) != 1 {
			t.Fatalf("claimed %d jobs, %v", len(claim.Jobs), err)
		}
		if held := beat(me, true).Held; len(held) != 1 || len(beat(me, false).Held) != 1 {
			t.Errorf("holds the claims %v, want one", held)
		}
		if _, err := s.Apply(t.Context(), offstage.Change{Verb: offstage.VerbCancel, Job: job[0].ID}); err != nil {
			t.Fatal(err)
		}
		if cancels := beat(me, true).Cancels; len(cancels) != 1 {
			t.Errorf("cancels %v, want one", cancels)
		}
		<-time.After(believeBeat)
		beat(me, true)

		if err := s.Unregister(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Beat(t.Context(), other); !errors.Is(err, offstage.ErrGone) {
			t.Errorf("a beat of a worker that has left: %v, want ErrGone", err)
		}
		if peers := beat(me, true).Peers; len(peers) != 0 {
			t.Errorf("peers %+v, want none", peers)
		}
	})
}

// leading returns a store that is watched, or believes so, and its term.
func leading(t *testing.T, s *Store) (term int64) {
	t.Helper()
	id, err := s.Register(t.Context(), offstage.WorkerInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if term, err = s.Lead(t.Context(), id, time.Hour); err != nil || term == 0 {
		t.Fatalf("term %d, %v", term, err)
	}
	return term
}

// nothingDue makes sure that nothing waits for its time, and that this is
// believed from then on.
func nothingDue(t *testing.T, s *Store, term int64) {
	t.Helper()
	for known := false; !known; _, _, known = s.recall(question{text: sqlProbePromote}, believeDue) {
		if report, err := s.Chore(t.Context(), term, offstage.Promote, 10); err != nil || report != (offstage.ChoreReport{}) {
			t.Fatalf("%+v, %v; want nothing to do", report, err)
		}
	}
}

// What was found is no longer believed once this store commits, another does, or
// too long a time has passed.
func TestStillness(t *testing.T) {
	soon := echoJob()
	soon.Delay = time.Minute
	wantNext := func(t *testing.T, s *Store, term int64) {
		t.Helper()
		if report, err := s.Chore(t.Context(), term, offstage.Promote, 10); err != nil || report.Next <= 0 {
			t.Errorf("%+v, %v; want the time of the job that is due next", report, err)
		}
	}
	t.Run("own commit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := openFile(t, WithoutWatch())
			s.watching.Add(1)
			term := leading(t, s)
			nothingDue(t, s, term)
			if _, err := s.Insert(t.Context(), []offstage.NewJob{soon}); err != nil {
				t.Fatal(err)
			}
			wantNext(t, s, term)
		})
	})
	t.Run("age", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := openFile(t, WithoutWatch())
			s.watching.Add(1)
			nothingDue(t, s, leading(t, s))
			<-time.After(believeDue)
			if _, _, known := s.recall(question{text: sqlProbePromote}, believeDue); known {
				t.Error("an old answer is believed")
			}
		})
	})
	t.Run("another's commit", func(t *testing.T) {
		s := openFile(t)
		other, err := Open(t.Context(), s.at.path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }() // what it did is done
		ctx, stop := context.WithCancel(t.Context())
		begun, heard, ended := make(chan struct{}), make(chan struct{}, 100), make(chan error)
		go func() {
			ended <- s.Watch(ctx, func() { close(begun) }, func(offstage.News) { heard <- struct{}{} })
		}()
		<-begun
		term := leading(t, s)
		nothingDue(t, s, term)
		if _, err := other.Insert(t.Context(), []offstage.NewJob{soon}); err != nil {
			t.Fatal(err)
		}
		// Each piece of news is worth a look; without one that finds the job this
		// waits until the test's time is up.
		for report := (offstage.ChoreReport{}); report.Next <= 0; {
			<-heard
			if report, err = s.Chore(t.Context(), term, offstage.Promote, 10); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
