package sqlite

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzHeld reads any bytes as a claim row: that ends in an error, or in jobs that
// are written the same way again.
func FuzzHeld(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeHeld([]heldJob{{1, 2, 3, 4, 5}, {1 << 52, 1, 0, 0, -1}}))
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Fuzz(func(t *testing.T, b []byte) {
		jobs, err := decodeHeld(b)
		if err != nil {
			return
		}
		again, err := decodeHeld(encodeHeld(jobs))
		if err != nil || len(again) != len(jobs) {
			t.Fatalf("%v is read again as %v, %v", jobs, again, err)
		}
		for i := range jobs {
			if jobs[i] != again[i] {
				t.Errorf("%v is read again as %v", jobs[i], again[i])
			}
		}
	})
}

// FuzzLocation opens files of any name: what opens is that very file, and no
// part of the name is taken for a setting.
func FuzzLocation(f *testing.F) {
	for _, name := range []string{
		"jobs.db", "a b.db", "a?mode=memory", "a%00b", "a#b", "a&_pragma=synchronous(off)", "é", "\xff", "file:x", ":memory:x", "a;b", "a\nb", "*", "a'b",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 200 {
			return // of another folder, or of none
		}
		dir := t.TempDir()
		store, err := Open(t.Context(), filepath.Join(dir, name), WithoutWatch())
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		var file string
		if err := store.DB().QueryRow(sqlFiles).Scan(&file); err != nil || filepath.Base(file) != name {
			t.Errorf("%q opened %q, %v", name, file, err)
		}
		var level int
		if err := store.DB().QueryRow("PRAGMA synchronous").Scan(&level); err != nil || level != 2 {
			t.Errorf("%q has level %d, %v", name, level, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}
