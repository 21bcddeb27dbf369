//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package sqlite

import (
	"errors"
	"os"
)

var errNoLocks = errors.New("offstage: a SQLite file needs file locks, which this package does not know on this system; use \":memory:\" or PostgreSQL")

func tryLock(*os.File, bool) (bool, error) { return false, errNoLocks }
func unlock(*os.File) error                { return errNoLocks }
