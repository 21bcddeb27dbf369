package history

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/offstagehq/offstage"
)

// clock returns a clock that ticks by one with each look.
func clock(mono int64) Clock {
	return func() (int64, int64) { mono++; return mono, mono * 10 }
}

func TestEventsAreReadInOrderOfTime(t *testing.T) {
	dir := t.TempDir()
	write := func(process string, from int64, events ...Event) {
		r, err := Create(dir, process, clock(from), func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			r.Write(e)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("b", 1, Event{What: Start, Job: 7, Run: 1}, Event{What: Mark, Job: 7, Run: 1, Next: offstage.Completed})
	write("a", 0, Event{What: Send, Key: "a/1", Kind: "quick"}, Event{What: Ack, Key: "a/1", Job: 7})
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Event{
		{What: Send, Mono: 1, Wall: 10, Process: "a", Key: "a/1", Kind: "quick"},
		{What: Ack, Mono: 2, Wall: 20, Process: "a", Key: "a/1", Job: 7},
		{What: Start, Mono: 2, Wall: 20, Process: "b", Job: 7, Run: 1},
		{What: Mark, Mono: 3, Wall: 30, Process: "b", Job: 7, Run: 1, Next: offstage.Completed},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestALineCutOffByADeathIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "w"+suffix)
	if err := os.WriteFile(name, []byte(`{"e":"start","m":1,"w":1,"p":"w"}`+"\n"+`{"e":"end","m"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err != nil || len(got) != 1 || got[0].What != Start {
		t.Errorf("read %+v, %v; want the start alone", got, err)
	}
	if err := os.WriteFile(name, []byte(`{"e":"end","m"`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(dir); err == nil {
		t.Errorf("read %+v of a whole line that is no event, want an error", got)
	}
}

func TestAProcessHasOneFile(t *testing.T) {
	dir := t.TempDir()
	first, err := Create(dir, "w", clock(0), func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, "w", clock(0), func(error) {}); err == nil {
		t.Error("a second file of the same process was made, want an error")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	failed := 0
	first.fail = func(error) { failed++ }
	first.Write(Event{What: Up})
	if failed != 1 {
		t.Errorf("a write to a closed file was told %d times, want once", failed)
	}
}

func TestListingIsKept(t *testing.T) {
	dir := t.TempDir()
	want := &Listing{
		Jobs: []Job{{ID: 3, Kind: "quick", Key: "a/1", State: offstage.Completed, Run: 2, Lost: 1,
			Attempts: []Attempt{{Run: 1, Outcome: offstage.OutcomeLost, Next: offstage.Ready, Error: "died"}}}},
		Pairs:   map[string]int{"a/1": 1},
		Effects: map[offstage.ID]int{3: 1},
	}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadListing(dir); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
}
