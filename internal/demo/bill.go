package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
)

// The services that a bill needs, simulated like the devices: they act once for
// each idempotency key, and are as unreliable.
const (
	cardProvider = "card-provider"
	postOffice   = "post-office"
)

// BillCustomer is a job that bills a customer: an invoice row, a card charge, an
// e-mail.
type BillCustomer struct {
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// Kind returns "bill_customer".
func (BillCustomer) Kind() string { return "bill_customer" }

// EnqueueOptions puts bills into a queue of their own.
func (BillCustomer) EnqueueOptions() []offstage.Option {
	return []offstage.Option{offstage.InQueue("billing")}
}

// biller bills customers.
type biller struct {
	tables  *Tables
	devices device.Client
	url     string                    // of the services
	at      func(offstage.ID, string) // is told where a job is; tests kill it there
}

// bill bills a customer once, wherever it is interrupted.
func (b *biller) bill(ctx context.Context, job *offstage.Job[BillCustomer]) error {
	at := func(point string) { b.at(job.ID, point) }
	at("invoice: next")
	if err := b.tables.writeInvoice(ctx, job.ID, job.Args, at); err != nil {
		return err
	}
	at("charge: next")
	charge, err := b.order(ctx, at, "charge", cardProvider, fmt.Sprintf("bill %d: charge %s %d cents", job.ID, job.Args.Customer, job.Args.Cents))
	if err != nil {
		return err
	}
	at("mail: next")
	_, err = b.order(ctx, at, "mail", postOffice, fmt.Sprintf("bill %d: tell %s of charge %d", job.ID, job.Args.Customer, charge))
	at("mail: end")
	return err
}

// order is a step that has a service do something, under the step's key, and
// returns the number that it was done under.
func (b *biller) order(ctx context.Context, at func(string), step, service, command string) (int64, error) {
	return offstage.Step(ctx, step, func(ctx context.Context) (int64, error) {
		at(step + ": begun")
		result, err := b.devices.Send(ctx, b.url, service, command, offstage.IdempotencyKey(ctx))
		if err == nil {
			at(step + ": answered")
		}
		return result.Number, settled(ctx, err)
	}, offstage.StepRetry(3, nil))
}

// settled says of a service's error what is to become of the job.
func settled(ctx context.Context, err error) error {
	var (
		away     *device.UnavailableError
		rejected *device.RejectedError
	)
	switch {
	case errors.As(err, &rejected):
		return offstage.Fail(err)
	case errors.As(err, &away):
		offstage.Logger(ctx).InfoContext(ctx, "a service did not answer", "service", away.Device, "err", away.Reason)
		if away.RetryAfter > 0 {
			return offstage.RetryAfter(away.RetryAfter, err)
		}
	}
	return err
}

// billRetry keeps trying for a day.
var billRetry = offstage.RetryPolicy{
	MaxAttempts: 10_000,
	Budget:      24 * time.Hour,
	Backoff:     func(failed int) time.Duration { return min(time.Duration(failed)*500*time.Millisecond, 10*time.Second) },
}
