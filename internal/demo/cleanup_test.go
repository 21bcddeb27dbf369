package demo

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// The clean-up removes the files of nobody's jobs and of jobs that ended long
// ago, and nothing else, whoever put it there.
func TestCleanUp(t *testing.T) {
	s := start(t)
	path := s.upload("a.csv", strings.NewReader("a\n1\n")).header.Get("Location")
	s.awaitState(path, offstage.Completed)
	wanted := s.uploads()[0]
	folder := filepath.Dir(wanted)
	old := time.Now().Add(-2 * keepFiles)
	put := func(path string, at time.Time) string {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Chtimes(wanted, old, old); err != nil { // old, but of a job that just ended
		t.Fatal(err)
	}
	orphan := put(filepath.Join(folder, "ORPHAN.csv"), old)
	kept := []string{
		wanted,
		put(filepath.Join(folder, "NEW.csv"), time.Now()),
		put(filepath.Join(folder, "notes.txt"), old),
		put(filepath.Join(s.dir, "mine.csv"), old),
	}
	if got := s.press("/schedules/"+cleanUpSchedule+"/run", nil); got.status != http.StatusSeeOther {
		t.Fatalf("the button is answered with %d %s", got.status, got.body)
	}
	s.until("the orphan is gone", func() bool {
		_, err := os.Stat(orphan)
		return os.IsNotExist(err)
	})
	for _, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the clean-up took %s: %v", filepath.Base(path), err)
		}
	}
	s.until("the next round is scheduled and the last one shown", func() bool {
		jobs := s.jobs("clean_uploads")
		if len(jobs) != 1 {
			t.Fatalf("there are %d clean-ups", len(jobs))
		}
		scheduled, err := s.client.Schedule(t.Context(), cleanUpSchedule)
		return err == nil && !scheduled.NextTick.IsZero() && strings.Contains(s.get("/jobs/"+jobs[0].ID.String()).body, "1 removed, 1 kept")
	})
}

// The files of a job that ended long ago go.
func TestCleanUpAfterAWhile(t *testing.T) {
	s := start(t)
	path := s.upload("a.csv", strings.NewReader("a\n1\n")).header.Get("Location")
	s.awaitState(path, offstage.Completed)
	service, err := newService(t.Context(), Config{Store: s.store, Tables: tablesOf(t, s.store), Dir: s.dir}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	removed, kept, err := service.clean(t.Context(), time.Now().Add(time.Hour))
	if removed != 1 || kept != 0 || err != nil {
		t.Errorf("%d removed, %d kept, %v; want the upload removed", removed, kept, err)
	}
	chart := s.file(path)
	if got := s.get(chart); got.status != http.StatusOK {
		t.Errorf("the chart is answered with %d", got.status)
	}
	if got := s.status(path); got.State != "completed" || len(got.Result) == 0 {
		t.Errorf("the figures went with the files: %+v", got)
	}
}
