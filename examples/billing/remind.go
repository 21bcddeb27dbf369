package billing

import (
	"context"
	"fmt"

	"github.com/offstagehq/offstage"
)

// Remind reminds the customer of every invoice, in the order of their ids. A
// deploy interrupts it between two invoices; after a kill it repeats at most ten,
// under the keys that these had before.
func (s *Shop) Remind(ctx context.Context, job *offstage.Job[struct{}]) error {
	cursor, err := offstage.OpenCursor[int64](ctx, "invoices", offstage.SaveEvery(0, 10))
	if err != nil {
		return err
	}
	for {
		last, _ := cursor.Value()
		var id, customer int64
		const next = "SELECT coalesce(min(id), 0), coalesce(customer, 0) FROM invoice WHERE id > ?"
		if err := s.Store.DB().QueryRowContext(ctx, next, last).Scan(&id, &customer); err != nil {
			return err
		}
		if id == 0 {
			return cursor.Save(ctx)
		}
		url := fmt.Sprintf("%s/invoices/%d", s.Post, id) // the key is the URL's
		if _, err := s.call(ctx, url, fmt.Sprintf(`{"customer": %d}`, customer)); err != nil {
			return err
		}
		if err := cursor.Set(ctx, id); err != nil {
			return err
		}
	}
}
