package demo

import (
	"context"
	"database/sql"

	"github.com/offstagehq/offstage"
)

// There is no key that would refuse a second invoice: that there is none is the
// job's doing.
const (
	sqlMakeInvoices = `CREATE TABLE IF NOT EXISTS offstage_demo_invoice (job BIGINT NOT NULL, customer TEXT NOT NULL, cents BIGINT NOT NULL)`
	sqlInvoice      = `INSERT INTO offstage_demo_invoice (job, customer, cents) VALUES ($1, $2, $3)`
	sqlInvoices     = `SELECT job, count(*) FROM offstage_demo_invoice WHERE job >= $1 GROUP BY job`
)

// writeInvoice writes an invoice, as a step of the job. at is told where it is.
func (t *Tables) writeInvoice(ctx context.Context, job offstage.ID, bill BillCustomer, at func(string)) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	at("invoice: begun")
	_, err = offstage.StepTx(ctx, t.tx(tx), "invoice", func(ctx context.Context) (struct{}, error) {
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

// countInvoices returns how many invoices there are for each job from this one on.
func (t *Tables) countInvoices(ctx context.Context, from offstage.ID) (map[offstage.ID]int, error) {
	counts := map[offstage.ID]int{}
	err := t.each(ctx, func(rows *sql.Rows) error {
		var job int64
		var n int
		err := rows.Scan(&job, &n)
		counts[offstage.ID(job)] = n
		return err
	}, sqlInvoices, int64(from))
	return counts, err
}
