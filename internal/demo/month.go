package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

// BillMonth is a job that bills every customer for the month of its tick.
type BillMonth struct{}

// Kind returns "bill_month".
func (BillMonth) Kind() string { return "bill_month" }

// EnqueueOptions puts it before the bills, in their queue.
func (BillMonth) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("billing")}
}

// billMonth enqueues the bills of a month. Each has a key of its own that is held
// longer than the month, so that a second run enqueues none.
func (s *service) billMonth(ctx context.Context, job *offstage.Job[BillMonth]) error {
	at := time.Now()
	if job.Tick != nil {
		at = job.Tick.At
	}
	month := at.UTC().Format("2006-01")
	enqueued := 0
	for n := range billsAtOnce {
		customer := fmt.Sprintf("customer-%d", n+1)
		once := offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: month + " " + customer, Period: 40 * 24 * time.Hour})
		receipt, err := s.client.Enqueue(ctx, BillCustomer{Customer: customer, Cents: int64(100 * (n + 1))}, once)
		if err != nil {
			return err
		}
		if !receipt.Existed {
			enqueued++
		}
	}
	message := fmt.Sprintf("%s: %d enqueued, %d were there already", month, enqueued, billsAtOnce-enqueued)
	offstage.Progress(ctx, billsAtOnce, billsAtOnce, message)
	offstage.Logger(ctx).InfoContext(ctx, "the month is billed", "month", month, "enqueued", enqueued)
	return nil
}
