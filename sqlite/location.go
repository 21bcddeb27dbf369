package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/offstagehq/offstage"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// location is where a database is.
type location struct {
	memory bool
	path   string // absolute, without symbolic links
	side   string // the folder of the lock files
}

// locate checks a path and makes the side folder. Processes that come by
// different paths must meet at the same locks, so links are resolved first.
func locate(path string) (location, error) {
	switch {
	case path == ":memory:":
		return location{memory: true}, nil
	case path == "":
		return location{}, &offstage.InvalidError{Field: "path", Problem: "is empty: name a file, or \":memory:\""}
	case strings.ContainsRune(path, 0):
		return location{}, &offstage.InvalidError{Field: "path", Problem: "holds a zero byte"}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return location{}, err
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return location{}, fmt.Errorf("offstage: cannot open %s: there is no folder %s; make it first", path, dir)
	} else if err != nil {
		return location{}, fmt.Errorf("offstage: cannot open %s: %w", path, err)
	} else if !info.IsDir() {
		return location{}, fmt.Errorf("offstage: cannot open %s: %s is not a folder", path, dir)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return location{}, fmt.Errorf("offstage: cannot open %s: it is a folder, not a file", path)
	}
	if path, err = resolve(path); err != nil {
		return location{}, err
	}
	side := path + "-offstage"
	if err := os.Mkdir(side, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return location{}, fmt.Errorf("offstage: cannot make the folder of the lock files: %w", err)
	}
	return location{path: path, side: side}, nil
}

// resolve follows symbolic links, those of the folder if the file is not there.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(dir, filepath.Base(path)), err
	}
	return real, err
}

// wal returns the path of the write-ahead log.
func (at location) wal() string { return at.path + "-wal" }

// openError says in plain words why a database could not be opened.
func openError(at location, err error) error {
	switch code := codeOf(err); {
	case errors.Is(err, offstage.ErrNewerSchema) || named(err) && code == 0:
		return fmt.Errorf("offstage: cannot open %s: %w", at, err)
	case code&0xff == lib.SQLITE_NOTADB:
		return fmt.Errorf("offstage: cannot open %s: it is not a SQLite database: %w", at, err)
	case code&0xff == lib.SQLITE_READONLY:
		return fmt.Errorf("offstage: cannot open %s: it, or the folder it is in, is read-only: %w", at, err)
	}
	return fmt.Errorf("offstage: cannot open %s: %w", at, err)
}

// String returns the path as people know it.
func (at location) String() string {
	if at.memory {
		return ":memory:"
	}
	return at.path
}

// purpose is what a connection is for.
type purpose int

const (
	forWriting purpose = iota
	forReading
	forCheckpoints
	forApplication
	forMemory
)

// Settings of all connections. Commits are synced (FULL); the log is moved into
// the file by our own checkpoints, see flow, and cut back to 64 MiB.
const pragmas = "_pragma=busy_timeout(5000)&_pragma=synchronous(full)&_pragma=wal_autocheckpoint(0)&_pragma=journal_size_limit(67108864)"

// settings are what a purpose adds to them. The writer's cache is small on purpose:
// SQLite walks through all of it at the commit of a transaction that has put pages
// of an index into another order, and what it does not hold, the system does. Only
// pages that a transaction has changed may take twice as much before they are
// written early.
var settings = map[purpose]string{
	forWriting:     "&_pragma=journal_mode(wal)&_pragma=cache_size(-2000)&_pragma=cache_spill(1000)",
	forReading:     "&_pragma=query_only(1)&_pragma=cache_size(-8000)",
	forCheckpoints: "",
	forApplication: "&_txlock=immediate",
	forMemory:      "&_txlock=immediate",
}

// dsn returns the name under which the driver opens the database. A new file
// gets the mode of a lock file (modeof), which is 0600.
func (at location) dsn(p purpose) string {
	if at.memory {
		return "file::memory:?" + pragmas + settings[p]
	}
	modeOf := filepath.Join(at.side, turnFile)
	return "file:" + (&url.URL{Path: at.path}).EscapedPath() + "?" + pragmas + settings[p] + "&modeof=" + strings.ReplaceAll(url.QueryEscape(modeOf), "+", "%20")
}

// dial opens a connection of the store's own.
func (s *Store) dial(ctx context.Context, p purpose) (*conn, error) {
	connector, err := driver.NewConnector(s.at.dsn(p))
	if err != nil {
		return nil, err
	}
	c, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}
