package offstage_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/offstagehq/offstage"

// mayImport lists, for each package of the module, the packages of the module
// that it (not its tests) may import, "." being the root. It is a star: most
// need the root alone. A new package or a new edge changes this table, so that
// a review sees it. A row "dir/*" is for every package below dir.
var mayImport = map[string]string{
	".":            "",
	"worker":       ". schedule",
	"schedule":     "",
	"sqlite":       ".",
	"postgres":     ".",
	"storetest":    ".",
	"offstagetest": ".",
	"idempotency":  ".",
	"status":       ".",
	"api":          ". status",
	"web":          ". status api",
	"faktory":      ".",
	"cmd/offstage": ". worker schedule sqlite postgres status api web faktory internal/builtin internal/demo internal/importing",
	"examples/*":   ". worker schedule sqlite postgres status api web offstagetest idempotency",

	"internal/builtin":        ". worker schedule",
	"internal/chaos":          ". worker schedule sqlite postgres storetest internal/chaos/* internal/pgserver internal/tcpproxy internal/freeport",
	"internal/chaos/*":        ". worker schedule sqlite postgres internal/chaos/* internal/pgserver internal/tcpproxy internal/freeport",
	"internal/demo":           ". worker schedule sqlite postgres status api web idempotency internal/demo/*",
	"internal/demo/csvreport": "",
	"internal/demo/device":    "",
	"internal/faultstore":     ".",
	"internal/freeport":       "",
	"internal/measure":        ". worker schedule sqlite postgres internal/pgserver",
	"internal/importing":      "schedule",
	"internal/model":          ". storetest",
	"internal/mutants":        "",
	"internal/pgserver":       "internal/freeport",
	"internal/pgtest":         "internal/pgserver",
	"internal/tcpproxy":       "internal/freeport",
}

// mayReach lists, for the packages that applications import, the other modules
// whose packages may end up in the application's binary.
var mayReach = map[string]string{
	".":            "",
	"worker":       "",
	"schedule":     "",
	"status":       "",
	"storetest":    "",
	"offstagetest": "",
	"idempotency":  "",
	"sqlite": "modernc.org/sqlite modernc.org/libc modernc.org/mathutil modernc.org/memory " +
		"github.com/dustin/go-humanize github.com/fsnotify/fsnotify github.com/google/uuid github.com/mattn/go-isatty " +
		"github.com/ncruces/go-strftime github.com/remyoudompheng/bigfft golang.org/x/sys",
	"postgres": "github.com/jackc/pgx/v5 github.com/jackc/pgpassfile github.com/jackc/pgservicefile " +
		"github.com/jackc/puddle/v2 golang.org/x/sync golang.org/x/text",
}

var (
	drivers = []string{"sqlite", "postgres"}
	// mayNameDriver are the packages, beside tests, that choose a driver.
	mayNameDriver = []string{"cmd/*", "examples/*", "internal/chaos", "internal/chaos/*", "internal/demo", "internal/measure"}
	// mayImportTesting are the packages whose job is testing.
	mayImportTesting = []string{"storetest", "offstagetest", "internal/pgtest", "internal/model"}
	// notForRoot are the parts of the standard library that the root must not
	// bring into an application.
	notForRoot = []string{"net/http", "database/sql", "testing"}
	// badNames say nothing about what a package does.
	badNames = strings.Fields("util utils common helper helpers types models base shared")
)

// goPackage is what "go list -json" says of a package.
type goPackage struct {
	ImportPath, Name string
	Standard         bool
	Module           *struct{ Path string }
	Imports, Deps    []string
	TestImports      []string
	XTestImports     []string
	Error            *struct{ Err string }
}

func TestDependencies(t *testing.T) {
	packages, err := listPackages()
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range dependencies(packages) {
		t.Error(finding)
	}
}

// listPackages asks go list for the module's packages and all they depend on.
func listPackages() ([]goPackage, error) {
	cmd := exec.Command("go", "list", "-e", "-deps", "-json", "./...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, &stderr)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg goPackage
		err := decoder.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what go list said: %w", err)
		}
		packages = append(packages, pkg)
	}
}

// dependencies finds what breaks the rules of who may import whom.
func dependencies(packages []goPackage) []string {
	modules := map[string]string{} // by import path; absent: the standard library
	for _, pkg := range packages {
		if pkg.Module != nil {
			modules[pkg.ImportPath] = pkg.Module.Path
		}
	}
	var found []string
	for _, pkg := range packages {
		self, ours := inModule(pkg.ImportPath)
		if !ours {
			continue
		}
		if pkg.Error != nil {
			found = append(found, fmt.Sprintf("%s cannot be read: %s", self, pkg.Error.Err))
		}
		if slices.Contains(badNames, path.Base(self)) || slices.Contains(badNames, pkg.Name) {
			found = append(found, fmt.Sprintf("%s: a package's name must say what it does; none is called %s",
				self, strings.Join(badNames, ", ")))
		}
		found = append(found, edges(self, pkg)...)
		found = append(found, reach(self, pkg, modules)...)
	}
	return found
}

