package offstage_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// atOnce retries without a wait.
var atOnce = worker.Retry(offstage.RetryPolicy{Backoff: func(int) time.Duration { return 0 }})

// perform enqueues one job and runs it until it has ended.
func perform(store offstage.Store, handler func(ctx context.Context, job *offstage.Job[int]) error) {
	ctx, stop := context.WithCancel(context.Background())
	w, err := worker.New(store, worker.Config{})
	check(err)
	worker.HandleNamed(w, "bill", handler, atOnce)
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	receipt, err := offstage.NewClient(store).Enqueue(ctx, offstage.Named("bill", 7))
	check(err)
	_, err = receipt.Wait(ctx)
	check(err)
	stop()
	check(<-ended)
}

// What succeeded is not done again when a later part fails.
func ExampleStep() {
	perform(offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[int]) error {
		charge, err := offstage.Step(ctx, "charge", func(ctx context.Context) (string, error) {
			fmt.Println("charging customer", job.Args)
			return "ch_1", nil
		})
		if err != nil {
			return err
		}
		_, err = offstage.Step(ctx, "mail", func(ctx context.Context) (string, error) {
			if job.Run == 1 {
				return "", errors.New("the mail server is asleep")
			}
			fmt.Println("mailing the receipt of", charge)
			return "", nil
		})
		return err
	})
	// Output:
	// charging customer 7
	// mailing the receipt of ch_1
}

// A row and the memory that it was written are committed together.
func ExampleStepTx() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, ":memory:")
	check(err)
	_, err = store.DB().ExecContext(ctx, "CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer INTEGER)")
	check(err)

	invoice := func(ctx context.Context, customer int) (id int64, err error) {
		tx, err := store.DB().BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		defer tx.Rollback()
		id, err = offstage.StepTx(ctx, sqlite.Tx(tx), "invoice", func(ctx context.Context) (int64, error) {
			row, err := tx.ExecContext(ctx, "INSERT INTO invoice (customer) VALUES (?)", customer)
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
	perform(store, func(ctx context.Context, job *offstage.Job[int]) error {
		id, err := invoice(ctx, job.Args)
		if err != nil {
			return err
		}
		fmt.Printf("attempt %d: invoice %d\n", job.Run, id)
		if job.Run == 1 {
			return errors.New("something that comes later went wrong")
		}
		return nil
	})
	var invoices int
	check(store.DB().QueryRowContext(ctx, "SELECT count(*) FROM invoice").Scan(&invoices))
	fmt.Println(invoices, "invoice")
	check(store.Close())
	// Output:
	// attempt 1: invoice 1
	// attempt 2: invoice 1
	// 1 invoice
}

// A loop over many rows goes on where it was.
func ExampleOpenCursor() {
	rows := []string{"a", "b", "c", "d"} // the keys of a table, in order
	perform(offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[int]) error {
		cursor, err := offstage.OpenCursor[string](ctx, "rows")
		if err != nil {
			return err
		}
		last, _ := cursor.Value()
		for _, row := range rows {
			if row <= last { // a query would say WHERE key > $1 ORDER BY key
				continue
			}
			fmt.Printf("attempt %d: row %s\n", job.Run, row)
			if err := cursor.Set(ctx, row); err != nil {
				return err
			}
			if row == "b" && job.Run == 1 {
				return errors.Join(errors.New("something went wrong"), cursor.Save(ctx))
			}
		}
		return nil
	})
	// Output:
	// attempt 1: row a
	// attempt 1: row b
	// attempt 2: row c
	// attempt 2: row d
}

// A third party gets the same key in every attempt, and acts once.
func ExampleIdempotencyKey() {
	charged := map[string]bool{} // by key: what a payment provider knows
	perform(offstagetest.NewStore(), func(ctx context.Context, job *offstage.Job[int]) error {
		_, err := offstage.Step(ctx, "charge", func(ctx context.Context) (bool, error) {
			key := offstage.IdempotencyKey(ctx)
			fmt.Printf("attempt %d: known already: %t\n", job.Run, charged[key])
			charged[key] = true
			if job.Run == 1 {
				return false, errors.New("the answer was lost")
			}
			return true, nil
		})
		return err
	})
	fmt.Println(len(charged), "charge")
	// Output:
	// attempt 1: known already: false
	// attempt 2: known already: true
	// 1 charge
}

// A webhook that may be delivered twice enqueues one job.
func ExampleTxClient_Once() {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, ":memory:")
	check(err)
	client := offstage.NewClient(store)
	receive := func(event string) error {
		tx, err := store.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after the commit
		enqueuer := client.In(sqlite.Tx(tx))
		first, err := enqueuer.Once(ctx, "webhook "+event)
		if err != nil || !first {
			return err
		}
		if _, err := enqueuer.Enqueue(ctx, offstage.Named("handle_event", event)); err != nil {
			return err
		}
		fmt.Println("enqueued", event)
		return tx.Commit()
	}
	for _, event := range []string{"evt_1", "evt_2", "evt_1"} {
		check(receive(event))
	}
	check(store.Close())
	// Output:
	// enqueued evt_1
	// enqueued evt_2
}
