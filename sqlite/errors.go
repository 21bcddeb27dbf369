package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/offstagehq/offstage"
	lib "modernc.org/sqlite/lib"
)

// errFailed is what every write answers after the disk has failed to keep one.
var errFailed = errors.New("the disk failed to keep what was written (fsync): what it has can no longer be trusted from here; restart the process")

// codeOf returns the extended result code of an error of SQLite's, 0 for others.
func codeOf(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return 0
}

// lostWrites reports whether an error means that the system may have dropped
// what it had taken: then a later success proves nothing about earlier data.
func lostWrites(err error) bool {
	switch codeOf(err) {
	case lib.SQLITE_IOERR_FSYNC, lib.SQLITE_IOERR_DIR_FSYNC:
		return true
	}
	return false
}

// fault wraps an error of a call on the store. What is the caller's own comes
// back as it is: its context's end, and what the contract names.
func fault(op string, err error) error {
	if err == nil || named(err) {
		return err
	}
	class, hint := classOf(err)
	if hint != "" {
		err = fmt.Errorf("%s: %w", hint, err)
	}
	return &offstage.StoreError{Class: class, Op: op, Err: err}
}

func named(err error) bool {
	var invalid *offstage.InvalidError
	var state *offstage.StateError
	var fault *offstage.StoreError
	if errors.As(err, &invalid) || errors.As(err, &state) || errors.As(err, &fault) {
		return true
	}
	for _, known := range []error{
		context.Canceled, context.DeadlineExceeded,
		offstage.ErrNotFound, offstage.ErrForeignTx, offstage.ErrLeaseLost, offstage.ErrClosed,
		offstage.ErrNotLeading, offstage.ErrNewerSchema, offstage.ErrGone,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// classOf says what an error means for the caller, and adds what SQLite's words
// leave out. Transactions are rolled back on any error, so nothing was done;
// only a commit whose fsync failed is unknown.
func classOf(err error) (offstage.FaultClass, string) {
	if errors.Is(err, errGateBusy) {
		return offstage.FaultBusy, ""
	}
	if errors.Is(err, errFailed) {
		return offstage.FaultDown, ""
	}
	if lostWrites(err) {
		return offstage.FaultUnknown, "the disk failed to keep a commit; restart the process"
	}
	switch codeOf(err) & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return offstage.FaultBusy, "another connection holds the database"
	case lib.SQLITE_FULL:
		return offstage.FaultBusy, "no space is left for the database: free some on its disk"
	case lib.SQLITE_NOMEM:
		return offstage.FaultBusy, ""
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE:
		return offstage.FaultData, ""
	case lib.SQLITE_READONLY:
		return offstage.FaultDown, "the database, or the folder it is in, cannot be written"
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return offstage.FaultDown, "the file is damaged or not a SQLite database"
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_PROTOCOL:
		return offstage.FaultDown, ""
	}
	return offstage.FaultDown, ""
}
