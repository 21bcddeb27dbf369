package postgres

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offstagehq/offstage"
)

// fault turns what went wrong while doing op into what the contract knows. sent
// says whether the server may have seen the statements. The end of the caller's
// own context stays what it is.
func fault(ctx context.Context, op string, err error, sent bool) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("offstage: %s: %w", op, errors.Join(ctx.Err(), err))
	}
	if ours(err) {
		return err
	}
	return &offstage.StoreError{Class: classOf(err, sent), Op: op, Err: err}
}

// ours reports whether an error already speaks the contract's language.
func ours(err error) bool {
	var stored *offstage.StoreError
	var invalid *offstage.InvalidError
	var state *offstage.StateError
	for _, known := range []error{
		offstage.ErrNotFound, offstage.ErrForeignTx, offstage.ErrLeaseLost, offstage.ErrClosed,
		offstage.ErrNotLeading, offstage.ErrNewerSchema, offstage.ErrGone,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return errors.As(err, &stored) || errors.As(err, &invalid) || errors.As(err, &state)
}

func classOf(err error, sent bool) offstage.FaultClass {
	var server *pgconn.PgError
	var dial *pgconn.ConnectError
	switch {
	case errors.As(err, &dial):
		return dialClass(err)
	case errors.As(err, &server):
		return codeClass(server.Code)
	case !sent, unsent(err):
		return offstage.FaultBusy
	}
	return offstage.FaultUnknown
}

// unsent reports whether pgx is sure that nothing reached the server. Of a
// connection that is closed it is too sure: it says so as well of one that it
// lost under a statement (MultiResultReader.NextResult in 5.12 drops the first
// error), a commit included.
func unsent(err error) bool {
	return pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
}

// dialClass is the class of a connection that did not come about. Nothing was
// carried out, but only a refusal proves that the server is down: silence may as
// well be the network.
func dialClass(err error) offstage.FaultClass {
	var server *pgconn.PgError
	if errors.As(err, &server) && codeClass(server.Code) == offstage.FaultDown {
		return offstage.FaultDown
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return offstage.FaultDown
	}
	return offstage.FaultBusy
}

// codeClass is the class of an SQLSTATE. Whatever is not known to be the fault
// of the data may succeed later: a table that was not migrated yet, a disk that
// is full, a server that was demoted.
func codeClass(code string) offstage.FaultClass {
	switch code {
	case "57P01", "57P02", "57P03", "57P04": // shut down, crashed, starting up, database dropped
		return offstage.FaultDown
	}
	switch code[:min(2, len(code))] {
	case "08": // connection exception, as PgBouncer reports a server that it lost
		return offstage.FaultUnknown
	case "22", "23", "54": // bad data, constraint, a limit of the server's
		return offstage.FaultData
	}
	return offstage.FaultBusy
}

// codeOf returns the SQLSTATE of an error, "" if the server did not send one.
func codeOf(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	return ""
}

// SQLSTATEs that statements here treat apart.
const (
	codeUniqueViolation = "23505"
	codeUndefinedTable  = "42P01"
	codeUndefinedSchema = "3F000"
	codeDivisionByZero  = "22012"
	codeLockTimeout     = "55P03"
	codeDeadlock        = "40P01"
	codeReadOnly        = "25006" // the server was demoted under our connections
)

// undone reports whether the server rolled the statement back for a reason that
// may be gone at once: serialization failure, deadlock, a cached plan that a
// migration made stale.
func undone(err error) bool {
	switch codeOf(err) {
	case "40001", "40P01", "0A000":
		return true
	}
	return false
}
