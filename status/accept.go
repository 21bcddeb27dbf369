package status

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/offstagehq/offstage"
)

// Accept turns a request into a job and answers it. Without a preference the
// answer is 202 at once, or when Config.Wait has passed; with "Prefer: wait=n" it
// is 200 with the job's status and result if the job ends within n seconds, else
// the same 202; a browser's form is sent on to the status page (303). A request
// that was made before (see [Flows.Once]) gets the first one's answer. What is
// wrong is answered as by [Flows.Refuse], and nothing was enqueued.
func (f *Flows) Accept(w http.ResponseWriter, r *http.Request, args offstage.Args, options ...offstage.Option) {
	ticket, err := f.Enqueue(r, args, options...)
	if err != nil {
		f.Refuse(w, r, err)
		return
	}
	ticket.Answer(w, r)
}

// Ticket is a request that has become a job and waits for its answer. It is for
// the request's goroutine.
type Ticket struct {
	// Job names the job.
	Job offstage.ID
	// Repeated says that the job was there already: the request was made before,
	// or the job is unique. What the request brought is not needed.
	Repeated bool
	// Location is the address of the job's status.
	Location string
	// Page is where a browser's form is sent; "" means Location.
	Page string
	// Wait is how long to wait for the job where the client has no preference;
	// it is Config.Wait at first.
	Wait time.Duration

	flows   *Flows
	receipt *offstage.Receipt
}

// Enqueue is [Flows.Accept] without its answer, which is given by
// [Ticket.Answer]. For its errors, see [ProblemOf].
func (f *Flows) Enqueue(r *http.Request, args offstage.Args, options ...offstage.Option) (*Ticket, error) {
	return f.enqueue(r, f.client.Enqueue, args, options)
}

// EnqueueIn is [Flows.Enqueue] in the caller's transaction: answer only after
// the commit.
func (f *Flows) EnqueueIn(r *http.Request, tx offstage.Tx, args offstage.Args, options ...offstage.Option) (*Ticket, error) {
	return f.enqueue(r, f.client.In(tx).Enqueue, args, options)
}

type enqueueFunc func(context.Context, offstage.Args, ...offstage.Option) (*offstage.Receipt, error)

func (f *Flows) enqueue(r *http.Request, enqueue enqueueFunc, args offstage.Args, options []offstage.Option) (*Ticket, error) {
	request, err := f.requestOf(r)
	if err != nil {
		return nil, err
	}
	options = append(options, func(job *offstage.NewJob) error { return f.admit(r.Context(), job.Queue) })
	if request != nil {
		options = append(options, offstage.ForRequest(*request))
	}
	receipt, err := enqueue(r.Context(), args, options...)
	var full *Problem
	if request != nil && errors.As(err, &full) && full.Code == codeFull {
		// There is no room for a new job, but a repeat needs none.
		if made, missing := f.client.Requested(r.Context(), *request); missing == nil || errors.Is(missing, offstage.ErrOtherRequest) {
			receipt, err = made, missing
		}
	}
	if err != nil {
		return nil, err
	}
	from := receipt.At
	if from.IsZero() {
		from = time.Now()
	}
	return &Ticket{
		Job: receipt.ID, Repeated: receipt.Existed, Location: f.link(r, receipt.ID, from), Wait: f.cfg.Wait, flows: f, receipt: receipt,
	}, nil
}

// Answer answers the request: see [Flows.Accept].
func (t *Ticket) Answer(w http.ResponseWriter, r *http.Request) {
	f, header := t.flows, w.Header()
	header.Add("Vary", "Prefer, Accept")
	header.Set("Cache-Control", "no-store")
	if t.Repeated && r.Header.Get(keyHeader) != "" {
		header.Set("Idempotency-Replayed", "true")
	}
	if PrefersHTML(r) {
		page := t.Page
		if page == "" {
			page = t.Location
		}
		http.Redirect(w, r, page, http.StatusSeeOther)
		return
	}
	asked := preferenceOf(r, f.cfg.MaxWait)
	ended := t.await(r, asked)
	if applied := asked.applied(!ended); applied != "" {
		header.Set("Preference-Applied", applied)
	}
	header.Set("Location", t.Location)
	info, err := f.client.Get(r.Context(), t.Job)
	if errors.Is(err, offstage.ErrNotFound) && t.Repeated {
		info.ID = t.Job // it has been and gone; its status says so
	} else if err != nil {
		f.Refuse(w, r, err)
		return
	}
	status := f.statusOf(r, info, t.Location)
	if ended {
		header.Set("Content-Location", t.Location)
		writeJSON(w, http.StatusOK, "application/json", status)
		return
	}
	header.Set("Retry-After", seconds(status.lookAgain()))
	writeJSON(w, http.StatusAccepted, "application/json", status)
}

// await waits for the job as long as was asked, and reports whether it has ended.
func (t *Ticket) await(r *http.Request, asked preference) bool {
	wait := t.Wait
	switch {
	case asked.waits:
		wait = asked.wait
	case asked.async:
		wait = 0
	}
	if wait <= 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	_, err := t.receipt.Wait(ctx)
	var ended *offstage.EndedError
	return err == nil || errors.As(err, &ended)
}
