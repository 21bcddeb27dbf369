package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Every fault compiles: one that does not would only be noticed where it is put in.
func TestFaultsCompile(t *testing.T) {
	t.Chdir("../..")
	packages := listPackages(t)
	for _, m := range mutants {
		if filepath.Ext(m.file) != ".go" {
			continue
		}
		text, err := m.faulty()
		if err != nil {
			continue // TestPlaces tells
		}
		dir, err := filepath.Abs(filepath.Dir(m.file))
		if err != nil {
			t.Fatal(err)
		}
		pkg := packages.byDir[dir]
		if pkg == nil {
			t.Fatalf("%s: no package in %s", m.name, dir)
		}
		if err := packages.check(pkg, filepath.Base(m.file), text); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// pkg is a package as go list tells of it.
type pkg struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// packages are this module's and all that they import, the latter compiled.
type packages struct {
	byDir   map[string]*pkg
	files   *token.FileSet
	imports types.Importer
}

func listPackages(t *testing.T) *packages {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	p := &packages{byDir: map[string]*pkg{}, files: token.NewFileSet()}
	byPath := map[string]*pkg{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var next pkg
		if err := d.Decode(&next); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		byPath[next.ImportPath], p.byDir[next.Dir] = &next, &next
	}
	p.imports = importer.ForCompiler(p.files, runtime.Compiler, func(path string) (io.ReadCloser, error) {
		if byPath[path] == nil {
			return nil, os.ErrNotExist
		}
		return os.Open(byPath[path].Export)
	})
	return p
}

// check checks the types of a package of which one file has another text.
func (p *packages) check(pkg *pkg, changed, text string) error {
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		var source any
		if name == changed {
			source = text
		}
		file, err := parser.ParseFile(p.files, filepath.Join(pkg.Dir, name), source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: p.imports}
	_, err := config.Check(pkg.ImportPath, p.files, files, nil)
	return err
}
