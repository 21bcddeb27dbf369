package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// refused opens a path that cannot be opened, and checks what the error says.
func refused(t *testing.T, path string, says ...string) error {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err == nil {
		_ = store.Close()
		t.Fatalf("%s was opened", path)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
	return err
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none", "jobs.db")
	refused(t, missing, "there is no folder "+filepath.Dir(missing))
	refused(t, dir, "it is a folder")
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, text, text, "not a SQLite database")
	refused(t, filepath.Join(text, "jobs.db"), "is not a folder")
	var invalid *offstage.InvalidError
	if err := refused(t, "", "path"); !errors.As(err, &invalid) {
		t.Errorf("an empty path: %v, want an InvalidError", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if store, err := sqlite.Open(ended, filepath.Join(dir, "jobs.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v, %v", store, err)
	}
}

func TestOpenRefusesNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	store := open(t, path)
	if _, err := store.DB().Exec(`UPDATE offstage_schema SET version = 4711`); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, path, "4711"); !errors.Is(err, offstage.ErrNewerSchema) {
		t.Errorf("got %v, want ErrNewerSchema", err)
	}
	if err := store.Migrate(t.Context()); !errors.Is(err, offstage.ErrNewerSchema) {
		t.Errorf("migrate: got %v, want ErrNewerSchema", err)
	}
}

// The file may belong to an application with a schema and a version of its own.
func TestOpenLeavesTheApplicationsSchemaAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	app, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Exec(`CREATE TABLE job (title TEXT); INSERT INTO job VALUES ('clerk'); PRAGMA user_version = 7`); err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	store := open(t, path)
	insert(t, store, 1)
	var title string
	var version int
	if err := store.DB().QueryRow(`SELECT title FROM job`).Scan(&title); err != nil || title != "clerk" {
		t.Errorf("the application's table: %q, %v", title, err)
	}
	if err := store.DB().QueryRow(`PRAGMA user_version`).Scan(&version); err != nil || version != 7 {
		t.Errorf("the application's version: %d, %v", version, err)
	}
}

func TestOpenPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	relative := open(t, "a job's #1 + 100% & file?.db")
	id := insert(t, relative, 1)[0]
	absolute, err := filepath.Abs("a job's #1 + 100% & file?.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(absolute, "link.db"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{absolute, "link.db"} {
		same := open(t, path)
		if _, err := same.Get(t.Context(), id); err != nil {
			t.Errorf("%s: get: %v", path, err)
		}
	}
	if _, err := os.Stat("link.db-offstage"); err == nil {
		t.Error("a link has locks of its own")
	}
	for path, mode := range map[string]os.FileMode{absolute: 0o600, absolute + "-wal": 0o600, absolute + "-offstage": 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, info.Mode(), err, mode)
		}
	}
}

func TestOpenTwiceInMemory(t *testing.T) {
	first, second := open(t, ":memory:"), open(t, ":memory:")
	insert(t, first, 2)
	if n := count(t, second, offstage.Filter{}); n != 0 {
		t.Errorf("a database in memory has %d jobs of another", n)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "jobs.db"), ":memory:"} {
		store := open(t, path)
		worker := register(t, store)
		insert(t, store, 1)
		for range 2 {
			if err := store.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
		}
		_, inserted := store.Insert(t.Context(), []offstage.NewJob{echo()})
		_, got := store.Get(t.Context(), 1)
		_, beat := store.Beat(t.Context(), worker)
		watched := store.Watch(t.Context(), func() {}, func(offstage.News) {})
		for call, err := range map[string]error{"insert": inserted, "get": got, "beat": beat, "watch": watched} {
			if !errors.Is(err, offstage.ErrClosed) {
				t.Errorf("%s: %s after the close: %v, want ErrClosed", path, call, err)
			}
		}
		if path != ":memory:" {
			if _, err := os.Stat(path + "-wal"); err == nil {
				t.Error("the log was not moved into the file")
			}
		}
	}
}
