//go:build unix

package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// The environment of a child process that walks over many rows.
const (
	loopStore = "OFFSTAGE_TEST_LOOP_STORE" // the store's path; what was handled is noted beside it
	loopRows  = "OFFSTAGE_LOOP_ROWS"
)

// saveRows is how many rows may be handled twice after a kill.
const saveRows = 1000

// walk handles every row by a write to a file, in the order of the ids, which it
// reads by pages. Without a cursor it begins at the start.
func walk(ctx context.Context, store *sqlite.Store, rows int64, noted *os.File, cursor *offstage.Cursor[int64]) error {
	var last int64
	if cursor != nil {
		last, _ = cursor.Value()
	}
	note := make([]byte, 8)
	for last < rows {
		page, err := store.DB().QueryContext(ctx, "SELECT id FROM item WHERE id > ? ORDER BY id LIMIT 1000", last)
		if err != nil {
			return err
		}
		for page.Next() && err == nil {
			if err = page.Scan(&last); err != nil {
				break
			}
			binary.LittleEndian.PutUint64(note, uint64(last))
			if _, err = noted.Write(note); err == nil && cursor != nil {
				err = cursor.Set(ctx, last)
			}
		}
		if err := errors.Join(err, page.Err(), page.Close()); err != nil {
			return err
		}
	}
	return nil
}

// openLoop opens the store of a loop and the file in which it notes what it has
// handled.
func openLoop(ctx context.Context, path string) (*sqlite.Store, *os.File, error) {
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	noted, err := os.OpenFile(path+".noted", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return store, noted, err
}

// loopChild walks over the rows until it is killed.
func loopChild(path string) error {
	ctx := context.Background()
	store, noted, err := openLoop(ctx, path)
	if err != nil {
		return err
	}
	w, err := worker.New(store, worker.Config{})
	if err != nil {
		return err
	}
	worker.HandleNamed(w, "walk", func(ctx context.Context, job *offstage.Job[int64]) error {
		cursor, err := offstage.OpenCursor[int64](ctx, "rows", offstage.SaveEvery(0, saveRows))
		if err != nil {
			return err
		}
		return walk(ctx, store, job.Args, noted, cursor)
	})
	return w.Run(ctx)
}

func init() {
	billing := childMain
	childMain = func() bool {
		if path := os.Getenv(loopStore); path != "" {
			fmt.Fprintln(os.Stderr, loopChild(path))
			return true
		}
		return billing()
	}
}

// fillItems makes a store with a table of rows.
func fillItems(t *testing.T, rows int) (*sqlite.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loop.db")
	store, noted, err := openLoop(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(noted.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	const insert = "CREATE TABLE item (id INTEGER PRIMARY KEY); WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < %d) INSERT INTO item SELECT id FROM n"
	if _, err := store.DB().Exec(fmt.Sprintf(insert, rows)); err != nil {
		t.Fatal(err)
	}
	return store, path
}

// rowsOf is how many rows the loops of these tests have.
func rowsOf(t *testing.T, byDefault int) int {
	t.Helper()
	if text := os.Getenv(loopRows); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", loopRows, err)
		}
		return n
	}
	return byDefault
}

// A loop that is killed twenty times handles every row, and few of them twice.
func TestLoopKilled(t *testing.T) {
	const kills = 20
	rows := rowsOf(t, 200_000)
	store, path := fillItems(t, rows)
	receipt, err := offstage.NewClient(store).Enqueue(t.Context(), offstage.Named("walk", rows))
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for n := 1; ; n++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), loopStore+"="+path)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if n <= kills && passes(t, path, int64(n*rows/(kills+1)), rows) {
			killed++
		} else if _, err := receipt.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		if n > kills {
			break
		}
	}
	twice := countNoted(t, path, rows)
	job, err := offstage.NewClient(store).Get(t.Context(), receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows, %d kills, %d attempts: %d rows were handled twice, %d at most were promised", rows, killed, job.Run, twice, killed*saveRows)
	if killed != kills || twice > killed*saveRows || job.State != offstage.Completed {
		t.Errorf("%d kills, %d rows handled twice; the job is %s", killed, twice, job.State)
	}
}

// passes returns when the loop has noted so many rows and a random few more, true,
// or when it has noted all.
func passes(t *testing.T, path string, rows int64, all int) bool {
	t.Helper()
	rows += rand.Int64N(int64(saveRows))
	look := time.NewTicker(200 * time.Microsecond)
	defer look.Stop()
	deadline := time.NewTimer(patient)
	defer deadline.Stop()
	for {
		info, err := os.Stat(path + ".noted")
		if err != nil {
			t.Fatal(err)
		}
		if n := info.Size() / 8; n >= int64(all) {
			return false
		} else if n >= rows {
			return true
		}
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatal("the loop does not come on")
		}
	}
}

// countNoted checks that each row was handled, and returns how many more than once
// the loop handled rows.
func countNoted(t *testing.T, path string, rows int) int {
	t.Helper()
	notes, err := os.ReadFile(path + ".noted")
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]int, rows+1)
	for ; len(notes) >= 8; notes = notes[8:] {
		seen[binary.LittleEndian.Uint64(notes)]++
	}
	twice := 0
	for row, n := range seen[1:] {
		if n == 0 {
			t.Fatalf("row %d was never handled", row+1)
		}
		twice += n - 1
	}
	return twice
}

// BenchmarkLoop walks over a million rows with a cursor that is saved as by default,
// and without one. An iteration is a row.
func BenchmarkLoop(b *testing.B) {
	for _, name := range []string{"bare", "cursor"} {
		b.Run(name, func(b *testing.B) { benchLoop(b, name == "cursor") })
	}
}

func benchLoop(b *testing.B, withCursor bool) {
	store, noted, err := openLoop(b.Context(), filepath.Join(b.TempDir(), "loop.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = errors.Join(noted.Close(), store.Close()) }() // nothing of it is kept
	const insert = "CREATE TABLE item (id INTEGER PRIMARY KEY); WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < %d) INSERT INTO item SELECT id FROM n"
	if _, err := store.DB().Exec(fmt.Sprintf(insert, b.N)); err != nil {
		b.Fatal(err)
	}
	w, err := worker.New(store, worker.Config{})
	if err != nil {
		b.Fatal(err)
	}
	worker.HandleNamed(w, "walk", func(ctx context.Context, job *offstage.Job[int64]) (err error) {
		var cursor *offstage.Cursor[int64]
		if withCursor {
			if cursor, err = offstage.OpenCursor[int64](ctx, "rows"); err != nil {
				return err
			}
		}
		b.ResetTimer()
		defer b.StopTimer()
		return walk(ctx, store, job.Args, noted, cursor)
	})
	receipt, err := offstage.NewClient(store).Enqueue(b.Context(), offstage.Named("walk", b.N))
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(b.Context()) }()
	if _, err := receipt.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	w.Stop(false)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
