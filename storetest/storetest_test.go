package storetest

import (
	"strings"
	"testing"
)

// A name is how a case is found in a test's output, and its sentence what its
// failure means: both must be there, and say one thing only once.
func TestCases(t *testing.T) {
	names, sentences := map[string]bool{}, map[string]string{}
	for _, c := range Cases() {
		if part, about, found := strings.Cut(c.Name, "/"); !found || part == "" || about == "" || names[c.Name] {
			t.Errorf("%q is not a new name of the form part/about", c.Name)
		}
		if !strings.HasSuffix(c.Sentence, ".") || sentences[c.Sentence] != "" {
			t.Errorf("%s: %q is not a sentence of its own; compare case %q", c.Name, c.Sentence, sentences[c.Sentence])
		}
		if c.run == nil {
			t.Errorf("%s does nothing", c.Name)
		}
		names[c.Name], sentences[c.Sentence] = true, c.Name
	}
}
