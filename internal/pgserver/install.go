package pgserver

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// BinEnv is the environment variable that lists, separated as in PATH, further
// directories with PostgreSQL's binaries. They win over the ones found elsewhere.
const BinEnv = "OFFSTAGE_PG_BIN"

// OldestMajor is the oldest major version that Offstage supports. Older ones
// are not found.
const OldestMajor = 15

// ErrNotInstalled means that this machine has no binaries of a server. Wrapped,
// it says which and where they were looked for.
var ErrNotInstalled = errors.New("not installed")

// Install is one installed version of PostgreSQL.
type Install struct {
	Bin     string // the directory of initdb and postgres
	Version string // "15.18", "18beta1"
	Major   int    // 15
}

// String returns "PostgreSQL 15.18 in /its/bin".
func (i Install) String() string { return fmt.Sprintf("PostgreSQL %s in %s", i.Version, i.Bin) }

// Find returns the installed versions of PostgreSQL, one per major version,
// oldest first. It looks at the directories in [BinEnv], then at PATH, then
// where Debian keeps them.
func Find() []Install {
	var found []Install
	for _, bin := range candidates() {
		install, err := inspect(bin)
		if err != nil || install.Major < OldestMajor {
			continue // some other directory, or a version that we cannot use
		}
		if !slices.ContainsFunc(found, func(i Install) bool { return i.Major == install.Major }) {
			found = append(found, install)
		}
	}
	slices.SortFunc(found, func(a, b Install) int { return cmp.Compare(a.Major, b.Major) })
	return found
}

// Newest returns the newest installed version, or [ErrNotInstalled].
func Newest() (Install, error) {
	found := Find()
	if len(found) == 0 {
		return Install{}, fmt.Errorf(
			"PostgreSQL %d or later: %w (looked at %s, PATH and %s)",
			OldestMajor, ErrNotInstalled, BinEnv, debianBins)
	}
	return found[len(found)-1], nil
}

const debianBins = "/usr/lib/postgresql/*/bin"

// candidates lists directories that may hold the binaries, the preferred first.
func candidates() []string {
	bins := filepath.SplitList(os.Getenv(BinEnv))
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// Distributions put a link to one version's initdb into PATH; its
		// siblings lie beside the real file.
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			bins = append(bins, filepath.Dir(real))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		bins = append(bins, strings.TrimSpace(string(out)))
	}
	debian, _ := filepath.Glob(debianBins) // fails only on a bad pattern
	return append(bins, debian...)
}

// inspect asks the binaries in a directory for their version.
func inspect(bin string) (Install, error) {
	if _, err := exec.LookPath(filepath.Join(bin, "initdb")); err != nil {
		return Install{}, err
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return Install{}, err
	}
	return parseVersion(bin, string(out))
}

// parseVersion reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func parseVersion(bin, text string) (Install, error) {
	_, after, _ := strings.Cut(text, "(PostgreSQL) ")
	version, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	digits := strings.IndexFunc(version+".", func(r rune) bool { return r < '0' || r > '9' })
	major, err := strconv.Atoi(version[:digits])
	if err != nil {
		return Install{}, fmt.Errorf("read the version of %s: %q", bin, strings.TrimSpace(text))
	}
	return Install{Bin: bin, Version: version, Major: major}, nil
}
