package offstage_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The gates keep the project's rules: dependencies in deps_test.go, lengths in
// length_test.go, documentation in docs_test.go and links_test.go, manners in
// manners_test.go. A gate reads a tree and returns what it finds, so that every
// one is also shown, at the end of its file, trees that it must refuse.

// workTree is the working tree as the gates see it: its Go files, parsed, and
// its texts. Nested modules, vendored files and test data are not ours.
type workTree struct {
	fsys  fs.FS
	set   *token.FileSet
	files []goFile
	texts map[string]string // by path: the Go files and all others that people write
}

// goFile is one Go file that somebody wrote.
type goFile struct {
	path string
	ast  *ast.File
	// test: it holds tests, or code of a package whose job is testing.
	test bool
}

// finding is what a gate has against one place.
func (w *workTree) finding(pos token.Pos, format string, args ...any) string {
	at := w.set.Position(pos)
	return fmt.Sprintf("%s:%d: %s", at.Filename, at.Line, fmt.Sprintf(format, args...))
}

// textNames are the endings of the files that people write.
var textNames = []string{".go", ".md", ".sql", ".sh", ".css", ".js", ".html", ".toml", ".yaml", ".yml", "go.mod", ".ci/run"}

// readTree reads the working tree, whether committed or not.
func readTree(fsys fs.FS) (*workTree, error) {
	w := &workTree{fsys: fsys, set: token.NewFileSet(), texts: map[string]string{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if foreign(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(textNames, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		w.texts[name] = string(text)
		return w.addGo(name, text)
	})
	return w, err
}

// foreign reports whether a directory's files are not this project's own.
func foreign(fsys fs.FS, dir string) bool {
	switch path.Base(dir) {
	case ".git", "vendor", "testdata", "node_modules":
		return true
	}
	if dir == "." {
		return false
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (w *workTree) addGo(name string, text []byte) error {
	if path.Ext(name) != ".go" {
		return nil
	}
	parsed, err := parser.ParseFile(w.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if !ast.IsGenerated(parsed) {
		test := strings.HasSuffix(name, "_test.go") || imports(parsed, "testing") != ""
		w.files = append(w.files, goFile{path: name, ast: parsed, test: test})
	}
	return nil
}

// imports returns the name by which a file knows a package, "" if it does not
// import it.
func imports(file *ast.File, pkg string) string {
	for _, spec := range file.Imports {
		if spec.Path.Value != `"`+pkg+`"` {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}

// checkGate runs a gate over the working tree.
func checkGate(t *testing.T, gate func(*workTree) []string) {
	t.Helper()
	w, err := readTree(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(w.files) < 10 {
		t.Fatalf("the working tree has only %d Go files: the gate looks in the wrong place", len(w.files))
	}
	for _, finding := range gate(w) {
		t.Error(finding)
	}
}

// refused is a small tree in which a gate must find something.
type refused struct {
	files map[string]string
	want  string // a part of the only finding; "": the tree is good
}

// checkRefusals shows a gate trees and compares what it finds.
func checkRefusals(t *testing.T, gate func(*workTree) []string, trees []refused) {
	t.Helper()
	for _, c := range trees {
		files := fstest.MapFS{}
		for name, text := range c.files {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
		w, err := readTree(files)
		if err != nil {
			t.Fatal(err)
		}
		got := gate(w)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("found %q in a good tree", got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("found %q, want only %q", got, c.want)
		}
	}
}
