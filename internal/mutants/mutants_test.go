package main

import (
	"os"
	"strings"
	"testing"
)

// Every fault has its place in the code, a name of its own, and changes something.
func TestPlaces(t *testing.T) {
	t.Chdir("../..")
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.name] {
			t.Errorf("two faults are called %q", m.name)
		}
		names[m.name] = true
		if _, err := m.faulty(); err != nil {
			t.Errorf("%s: %v; where the code has changed, change the fault with it", m.name, err)
		}
		if m.old == m.new || m.pkg == "" || m.test == "" {
			t.Errorf("%s: it changes nothing, or nobody is to catch it", m.name)
		}
	}
}

// The document lists what there is.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "\n\n"+table()) {
		t.Error("docs/faults.md does not end with the table that go run ./internal/mutants -list prints")
	}
}
