package load

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// enqueuePaired enqueues in a transaction of the application's, with a row
// beside the job; some are rolled back.
func (p *Producer) enqueuePaired(ctx context.Context, o offer, rollBack bool) {
	a := p.send(ctx, o, func(ctx context.Context, o offer) (a answer) {
		a.err = p.Ground.inTx(ctx, func(tx *sql.Tx) error {
			if err := p.Ground.addPair(ctx, tx, o.task.Key); err != nil {
				return err
			}
			var err error
			a.receipt, err = p.client.In(p.Ground.wrap(tx)).Enqueue(ctx, offstage.Named(o.kind, o.task), o.options...)
			if err == nil && rollBack {
				return errRollBack
			}
			return err
		})
		return a
	})
	if errors.Is(a.err, errRollBack) {
		p.Recorder.Write(history.Event{What: history.RolledBack, Key: o.task.Key})
		return
	}
	p.record(o, a)
}

// enqueueOnce repeats an enqueue until it is acknowledged: its unique key makes
// that safe.
func (p *Producer) enqueueOnce(ctx context.Context, o offer) {
	stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(lastTries, cancel)
	})()
	for {
		if p.record(o, p.send(ctx, o, p.sendOne)) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-stop.Done():
			return
		}
	}
}

// callOff cancels a job after a while.
func (p *Producer) callOff(ctx context.Context, id offstage.ID, after time.Duration) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	p.Recorder.Write(history.Event{What: history.CancelSend, Job: id})
	state, err := p.client.Cancel(ctx, id)
	if err != nil {
		p.Recorder.Write(history.Event{What: history.CancelFail, Job: id, Note: err.Error()})
		return
	}
	p.Recorder.Write(history.Event{What: history.CancelAck, Job: id, Next: state})
}

// signal gives the signal for which a job waits, after a while, and again until
// it is acknowledged: a repeat changes nothing.
func (p *Producer) signal(ctx context.Context, key string, after time.Duration) {
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		err := p.Ground.signal(call, p.Recorder, key, p.Name)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// signal gives a signal and records that.
func (g *Ground) signal(ctx context.Context, rec *history.Recorder, key, payload string) error {
	rec.Write(history.Event{What: history.SignalSend, Key: key, Note: payload})
	_, err := offstage.NewClient(g.Store).Signal(ctx, signalOf(key), payload)
	if err == nil {
		rec.Write(history.Event{What: history.SignalAck, Key: key, Note: payload})
	}
	return err
}
