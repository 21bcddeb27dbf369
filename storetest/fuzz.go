package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
)

// Fuzz gives a store any texts that a client lets through: it keeps them byte for
// byte. And it gives it any cursor: that ends in a page, or in an InvalidError.
// It is called by a store's own fuzz test, outside of a bubble.
func Fuzz(f *testing.F, h Harness) {
	f.Add("echo", "default", []byte(`{"a":[1,"é\u0000",null]}`), "tag", "key", "value", int64(0), "")
	f.Add("a.b:c/d-e_f", "9", []byte(`"\ud800"`), "\t\n", `"{},\`, "'; --", int64(1_900_000_000_000_000), "17")
	f.Add("k", "q", []byte("\"\xff\""), "x", "é", "\U0010ffff", int64(-1), "e5.7")
	f.Add("k", "q", []byte(" 1e400 "), "x", "NULL", "{NULL}", int64(253_402_300_799_999_999), "1.2.3")
	store := h.Open(f)
	f.Fuzz(func(t *testing.T, kind, queue string, args []byte, tag, key, value string, at int64, cursor string) {
		job := offstage.NewJob{
			Kind: kind, Queue: queue, Priority: int(uint64(at) % 10), Args: args, RunAt: time.UnixMicro(at),
			Extra: offstage.Extra{Tags: []string{tag}, Metadata: map[string]string{key: value}},
		}
		if job.Check() == nil {
			keeps(t, store, job)
		}
		for _, state := range append(offstage.States(), 0) {
			_, err := store.List(t.Context(), offstage.Filter{State: state, After: cursor})
			var invalid *offstage.InvalidError
			if err != nil && !errors.As(err, &invalid) {
				t.Errorf("list %s after %q: %v", state, cursor, err)
			}
		}
	})
}

// keeps inserts a job, looks at it, and deletes it.
func keeps(t *testing.T, store offstage.Store, job offstage.NewJob) {
	t.Helper()
	inserted, err := store.Insert(t.Context(), []offstage.NewJob{job})
	if err != nil {
		t.Fatalf("%+v passed the check and is refused: %v", job, err)
	}
	got, err := store.Get(t.Context(), inserted[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	tag, value := "", ""
	if len(got.Tags) == 1 {
		tag = got.Tags[0]
	}
	for key := range job.Metadata {
		value = got.Metadata[key]
		if value != job.Metadata[key] {
			t.Errorf("metadata %q came back as %q", job.Metadata, got.Metadata)
		}
	}
	if string(got.Args) != string(job.Args) || got.Kind != job.Kind || got.Queue != job.Queue || tag != job.Tags[0] {
		t.Errorf("%+v came back as %+v", job, got.Facts)
	}
	if _, err := store.Apply(t.Context(), offstage.Change{Verb: offstage.VerbDelete, Job: inserted[0].ID}); err != nil {
		t.Fatal(err)
	}
}
