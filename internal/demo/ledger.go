package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/offstagehq/offstage"
)

// Ledger is the demo's own table of invoices. It lies in the store's database, so
// that an invoice and the memory of it are one commit.
type Ledger struct {
	db *sql.DB
	tx func(*sql.Tx) offstage.Tx // makes a transaction of db known to the store
}

// There is no key that would refuse a second invoice: that there is none is the
// job's doing.
const (
	sqlMakeLedger = `CREATE TABLE IF NOT EXISTS offstage_demo_invoice (job BIGINT NOT NULL, customer TEXT NOT NULL, cents BIGINT NOT NULL)`
	sqlFindLedger = `SELECT count(*) FROM offstage_demo_invoice WHERE job = 0`
	sqlInvoice    = `INSERT INTO offstage_demo_invoice (job, customer, cents) VALUES ($1, $2, $3)`
	sqlInvoices   = `SELECT job, count(*) FROM offstage_demo_invoice WHERE job >= $1 GROUP BY job`
)

// OpenLedger makes the table if there is none. db is on the store's database, and
// stays the caller's; tx is [sqlite.Tx] or [postgres.SQLTx].
func OpenLedger(ctx context.Context, db *sql.DB, tx func(*sql.Tx) offstage.Tx) (*Ledger, error) {
	if _, err := db.ExecContext(ctx, sqlMakeLedger); err != nil {
		// Another process may have made it at the same moment.
		if _, missing := db.ExecContext(ctx, sqlFindLedger); missing != nil {
			return nil, fmt.Errorf("make the table of invoices: %w", err)
		}
	}
	return &Ledger{db, tx}, nil
}

// write writes an invoice, as a step of the job. at is told where it is.
func (l *Ledger) write(ctx context.Context, job offstage.ID, bill BillCustomer, at func(string)) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	at("invoice: begun")
	_, err = offstage.StepTx(ctx, l.tx(tx), "invoice", func(ctx context.Context) (struct{}, error) {
		_, err := tx.ExecContext(ctx, sqlInvoice, int64(job), bill.Customer, bill.Cents)
		at("invoice: written")
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	at("invoice: remembered")
	if err := tx.Commit(); err != nil {
		return err
	}
	at("invoice: committed")
	return nil
}

// count returns how many invoices there are for each job from this one on.
func (l *Ledger) count(ctx context.Context, from offstage.ID) (map[offstage.ID]int, error) {
	rows, err := l.db.QueryContext(ctx, sqlInvoices, int64(from))
	if err != nil {
		return nil, err
	}
	counts := map[offstage.ID]int{}
	for rows.Next() {
		var job int64
		var n int
		if err := rows.Scan(&job, &n); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		counts[offstage.ID(job)] = n
	}
	return counts, errors.Join(rows.Err(), rows.Close())
}
