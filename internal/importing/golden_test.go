package importing_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offstagehq/offstage/internal/importing"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// formatOf tells a file's format by its name.
func formatOf(name string) string {
	for _, format := range importing.Formats {
		if strings.HasPrefix(name, format) || strings.HasSuffix(name, "."+format) {
			return format
		}
	}
	return ""
}

// Whole files, as people have them, become what stands beside them.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		format := formatOf(filepath.Base(file))
		if format == "" || strings.HasSuffix(file, ".golden") {
			continue
		}
		seen[format] = true
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := whole(read(t, format, string(text)))
		golden := file + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s becomes\n%swant\n%s", file, got, want)
		}
	}
	if len(seen) != len(importing.Formats) {
		t.Errorf("files of %v only", seen)
	}
}

// whole writes all of a result, with each entry's original before its meaning here.
func whole(result importing.Result) string {
	var b strings.Builder
	for _, e := range result.Entries {
		fmt.Fprintf(&b, "line %d: %s\n  name   %s\n  when   %s: %s\n  job    %s %s\n", e.Line, e.Original, e.Name, e.Expression, e.Meaning, e.Kind, e.Args)
		for _, field := range []struct{ name, text string }{{"queue", e.Queue}, {"about", e.Description}} {
			if field.text != "" {
				fmt.Fprintf(&b, "  %s  %q\n", field.name, field.text)
			}
		}
		if e.Off {
			b.WriteString("  off\n")
		}
		for _, w := range e.Warnings {
			b.WriteString("  ! " + w + "\n")
		}
	}
	for _, r := range result.Refused {
		fmt.Fprintf(&b, "line %d refused: %s: %s\n", r.Line, r.Text, r.Problem)
	}
	for _, r := range result.Ignored {
		fmt.Fprintf(&b, "line %d ignored: %s: %s\n", r.Line, r.Text, r.Problem)
	}
	return b.String()
}
