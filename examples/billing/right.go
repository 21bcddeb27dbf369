package billing

import (
	"context"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// Right bills a customer once, wherever it is interrupted.
func (s *Shop) Right(ctx context.Context, job *offstage.Job[Bill]) error {
	invoice, err := s.invoice(ctx, job.Args)
	if err != nil {
		return err
	}
	charge, err := offstage.Step(ctx, "charge", func(ctx context.Context) (string, error) {
		return s.call(ctx, s.Bank, fmt.Sprintf(`{"cents": %d}`, job.Args.Cents))
	}, offstage.StepRetry(3, nil), offstage.StepTimeout(10*time.Second))
	if err != nil {
		return err
	}
	_, err = offstage.Step(ctx, "mail", func(ctx context.Context) (string, error) {
		return s.call(ctx, s.Post, fmt.Sprintf(`{"invoice": %d, "charge": %q}`, invoice, charge))
	})
	return err
}

// invoice writes the row and the memory of it in one transaction.
func (s *Shop) invoice(ctx context.Context, bill Bill) (id int64, err error) {
	tx, err := s.Store.DB().BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // does nothing after the commit
	id, err = offstage.StepTx(ctx, sqlite.Tx(tx), "invoice", func(ctx context.Context) (int64, error) {
		const insert = "INSERT INTO invoice (customer, cents) VALUES (?, ?)"
		row, err := tx.ExecContext(ctx, insert, bill.Customer, bill.Cents)
		if err != nil {
			return 0, err
		}
		return row.LastInsertId()
	})
	if err != nil {
		return 0, err
	}
	return id, tx.Commit()
}
