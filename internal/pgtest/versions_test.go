package pgtest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/internal/pgserver"
)

// Demanded versions are taken from the installed ones; one that is missing, or
// a list that makes no sense, is an error and never a quiet skip.
func TestChoose(t *testing.T) {
	found := []pgserver.Install{{Major: 15}, {Major: 16}, {Major: 18}}
	for _, c := range []struct {
		demanded string
		majors   []int
		problem  string
	}{
		{demanded: "15,18", majors: []int{15, 18}},
		{demanded: " 18 , 15", majors: []int{15, 18}},
		{demanded: "16", majors: []int{16}},
		{demanded: "15,17", problem: "PostgreSQL 17 is demanded"},
		{demanded: "15;18", problem: "not a list of major versions"},
		{demanded: ",", problem: "not a list of major versions"},
	} {
		chosen, err := choose(found, c.demanded)
		if c.problem != "" {
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("choose(%q): error %v, want %q", c.demanded, err, c.problem)
			}
			continue
		}
		var majors []int
		for _, install := range chosen {
			majors = append(majors, install.Major)
		}
		if err != nil || !slices.Equal(majors, c.majors) {
			t.Errorf("choose(%q) = %v, %v, want %v", c.demanded, majors, err, c.majors)
		}
	}
}

// What is not installed skips a test on a developer's machine and fails it in CI.
func TestMissingSkipsExceptInCI(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped", "false": "skipped", "true": "failed"} {
		t.Setenv("CI", ci)
		verdict := &recorder{TB: t}
		missing(verdict, errors.New("PostgreSQL: not installed"))
		if verdict.got != want {
			t.Errorf("with CI=%q the test was %s, want %s", ci, verdict.got, want)
		}
	}
}

// recorder notes the verdict instead of ending the test.
type recorder struct {
	testing.TB
	got string
}

func (r *recorder) Fatalf(string, ...any) { r.got = "failed" }

func (r *recorder) Skip(...any) {
	if r.got == "" {
		r.got = "skipped"
	}
}
