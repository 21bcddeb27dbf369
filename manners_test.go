package offstage_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestNothingLeftForLater(t *testing.T) { checkGate(t, leftForLater) }
func TestNoMachinePaths(t *testing.T)      { checkGate(t, machinePaths) }
func TestNoSleepsInTests(t *testing.T)     { checkGate(t, sleepsInTests) }
func TestNoContextFields(t *testing.T)     { checkGate(t, contextFields) }
func TestLeaksAreLookedFor(t *testing.T)   { checkGate(t, leaksNotLookedFor) }

// lateMarks are what people write beside what they leave for later.
var lateMarks = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// leftForLater finds such marks in any text.
func leftForLater(w *workTree) []string {
	return w.matching(lateMarks, "is left for later; do it or file an issue")
}

// machinePath matches paths that exist on one machine only. The brackets keep
// it from matching itself.
var machinePath = regexp.MustCompile(`(?:^|[^\w.:/-])/(?:wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+)/|/tm[p]/[a-z]+[0-9]`)

// machinePaths finds such paths in any text.
func machinePaths(w *workTree) []string { return w.matching(machinePath, "is a path of one machine") }

// matching finds the lines of all texts that a pattern matches.
func (w *workTree) matching(pattern *regexp.Regexp, problem string) []string {
	var found []string
	for name, text := range w.texts {
		for n, line := range strings.Split(text, "\n") {
			if match := pattern.FindString(line); match != "" {
				found = append(found, fmt.Sprintf("%s:%d: %q %s", name, n+1, match, problem))
			}
		}
	}
	slices.Sort(found)
	return found
}

// sleepsInTests finds tests that wait for time to pass. In synctest's bubbles,
// where time is not real, a test may receive from a timer, and a package whose
// job is testing may also sleep.
func sleepsInTests(w *workTree) []string {
	fake := w.fakeTime()
	var found []string
	for _, file := range w.files {
		clock := imports(file.ast, "time")
		if !file.test || clock == "" {
			continue
		}
		maySleep := fake[file.path] && !strings.HasSuffix(file.path, "_test.go")
		cases := map[ast.Node]bool{} // of select statements: these wait for events too
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if c, ok := n.(*ast.CommClause); ok {
				cases[c.Comm] = true
			}
			e, _ := n.(ast.Expr)
			if !maySleep && selects(e, clock, "Sleep") || !fake[file.path] && !cases[n] && waits(n, clock) {
				found = append(found, w.finding(n.Pos(), "a test waits for time to pass; use fake time or wait for the event"))
			}
			return true
		})
	}
	return found
}

// fakeTime lists the files that make bubbles; where one file of a package does,
// so do all that are not tests.
func (w *workTree) fakeTime() map[string]bool {
	fake, dirs := map[string]bool{}, map[string]bool{}
	for _, file := range w.files {
		if imports(file.ast, "testing/synctest") != "" {
			fake[file.path] = true
			dirs[path.Dir(file.path)] = dirs[path.Dir(file.path)] || !strings.HasSuffix(file.path, "_test.go")
		}
	}
	for _, file := range w.files {
		if dirs[path.Dir(file.path)] && !strings.HasSuffix(file.path, "_test.go") {
			fake[file.path] = true
		}
	}
	return fake
}

// waits reports whether a statement only waits for a timer: <-time.After(d).
func waits(n ast.Node, clock string) bool {
	statement, ok := n.(*ast.ExprStmt)
	if !ok {
		return false
	}
	receive, ok := statement.X.(*ast.UnaryExpr)
	if !ok || receive.Op != token.ARROW {
		return false
	}
	call, ok := receive.X.(*ast.CallExpr)
	return ok && selects(call.Fun, clock, "After")
}

// contextFields finds structs that keep a context.
func contextFields(w *workTree) []string {
	var found []string
	for _, file := range w.files {
		pkg := imports(file.ast, "context")
		if pkg == "" {
			continue
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range s.Fields.List {
				if selects(field.Type, pkg, "Context") {
					found = append(found, w.finding(field.Pos(), "a struct keeps a context; pass it as the first argument"))
				}
			}
			return true
		})
	}
	return found
}