// edges finds imports that are not allowed to the package, or to anybody.
func edges(self string, pkg goPackage) []string {
	var found []string
	refuse := func(other, rule string) {
		found = append(found, fmt.Sprintf("%s imports %s: %s", self, other, rule))
	}
	allowed, known := lookup(self)
	if !known {
		found = append(found, fmt.Sprintf("%s has no row in the table mayImport of deps_test.go", self))
	}
	for _, imported := range pkg.Imports {
		if imported == "testing" || strings.HasPrefix(imported, "testing/") {
			if !matches(mayImportTesting, self) {
				refuse(imported, "code other than tests must not")
			}
		}
		other, ours := inModule(imported)
		if !ours {
			continue
		}
		switch {
		case slices.Contains(drivers, other) && !matches(mayNameDriver, self):
			refuse(other, "only programs name a driver: "+strings.Join(mayNameDriver, ", "))
		case known && !matches(allowed, other):
			refuse(other, "the table mayImport of deps_test.go does not allow it")
		}
	}
	for _, imported := range slices.Concat(pkg.Imports, pkg.TestImports, pkg.XTestImports) {
		other, ours := inModule(imported)
		switch {
		case !ours || other == self:
		case strings.HasPrefix(other, "cmd/") || strings.HasPrefix(other, "examples/"):
			refuse(other, "nothing, not even a test, imports a program")
		case slices.Contains(drivers, self) && slices.Contains(drivers, other):
			refuse(other, "a driver, even in its tests, must not know another")
		}
	}
	return found
}

// reach finds what a package brings into an application's binary and must not.
func reach(self string, pkg goPackage, modules map[string]string) []string {
	var found []string
	allowed, limited := mayReach[self]
	brought := map[string]bool{}
	for _, dep := range pkg.Deps {
		module := modules[dep]
		switch {
		case self == "." && slices.Contains(notForRoot, dep),
			strings.HasPrefix(self, "cmd/") && dep == "testing":
			found = append(found, fmt.Sprintf("%s brings %s into every program", self, dep))
		case limited && module != "" && module != modulePath && !slices.Contains(strings.Fields(allowed), module):
			brought[module] = true
		}
	}
	for module := range brought {
		found = append(found, fmt.Sprintf("%s brings the module %s into applications: the table mayReach of deps_test.go does not allow it",
			self, module))
	}
	slices.Sort(found)
	return found
}

// inModule returns a package's folder in the module, "." for the root.
func inModule(importPath string) (dir string, ours bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// lookup returns the row of mayImport for a package: its own, or that of the
// nearest folder above it.
func lookup(self string) (allowed []string, known bool) {
	row, known := mayImport[self]
	for dir := self; !known && dir != "."; {
		dir = path.Dir(dir)
		row, known = mayImport[dir+"/*"]
	}
	return strings.Fields(row), known
}

// matches reports whether a package is in a list; "dir/*" stands for all below dir.
func matches(list []string, dir string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		parent, below := strings.CutSuffix(entry, "*")
		return entry == dir || below && strings.HasPrefix(dir, parent)
	})
}

func TestDependencyGateRefuses(t *testing.T) {
	in := func(dir string, imports ...string) goPackage {
		return goPackage{ImportPath: path.Join(modulePath, dir), Name: path.Base(dir), Imports: imports}
	}
	root, at := modulePath, modulePath+"/"
	dep := goPackage{ImportPath: "example.com/x/y", Module: &struct{ Path string }{"example.com/x"}}
	for _, c := range []struct {
		pkg  goPackage
		want string // a part of the only finding; "": it is good
	}{
		{in("worker", root, "context"), ""},
		{in("cmd/offstage", root, at+"sqlite", at+"postgres"), ""},
		{in("examples/quickstart", root, at+"sqlite"), ""},
		{in("storetest", "testing", "testing/synctest"), ""},
		{goPackage{ImportPath: at + "worker", XTestImports: []string{at + "sqlite", at + "worker", "testing"}}, ""},
		{goPackage{ImportPath: at + "web", Deps: []string{dep.ImportPath}}, ""},

		{in("worker", at+"sqlite"), "worker imports sqlite: only programs name a driver"},
		{in("sqlite", at+"postgres"), "sqlite imports postgres: "},
		{goPackage{ImportPath: at + "sqlite", TestImports: []string{at + "postgres"}}, "must not know another"},
		{goPackage{ImportPath: at + "web", XTestImports: []string{at + "cmd/offstage"}}, "not even a test, imports a program"},
		{in("worker", at+"web"), "worker imports web: the table mayImport"},
		{in("brandnew"), "brandnew has no row in the table mayImport"},
		{in("examples/helpers"), "must say what it does"},
		{in("worker", "testing/fstest"), "worker imports testing/fstest: code other than tests must not"},
		{goPackage{ImportPath: root, Deps: []string{"context", "net/http"}}, "brings net/http into every program"},
		{goPackage{ImportPath: at + "cmd/offstage", Deps: []string{"testing"}}, "brings testing into every program"},
		{goPackage{ImportPath: at + "worker", Deps: []string{dep.ImportPath}}, "worker brings the module example.com/x"},
		{goPackage{ImportPath: at + "worker", Error: &struct{ Err string }{"no"}}, "worker cannot be read: no"},
	} {
		found := dependencies([]goPackage{c.pkg, dep})
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s: found %q in a good package", c.pkg.ImportPath, found)
		case c.want != "" && (len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), c.want)):
			t.Errorf("%s: found %q, want %q", c.pkg.ImportPath, found, c.want)
		}
	}
}
