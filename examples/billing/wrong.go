package billing

import (
	"context"
	"fmt"

	"github.com/offstagehq/offstage"
)

// Wrong bills a customer, unless it is interrupted: every attempt begins from the
// start. Killed after the charge, it charges again.
func (s *Shop) Wrong(ctx context.Context, job *offstage.Job[Bill]) error {
	const insert = "INSERT INTO invoice (customer, cents) VALUES (?, ?)"
	row, err := s.Store.DB().ExecContext(ctx, insert, job.Args.Customer, job.Args.Cents)
	if err != nil {
		return err
	}
	invoice, err := row.LastInsertId()
	if err != nil {
		return err
	}
	charge, err := s.call(context.Background(), s.Bank, fmt.Sprintf(`{"cents": %d}`, job.Args.Cents))
	if err != nil {
		return err
	}
	_, err = s.call(context.Background(), s.Post, fmt.Sprintf(`{"invoice": %d, "charge": %q}`, invoice, charge))
	return err
}
