package offstage_test

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) { checkGate(t, packageComments) }
func TestExportedNames(t *testing.T)   { checkGate(t, exportedNames) }

// packageComments finds directories in which no file but a test says what the
// package is for.
func packageComments(w *workTree) []string {
	said := map[string]bool{}
	for _, file := range w.files {
		comment := file.ast.Doc.Text()
		good := strings.HasPrefix(comment, "Package "+file.ast.Name.Name+" ") ||
			file.ast.Name.Name == "main" && comment != ""
		if strings.HasSuffix(file.path, "_test.go") {
			good = false
		}
		said[path.Dir(file.path)] = said[path.Dir(file.path)] || good
	}
	var found []string
	for dir, good := range said {
		if !good {
			found = append(found, dir+": no file (tests do not count) begins with the comment \"Package "+path.Base(dir)+" …\"")
		}
	}
	slices.Sort(found)
	return found
}

// exportedNames finds exported names without a comment of their own, in the
// packages that others import.
func exportedNames(w *workTree) []string {
	var found []string
	for _, file := range w.files {
		internal := slices.Contains(strings.Split(file.path, "/"), "internal")
		if internal || file.ast.Name.Name == "main" || strings.HasSuffix(file.path, "_test.go") {
			continue
		}
		for _, decl := range file.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) {
					found = w.undocumented(found, d.Name, d.Doc, true)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					found = w.undocumentedSpec(found, d, spec)
				}
			}
		}
	}
	return found
}

// undocumentedSpec adds findings on a type, constant or variable. In a group of
// constants or variables the group's comment may speak for all.
func (w *workTree) undocumentedSpec(found []string, decl *ast.GenDecl, spec ast.Spec) []string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return found
		}
		comment := s.Doc
		if !decl.Lparen.IsValid() {
			comment = decl.Doc
		}
		found = w.undocumented(found, s.Name, comment, true)
		if contract, ok := s.Type.(*ast.InterfaceType); ok {
			return w.undocumentedMethods(found, contract, comment.Text())
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil {
				found = w.undocumented(found, name, decl.Doc, false)
			}
		}
	}
	return found
}

// undocumentedMethods adds findings on methods of an interface that neither
// have a comment nor are named in the interface's.
func (w *workTree) undocumentedMethods(found []string, contract *ast.InterfaceType, comment string) []string {
	for _, method := range contract.Methods.List {
		for _, name := range method.Names {
			named := regexp.MustCompile(`\b` + name.Name + `\b`).MatchString(comment)
			if name.IsExported() && !named && method.Comment == nil {
				found = w.undocumented(found, name, method.Doc, false)
			}
		}
	}
	return found
}

// undocumented adds a finding if the name has no comment, or one that does not
// begin with the name where it should.
func (w *workTree) undocumented(found []string, name *ast.Ident, comment *ast.CommentGroup, begins bool) []string {
	text := comment.Text()
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	switch {
	case text == "":
		return append(found, w.finding(name.Pos(), "%s is exported and has no comment", name.Name))
	case begins && !strings.HasPrefix(text, name.Name):
		return append(found, w.finding(name.Pos(), "the comment of %s does not begin with its name", name.Name))
	}
	return found
}

// exportedReceiver reports whether a function is no method, or one of an
// exported type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			exported = name.IsExported()
			return false
		}
		_, generic := n.(*ast.IndexExpr)
		return exported || !generic
	})
	return exported
}

func TestDocumentationGatesRefuse(t *testing.T) {
	checkRefusals(t, packageComments, []refused{
		{map[string]string{"p/p.go": "// Package p is good.\npackage p\n", "p/q.go": "package p\n"}, ""},
		{map[string]string{"cmd/p/main.go": "// Command p runs.\npackage main\n"}, ""},
		{map[string]string{"p/p.go": "package p\n"}, "p: no file"},
		{map[string]string{"p/p.go": "// Helps with p.\npackage p\n"}, "p: no file"},
		{map[string]string{"p/p_test.go": "// Package p is good.\npackage p\n"}, "p: no file"},
	})
	one := func(code string) map[string]string { return map[string]string{"p/p.go": "package p\n\n" + code} }
	checkRefusals(t, exportedNames, []refused{
		{one("// F does.\nfunc F() {}\n\nfunc g() {}\n\ntype t struct{}\n\nfunc (t) M() {}\n"), ""},
		{one("// A T is one.\ntype T[X any] struct{}\n\n// M does.\nfunc (*T[X]) M() {}\n"), ""},
		{one("// The limits.\nconst (\n\tA = 1\n\tB = 2\n)\n\nvar (\n\tC = 1 // one\n)\n"), ""},
		{one("// T can do M.\ntype T interface {\n\tM()\n}\n"), ""},
		{map[string]string{"internal/p/p.go": "package p\n\nfunc F() {}\n"}, ""},
		{one("func F() {}\n"), "p/p.go:3: F is exported and has no comment"},
		{one("// Does it.\nfunc F() {}\n"), "the comment of F does not begin with its name"},
		{one("// T is one.\ntype T[X any] struct{}\n\nfunc (*T[X]) M() {}\n"), "p/p.go:6: M is exported"},
		{one("type T struct{}\n"), "T is exported and has no comment"},
		{one("type (\n\tT struct{}\n)\n"), "T is exported and has no comment"},
		{one("const (\n\tA = 1\n)\n"), "A is exported and has no comment"},
		{one("// T can.\ntype T interface {\n\tM()\n}\n"), "M is exported and has no comment"},
	})
}
