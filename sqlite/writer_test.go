package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	lib "modernc.org/sqlite/lib"
)

func openFile(t *testing.T, opts ...Option) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "jobs.db"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func echoJob() offstage.NewJob {
	return offstage.NewJob{Kind: "echo", Queue: "default", Priority: 5, Args: []byte(`{}`)}
}

// onWriter runs a function on the writer's connection.
func onWriter(t *testing.T, s *Store, do func(*conn)) {
	t.Helper()
	if err := s.write(t.Context(), "test", func(x *tx) error { do(x.session.(*conn)); return nil }); err != nil {
		t.Fatal(err)
	}
}

// What comes together is committed together, and what fails, fails alone.
func TestGroupsCommitTogetherAndFailAlone(t *testing.T) {
	synctest.Test(t, groupsCommitTogether)
}

func groupsCommitTogether(t *testing.T) {
	s := openFile(t, WithoutWatch())
	s.mustInsert(t, 5)
	worker, err := s.Register(t.Context(), offstage.WorkerInfo{})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(seq int64) error {
		_, err := s.Claim(context.Background(), offstage.ClaimRequest{
			Worker: worker, Seq: seq, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 1}},
		})
		return err
	}
	if err := claim(1); err != nil {
		t.Fatal(err)
	}
	if err := s.site.gate.lock(t.Context()); err != nil { // all of the following waits
		t.Fatal(err)
	}
	const inserts = 8
	errs := make([]error, inserts+2)
	var group sync.WaitGroup
	for i := range inserts {
		group.Go(func() { _, errs[i] = s.Insert(context.Background(), []offstage.NewJob{echoJob()}) })
	}
	group.Go(func() { errs[inserts] = claim(1) }) // a number that was used: it cannot be stored
	group.Go(func() {
		_, errs[inserts+1] = s.Apply(context.Background(), offstage.Change{Verb: offstage.VerbCancel, Job: 4711})
	})
	synctest.Wait() // for the last of them to queue
	if err := s.site.gate.unlock(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	for i, err := range errs[:inserts] {
		if err != nil {
			t.Errorf("insert %d: %v", i, err)
		}
	}
	if offstage.ClassOf(errs[inserts]) != offstage.FaultData {
		t.Errorf("a claim with a used number: %v, want a FaultData", errs[inserts])
	}
	if !errors.Is(errs[inserts+1], offstage.ErrNotFound) {
		t.Errorf("cancel of nothing: %v, want ErrNotFound", errs[inserts+1])
	}
	if page, err := s.List(t.Context(), offstage.Filter{State: offstage.Ready}); err != nil || len(page.Jobs) != 4+inserts {
		t.Errorf("%d ready jobs, %v; want %d: the claim that failed took one", len(page.Jobs), err, 4+inserts)
	}
}

// Inserts of many callers are stored in few statements, and each gets its own ids.
func TestInsertsOfManyAreStoredTogether(t *testing.T) {
	synctest.Test(t, insertsTogether)
}

func insertsTogether(t *testing.T) {
	s := openFile(t, WithoutWatch())
	s.mustInsert(t, 1)
	if err := s.site.gate.lock(t.Context()); err != nil { // all of the following waits
		t.Fatal(err)
	}
	before := s.out.ran.Load()
	const callers, each = 32, 2
	got := make([][]offstage.Inserted, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			first, second := echoJob(), echoJob()
			first.Args, second.Args = fmt.Appendf(nil, `[%d,0]`, i), fmt.Appendf(nil, `[%d,1]`, i)
			if i == callers/2 {
				first.Delay = time.Hour // not of the usual kind
			}
			var err error
			if got[i], err = s.Insert(context.Background(), []offstage.NewJob{first, second}); err != nil {
				t.Error(err)
			}
		})
	}
	synctest.Wait() // for the last of them to queue
	if err := s.site.gate.unlock(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if ran := s.out.ran.Load() - before; ran >= callers*each {
		t.Errorf("%d statements for %d jobs", ran, callers*each)
	}
	for i, inserted := range got {
		for n, job := range inserted {
			args, err := s.LoadArgs(t.Context(), job.ID)
			if want := fmt.Sprintf(`[%d,%d]`, i, n); err != nil || string(args) != want {
				t.Errorf("job %d has the arguments %s, %v; want %s", job.ID, args, err, want)
			}
		}
	}
}

func (s *Store) mustInsert(t *testing.T, n int) {
	t.Helper()
	for range n {
		if _, err := s.Insert(t.Context(), []offstage.NewJob{echoJob()}); err != nil {
			t.Fatal(err)
		}
	}
}

// diskError is an error as the driver has it.
type diskError int

func (e diskError) Error() string { return "disk I/O error" }
func (e diskError) Code() int     { return int(e) }

// brokenCommit is the statement COMMIT on a disk whose fsync fails.
type brokenCommit struct{ driver.Stmt }

func (brokenCommit) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	return nil, diskError(lib.SQLITE_IOERR_FSYNC)
}

// An acknowledged write has reached the disk, whichever connection it went over.
func TestEveryCommitIsSynced(t *testing.T) {
	s := openFile(t)
	const question, full = "PRAGMA synchronous", 2
	onWriter(t, s, func(c *conn) {
		if got, err := first(c.rows(question)); err != nil || got.num(0) != full {
			t.Errorf("the writer's level is %v, %v; want %d", got, err, full)
		}
	})
	var got int
	if err := s.DB().QueryRow(question).Scan(&got); err != nil || got != full {
		t.Errorf("the application's level is %d, %v; want %d", got, err, full)
	}
}