// leaksNotLookedFor finds packages whose tests do not look for goroutines that
// are left at the end: in none of their files does goleak, or pgtest.Main, do so.
func leaksNotLookedFor(w *workTree) []string {
	first, looks := map[string]string{}, map[string]bool{}
	for _, file := range w.files {
		if !strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		dir := path.Dir(file.path)
		if first[dir] == "" {
			first[dir] = file.path
		}
		ast.Inspect(file.ast, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok && (selects(e, "goleak", "VerifyTestMain") || selects(e, "pgtest", "Main")) {
				looks[dir] = true
			}
			return true
		})
	}
	var found []string
	for dir, file := range first {
		if !looks[dir] {
			found = append(found, file+": nobody looks for goroutines that its tests leave; add a TestMain with goleak.VerifyTestMain")
		}
	}
	slices.Sort(found)
	return found
}

// selects reports whether an expression is pkg.name.
func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func TestMannersGatesRefuse(t *testing.T) {
	mark := "FIX" + "ME"
	checkRefusals(t, leftForLater, []refused{
		{map[string]string{"p.go": "package p // to do it right\n"}, ""},
		{map[string]string{"p.go": "package p\n\n// " + mark + ": later\n"}, `p.go:3: "` + mark + `" is left for later`},
		{map[string]string{"docs/a.md": mark}, "docs/a.md:1"},
		{map[string]string{"static/vendor/x.js": mark}, ""},
	})
	home, temp := "/hom"+"e/somebody/", "/tm"+"p/abc1"
	checkRefusals(t, machinePaths, []refused{
		{map[string]string{"a.md": "https://example.com" + home + " /tmp /usr/bin"}, ""},
		{map[string]string{"a.md": "see " + home + "x"}, "a.md:1"},
		{map[string]string{".ci/run": "cd " + temp}, ".ci/run:1"},
	})
	file := func(name, imports, body string) map[string]string {
		return map[string]string{name: "package p\n" + imports + "\nfunc f() {\n" + body + "\n}\n"}
	}
	clock, bubble, testing := `import "time"`, `; import "testing/synctest"`, `; import "testing"`
	checkRefusals(t, sleepsInTests, []refused{
		{file("p/p.go", clock, "time.Sleep(1)"), ""},
		{file("p/p_test.go", clock, "select { case <-time.After(1): }"), ""},
		{file("p/p_test.go", clock+bubble, "<-time.After(1)"), ""},
		{file("p/p.go", clock+testing+bubble, "time.Sleep(1)"), ""},
		{file("p/p_test.go", clock, "time.Sleep(1)"), "p/p_test.go:4: a test waits"},
		{file("p/p_test.go", clock+bubble, "time.Sleep(1)"), "p/p_test.go:4: a test waits"},
		{file("p/p_test.go", `import clock "time"`, "clock.Sleep(1)"), "p/p_test.go:4: a test waits"},
		{file("p/p_test.go", clock, "<-time.After(1)"), "p/p_test.go:4: a test waits"},
		{file("p/p.go", clock+testing, "time.Sleep(1)"), "p/p.go:4: a test waits"},
	})
	checkRefusals(t, contextFields, []refused{
		{file("p.go", `import "context"`, "var ctx context.Context; _ = func(context.Context) {}"), ""},
		{file("p.go", `import "context"`, "type _ struct { ctx context.Context }"), "p.go:4: a struct keeps a context"},
		{file("p.go", `import c "context"`, "type _ struct { c.Context }"), "p.go:4: a struct keeps a context"},
	})
	checkRefusals(t, leaksNotLookedFor, []refused{
		{file("p/p.go", "", ""), ""},
		{file("p/p_test.go", `import "go.uber.org/goleak"`, "goleak.VerifyTestMain(nil)"), ""},
		{file("p/p_test.go", `import "m/internal/pgtest"`, "pgtest.Main(nil)"), ""},
		{file("p/p_test.go", "", ""), "p/p_test.go: nobody looks for goroutines"},
	})
}
