package importing

import (
	"bytes"
	"fmt"
	"go/format"
	"slices"
	"strings"
	"unicode"
)

// GoFile writes a Go file with a handler to fill in for each kind of the entries
// that need one. It compiles as it is.
func GoFile(name string, entries []Entry) ([]byte, error) {
	kinds := map[string][]Entry{}
	for _, e := range entries {
		if e.Runs() {
			kinds[e.Kind] = append(kinds[e.Kind], e)
		}
	}
	var order []string
	for kind := range kinds {
		order = append(order, kind)
	}
	slices.Sort(order)
	names, taken := map[string]string{}, map[string]bool{}
	for _, kind := range order {
		name := goName(kind)
		for taken[name] {
			name += "x" // a1 and a_1
		}
		names[kind], taken[name] = name, true
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Package %s has the handlers of imported schedules.\npackage %s\n\n", name, name)
	fmt.Fprint(&b, "import (\n\"context\"\n\"encoding/json\"\n\"errors\"\n\n\"github.com/offstagehq/offstage\"\n\"github.com/offstagehq/offstage/worker\"\n)\n\n")
	fmt.Fprint(&b, "// errEmpty is what a handler returns that is still to be written.\nvar errEmpty = errors.New(\"this handler is still to be written\")\n\n")
	fmt.Fprint(&b, "// Register gives the worker the handlers of the imported schedules.\nfunc Register(w *worker.Worker) {\n")
	for _, kind := range order {
		fmt.Fprintf(&b, "worker.HandleNamed(w, %q, %s)\n", kind, names[kind])
	}
	fmt.Fprint(&b, "}\n")
	for _, kind := range order {
		fmt.Fprintf(&b, "\n// %s is due:\n", names[kind])
		for _, e := range kinds[kind] {
			fmt.Fprintf(&b, "//   - %s (line %d: %s)\n", oneLine(e.Meaning), e.Line, oneLine(e.Original))
		}
		fmt.Fprintf(&b, "func %s(ctx context.Context, job *offstage.Job[json.RawMessage]) error {\nreturn errEmpty\n}\n", names[kind])
	}
	return format.Source(b.Bytes())
}

// oneLine makes a text fit for a comment.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// goName writes a kind as the name of a function of its own.
func goName(kind string) string {
	var b strings.Builder
	b.WriteString("handle")
	for part := range strings.SplitSeq(kind, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
