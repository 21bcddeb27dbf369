package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
)

// Tables are the demo's own tables: invoices, the mails of its inbox, and what its
// search finds. They lie in the store's database, so that what a job writes there
// and the memory of it are one commit. They are safe for concurrent use.
type Tables struct {
	db    *sql.DB
	tx    func(*sql.Tx) offstage.Tx // makes a transaction of db known to the store
	index index                     // in the words of the database
}

// SQLiteTables makes the tables if they are not there. db is the store's DB, and
// stays the caller's.
func SQLiteTables(ctx context.Context, db *sql.DB) (*Tables, error) {
	return openTables(ctx, &Tables{db, sqlite.Tx, sqliteIndex}, "")
}

// PostgresTables makes the tables if they are not there. db is on the store's
// database, and stays the caller's.
func PostgresTables(ctx context.Context, db *sql.DB) (*Tables, error) {
	return openTables(ctx, &Tables{db, postgres.SQLTx, postgresIndex}, `SELECT pg_advisory_xact_lock(hashtext('offstage_demo'))`)
}

// sqlFindTables fails if one of the tables is not there.
const sqlFindTables = `SELECT count(*) FROM offstage_demo_invoice i, offstage_demo_mail m, offstage_demo_report r, offstage_demo_words w, offstage_demo_seen s
WHERE i.job = 0 AND m.received = 0 AND r.job = 0 AND s.job = 0`

// openTables makes the tables in one transaction. On SQLite it is alone from its
// beginning on; on PostgreSQL lock makes it so.
func openTables(ctx context.Context, t *Tables, lock string) (*Tables, error) {
	if _, err := t.db.ExecContext(ctx, sqlFindTables); err == nil {
		return t, nil // without the right to make any
	}
	all := strings.Join([]string{lock, sqlMakeInvoices, sqlMakeMails, sqlMakeReports, sqlMakeSeen, t.index.make}, ";\n")
	err := t.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, all)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make the demo's tables: %w", err)
	}
	return t, nil
}

// write runs do in a transaction, which is committed unless do fails.
func (t *Tables) write(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// each hands every row of a query to scan.
func (t *Tables) each(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := t.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
