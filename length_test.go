package offstage_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// The limits, in lines. A function is counted from its signature to its closing
// brace.
const (
	longestFunction = 70
	usualFunction   = 40
	usualShare      = 90 // percent of the functions that keep to the usual length
	longestFile     = 600
	medianFile      = 150 // of the files that are not tests
)

func TestFunctionLengths(t *testing.T) { checkGate(t, functionLengths) }
func TestFileLengths(t *testing.T)     { checkGate(t, fileLengths) }

// functionLengths finds functions that are too long, and too many that are long.
// The share is taken of the code and of its tests apart.
func functionLengths(w *workTree) []string {
	var found []string
	var total, long [2]int
	for _, file := range w.files {
		kind := 0
		if file.test {
			kind = 1
		}
		for _, decl := range file.ast.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := w.set.Position(f.End()).Line - w.set.Position(f.Pos()).Line + 1
			total[kind]++
			if lines > usualFunction {
				long[kind]++
			}
			if lines > longestFunction {
				found = append(found, w.finding(f.Pos(), "function %s has %d lines; the limit is %d",
					f.Name.Name, lines, longestFunction))
			}
		}
	}
	for kind, name := range []string{"the code", "the tests"} {
		if long[kind]*100 > total[kind]*(100-usualShare) {
			found = append(found, fmt.Sprintf("%d of %d functions of %s are longer than %d lines; the limit is %d%%",
				long[kind], total[kind], name, usualFunction, 100-usualShare))
		}
	}
	return found
}

// fileLengths finds files that are too long, and a median that is.
func fileLengths(w *workTree) []string {
	var found []string
	var sources []int
	for _, file := range w.files {
		lines := strings.Count(w.texts[file.path], "\n")
		if !strings.HasSuffix(file.path, "_test.go") {
			sources = append(sources, lines)
		}
		if lines > longestFile {
			found = append(found, fmt.Sprintf("%s:1: the file has %d lines; the limit is %d", file.path, lines, longestFile))
		}
	}
	slices.Sort(sources)
	if n := len(sources); n > 0 && sources[n/2] > medianFile {
		found = append(found, fmt.Sprintf("the median of %d source files is %d lines; the limit is %d",
			n, sources[n/2], medianFile))
	}
	return found
}

func TestLengthGatesRefuse(t *testing.T) {
	function := func(lines int) string {
		return "package p\n\nfunc f() {\n" + strings.Repeat("\tf()\n", lines-2) + "}\n"
	}
	short := strings.Repeat("\nfunc _() {}\n", 20)
	checkRefusals(t, functionLengths, []refused{
		{map[string]string{"p/p.go": function(70) + short}, ""},
		{map[string]string{"p/p.go": function(71) + short}, "p/p.go:3: function f has 71 lines; the limit is 70"},
		{map[string]string{"p/p_test.go": function(71) + short}, "p/p_test.go:3: function f has 71 lines"},
		{map[string]string{"p/p.go": function(40)}, ""},
		{map[string]string{"p/p.go": function(41)}, "1 of 1 functions of the code are longer than 40 lines"},
		{map[string]string{"p/p.go": "package p\n" + short, "p/p_test.go": function(41)}, "1 of 1 functions of the tests"},
		{map[string]string{"p/vendor/p.go": function(71), "p/testdata/p.go": function(71)}, ""},
		{map[string]string{"bench/go.mod": "module bench\n", "bench/p.go": function(71)}, ""},
	})
	file := func(lines int) string { return "package p\n" + strings.Repeat("\n", lines-1) }
	checkRefusals(t, fileLengths, []refused{
		{map[string]string{"a.go": file(600), "b.go": file(150), "c.go": file(10)}, ""},
		{map[string]string{"a.go": file(601), "b.go": file(150), "c.go": file(10)}, "a.go:1: the file has 601 lines; the limit is 600"},
		{map[string]string{"a_test.go": file(601)}, "a_test.go:1: the file has 601 lines"},
		{map[string]string{"a.go": file(151), "a_test.go": file(1)}, "the median of 1 source files is 151 lines"},
	})
}
