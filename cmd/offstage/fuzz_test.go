package main

import (
	"errors"
	"strings"
	"testing"
)

// FuzzArguments gives any text to what reads arguments: each ends in a value
// within its bounds, or in an error of usage that shows no password.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{
		"", "postgres://u:secret@h/db?sslmode=disable", "postgres://u:p%zz@h", "sqlite://jobs.db", "sqlite:", "mysql://h", "C:\\jobs.db",
		"1.5GiB", "1e400", "0x10b", "infkb", "-1", "2026-01-31", "2026-01-31T15:04:05Z", "90m", "-90m", "9999999h", "postgres://?password=secret",
	} {
		f.Add(seed, "")
		f.Add(seed, "my schema")
	}
	f.Fuzz(func(t *testing.T, text, schema string) {
		at, err := parsePlace(text, schema)
		refused(t, err)
		if err == nil && (at.url == "") == (at.file == "") {
			t.Errorf("place %q is %+v: neither or both", text, at)
		}
		if strings.Contains(text, ":secret@") && strings.Contains(at.String(), ":secret@") {
			t.Errorf("place %q shows its password: %s", text, at)
		}
		size, err := parseSize("limit", text)
		refused(t, err)
		if err == nil && (size < 1 || size >= 1<<50) {
			t.Errorf("size %q is %d", text, size)
		}
		_, err = parseMoment("since", text)
		refused(t, err)
		role, err := parseRole(text)
		refused(t, err)
		if err == nil && string(role) != text {
			t.Errorf("role %q is %q", text, role)
		}
	})
}

// refused makes sure that an error is one of usage, in words that a terminal can
// show.
func refused(t *testing.T, err error) {
	t.Helper()
	var wrong *usageError
	if err != nil && !errors.As(err, &wrong) {
		t.Errorf("not an error of usage: %v", err)
	}
}
