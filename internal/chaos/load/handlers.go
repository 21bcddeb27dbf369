package load

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/worker"
)

// stage is what the handlers have to do with.
type stage struct {
	ground *Ground
	rec    *history.Recorder
	// die kills this process at once; devour uses up its memory until it dies.
	die, devour func()
}

type job = offstage.Job[Task]

// register gives the worker a handler for every kind.
func (s *stage) register(w *worker.Worker) {
	handlers := map[string]func(context.Context, *job) error{
		flaky: s.flaky, effect: s.effect, snoozed: s.snoozed, deaf: s.deaf, broken: s.broken,
		stepped: s.stepped, patient: s.patient,
		poison:  func(ctx context.Context, j *job) error { return s.poison(ctx, j, s.die) },
		glutton: func(ctx context.Context, j *job) error { return s.poison(ctx, j, s.devour) },
	}
	for kind := range kinds {
		handler := handlers[kind]
		if handler == nil {
			handler = s.plain
		}
		worker.HandleNamed(w, kind, handler, worker.Retry(policy(kind)))
	}
}

// plain works until its time is over or its context ends.
func (s *stage) plain(ctx context.Context, j *job) error {
	timer := time.NewTimer(time.Duration(j.Args.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errFlaky = errors.New("this is one of the failures to come")

func (s *stage) flaky(ctx context.Context, j *job) error {
	if err := s.plain(ctx, j); err != nil {
		return err
	}
	if j.Errors < j.Args.Fails {
		return errFlaky
	}
	return nil
}

func (s *stage) snoozed(ctx context.Context, j *job) error {
	if err := s.plain(ctx, j); err != nil {
		return err
	}
	if j.Run > j.Args.Fails {
		return nil
	}
	const later = 200 * time.Millisecond
	return &ending{offstage.Snooze(later), history.Control, later}
}

// effect completes its job in a transaction of its own, in which it also writes
// a row: both happen or neither.
func (s *stage) effect(ctx context.Context, j *job) error {
	if err := s.plain(ctx, j); err != nil {
		return err
	}
	return s.ground.inTx(ctx, func(tx *sql.Tx) error {
		if err := s.ground.addEffect(ctx, tx, j.ID); err != nil {
			return err
		}
		return j.Complete(ctx, s.ground.wrap(tx))
	})
}

// deaf goes on whatever happens to its context.
func (s *stage) deaf(_ context.Context, j *job) error {
	time.Sleep(time.Duration(j.Args.MS) * time.Millisecond)
	return nil
}

// broken ends its goroutine in both of the ways that are not a return.
func (s *stage) broken(ctx context.Context, j *job) error {
	if err := s.plain(ctx, j); err != nil {
		return err
	}
	switch {
	case j.Errors >= j.Args.Fails:
		return nil
	case j.Errors == 0:
		panic("this is one of the panics to come")
	}
	runtime.Goexit()
	return nil
}

// poison ends its process.
func (s *stage) poison(ctx context.Context, j *job, end func()) error {
	if err := s.plain(ctx, j); err != nil {
		return err
	}
	s.rec.Write(history.Event{What: history.Suicide, Job: j.ID, Run: j.Run, Kind: j.Kind})
	end()
	<-ctx.Done() // it takes a moment to die
	return context.Cause(ctx)
}