// After a failed fsync nothing is acknowledged any more, though SQLite would go
// on; reads do.
func TestFailedSyncStopsAcknowledging(t *testing.T) {
	s := openFile(t)
	s.mustInsert(t, 1)
	var real driver.Stmt
	onWriter(t, s, func(c *conn) {
		real = c.stmts[sqlCommit]
	})
	err := s.write(t.Context(), "test", func(x *tx) error {
		c := x.session.(*conn)
		c.stmts[sqlCommit] = brokenCommit{real}
		_, err := x.insert([]offstage.NewJob{echoJob()})
		return err
	})
	if offstage.ClassOf(err) != offstage.FaultUnknown {
		t.Errorf("the commit that failed: %v, want a FaultUnknown", err)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("the store does not say that it has failed")
	}
	if _, err := s.Insert(t.Context(), []offstage.NewJob{echoJob()}); offstage.ClassOf(err) != offstage.FaultDown {
		t.Errorf("a write after it: %v, want a FaultDown", err)
	}
	if page, err := s.List(t.Context(), offstage.Filter{}); err != nil || len(page.Jobs) != 1 {
		t.Errorf("a read after it: %d jobs, %v; want 1", len(page.Jobs), err)
	}
}

// A full disk refuses what is too much, says so, and goes on with what fits.
func TestFullDiskRefusesAndGoesOn(t *testing.T) {
	s := openFile(t)
	s.mustInsert(t, 1)
	onWriter(t, s, func(c *conn) {
		pages, err := first(c.rows(`PRAGMA page_count`))
		if err == nil {
			_, err = first(c.rows(`PRAGMA max_page_count = ` + offstage.ID(pages.num(0)+10).String()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	great := echoJob()
	great.Args = make([]byte, 1<<20)
	for i := range great.Args {
		great.Args[i] = '1'
	}
	_, err := s.Insert(t.Context(), []offstage.NewJob{great})
	if offstage.ClassOf(err) != offstage.FaultBusy {
		t.Errorf("more than there is room for: %v, want a FaultBusy", err)
	}
	s.mustInsert(t, 3)
	if page, err := s.List(t.Context(), offstage.Filter{}); err != nil || len(page.Jobs) != 4 {
		t.Errorf("%d jobs, %v; want 4", len(page.Jobs), err)
	}
}

// The calls of an idle worker and leader write nothing.
func TestIdleWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openFile(t, WithoutWatch())
		worker, err := s.Register(t.Context(), offstage.WorkerInfo{Queues: []string{"default"}, Kinds: []offstage.Kind{{Name: "echo"}}})
		if err != nil {
			t.Fatal(err)
		}
		term, err := s.Lead(t.Context(), worker, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		idle := func() {
			t.Helper()
			for range 20 {
				<-time.After(time.Second)
				_, beat := s.Beat(t.Context(), worker)
				again, lead := s.Lead(t.Context(), worker, time.Hour)
				if again != term {
					t.Errorf("term %d, want %d", again, term)
				}
				_, claim := s.Claim(t.Context(), offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 1}}})
				err := errors.Join(beat, lead, claim)
				for chore := offstage.Promote; chore <= offstage.Count; chore++ {
					_, chored := s.Chore(t.Context(), term, chore, 100)
					err = errors.Join(err, chored)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		idle() // the first count is noted
		before := s.out.writes
		idle()
		if wrote := s.out.writes - before; wrote != 0 {
			t.Errorf("an idle worker wrote %d times", wrote)
		}
	})
}

// The log is moved into the file and begun anew, so that it does not grow for
// ever while jobs come and go.
func TestLogStaysShort(t *testing.T) {
	s := openFile(t)
	great := echoJob()
	great.Args = make([]byte, 8<<10)
	for i := range great.Args {
		great.Args[i] = '1'
	}
	for range 40 {
		jobs := make([]offstage.NewJob, 50)
		for i := range jobs {
			jobs[i] = great
		}
		if _, err := s.Insert(t.Context(), jobs); err != nil {
			t.Fatal(err)
		}
		look := flow{store: s}
		if err := look.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		look.close()
	}
	info, err := os.Stat(s.at.wal())
	if err != nil {
		t.Fatal(err)
	}
	if written := int64(40 * 50 * 8 << 10); info.Size() > written/2 {
		t.Errorf("the log has %d bytes after %d bytes of jobs", info.Size(), written)
	}
}

// A long look at the database neither waits for writers nor makes them wait.
func TestReadersAndWritersDoNotWait(t *testing.T) {
	s := openFile(t)
	s.mustInsert(t, 3)
	err := s.read(t.Context(), "look for long", func(ses session) error {
		for r, err := range ses.rows(`SELECT id FROM offstage_job`) {
			if err != nil {
				return err
			}
			if r.num(0) > 3 {
				t.Error("a look sees what came after it began")
			}
			s.mustInsert(t, 1)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if page, err := s.List(t.Context(), offstage.Filter{}); err != nil || len(page.Jobs) != 6 {
		t.Errorf("%d jobs, %v; want 6", len(page.Jobs), err)
	}
}

// Lock files of workers that are long gone are swept away when a store is opened.
func TestLeftLocksAreSwept(t *testing.T) {
	s := openFile(t)
	worker, err := s.Register(t.Context(), offstage.WorkerInfo{})
	if err != nil {
		t.Fatal(err)
	}
	left := s.lockPath(worker + 1000)
	for _, path := range []string{left, s.lockPath(worker)} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.sweepLocks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the lock of a worker that nobody knows was left")
	}
	if _, err := os.Stat(s.lockPath(worker)); err != nil {
		t.Errorf("the lock of a living worker: %v", err)
	}
}
