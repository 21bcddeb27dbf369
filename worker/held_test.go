package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestAClaimWhoseAnswerWasLostIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := faultstore.Wrap(offstagetest.NewStore())
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		store.Break(faultstore.Fault{Method: "Claim", Mode: faultstore.After, Count: 1})
		id := r.enqueue(task{})
		began := time.Now()
		r.run()
		got := r.await(id, offstage.Completed)
		if len(got.Attempts) != 2 || got.Attempts[0].Outcome != offstage.OutcomeInterrupted || got.Errors != 0 {
			t.Errorf("attempts %+v; want one handed back, then one completed", got.Attempts)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		r.endWell()
		if left, err := store.Claims(t.Context(), got.Attempts[0].Worker); err != nil || len(left) != 0 {
			t.Errorf("claims left: %v, %v", left, err)
		}
	})
}

func TestAClaimThatIsCommittedAfterItsTimeoutIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		// The server carries the first claim out long after the worker gave up.
		late := false
		store.before(func(ctx context.Context, call string, in any) error {
			request, ok := in.(offstage.ClaimRequest)
			if !ok || late {
				return nil
			}
			late = true
			time.AfterFunc(20*time.Second, func() {
				if _, err := store.Store.Claim(context.Background(), request); err != nil {
					t.Error(err)
				}
			})
			return lost
		})
		if err := r.client.PauseQueue(t.Context(), offstage.DefaultQueue); err != nil {
			t.Fatal(err)
		}
		id := r.enqueue(task{})
		r.run()
		tick(20*time.Second - time.Millisecond)
		store.before(nil)
		if err := r.client.ResumeQueue(t.Context(), offstage.DefaultQueue); err != nil {
			t.Fatal(err)
		}
		if got := r.await(id, offstage.Completed); len(got.Attempts) > 2 {
			t.Errorf("%d attempts", len(got.Attempts))
		}
		r.endWell()
	})
}

func TestAClaimThatNobodyRemembersIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		r.run()
		worker := r.await(r.enqueue(task{}), offstage.Completed).Attempts[0].Worker
		if err := r.client.PauseQueue(t.Context(), offstage.DefaultQueue); err != nil {
			t.Fatal(err)
		}
		id := r.enqueue(task{}, offstage.InQueue("elsewhere"))
		claimed, err := store.Store.Claim(t.Context(), offstage.ClaimRequest{
			Worker: worker, Seq: 1 << 40, Pools: []offstage.PoolRequest{{Queues: []string{"elsewhere"}, Slots: 1}},
		})
		if err != nil || len(claimed.Jobs) != 1 {
			t.Fatalf("claimed %v, %v", claimed, err)
		}
		if got := r.await(id, offstage.Ready); got.Attempts[0].Outcome != offstage.OutcomeInterrupted {
			t.Errorf("handed back as %v", got.Attempts[0].Outcome)
		}
		tick(time.Second)
		if held, err := store.Store.Claims(t.Context(), worker); err != nil || len(held) != 0 {
			t.Errorf("claims left: %v, %v", held, err)
		}
		r.endWell()
	})
}

// slowAnswers is a store whose claims are carried out long before they answer.
type slowAnswers struct{ *tap }

func (s slowAnswers) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	claim, err := s.tap.Claim(ctx, req)
	tick(3500 * time.Millisecond)
	return claim, err
}

func TestAClaimInFlightIsNotTakenForAStray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, slowAnswers{newTap()}, worker.Config{})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { return nil })
		id := r.enqueue(task{})
		r.run()
		if got := r.await(id, offstage.Completed); len(got.Attempts) != 1 {
			t.Errorf("%d attempts", len(got.Attempts))
		}
		r.endWell()
	})
}

// lateBeats is a store whose answers to beats are old when they arrive.
type lateBeats struct{ *tap }

func (s lateBeats) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	beat, err := s.tap.Beat(ctx, worker)
	tick(50 * time.Millisecond)
	return beat, err
}

func TestReleasedClaimsAreNotTakenForStrays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, lateBeats{store}, worker.Config{Pools: []worker.Pool{{Queues: []string{"default"}, Slots: 3}}})
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { tick(7 * time.Millisecond); return nil })
		var last offstage.ID
		for range 3000 {
			last = r.enqueue(task{})
		}
		r.run()
		if got := r.await(last, offstage.Completed); got.Run != 1 {
			t.Errorf("run %d", got.Run)
		}
		if n := store.count("Claims"); n != 0 {
			t.Errorf("claims were looked up %d times", n)
		}
		r.endWell()
	})
}

func TestAttemptsOfAClaimThatIsGoneAreCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		r := newRig(t, store, worker.Config{})
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		worker := r.await(id, offstage.Running).Worker
		// Somebody ends the attempt and its claim behind the worker's back.
		_, err := store.Store.Finish(t.Context(), offstage.FinishRequest{Worker: worker, Release: []int64{1, 2, 3}, Results: []offstage.Result{
			{Job: id, Run: 1, Claim: 1, Outcome: offstage.OutcomeCancelled, Next: offstage.Cancelled},
			{Job: id, Run: 1, Claim: 2, Outcome: offstage.OutcomeCancelled, Next: offstage.Cancelled},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if cause := r.awaitCause(causes); !errors.Is(cause, offstage.ErrLeaseLost) {
			t.Errorf("cause %v", cause)
		}
		if got := r.await(id, offstage.Cancelled); len(got.Attempts) != 1 {
			t.Errorf("%d attempts", len(got.Attempts))
		}
		r.endWell()
	})
}
