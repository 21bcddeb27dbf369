package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

func TestOnChangeIsToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		var r *rig
		r = newRig(t, offstagetest.NewStore(), worker.Config{OnChange: func(ctx context.Context, e worker.Event) {
			now := r.get(e.Job.ID).State
			if e.To != offstage.Running && now != e.To {
				t.Errorf("told of %v while the job is %v", e.To, now)
			}
			seen.add(fmt.Sprintf("%d %v>%v %v %s %s", e.Run, e.From, e.To, e.Outcome, e.Err, offstage.Carried(ctx, "who")))
			panic("the hook's own")
		}})
		worker.Handle(r.worker, func(_ context.Context, job *offstage.Job[task]) error {
			if job.Run == 1 {
				return errors.New("boom")
			}
			return nil
		})
		r.run()
		receipt, err := r.client.Enqueue(offstage.Carry(t.Context(), "who", "me"), task{})
		if err != nil {
			t.Fatal(err)
		}
		r.await(receipt.ID, offstage.Completed)
		tick(time.Second)
		want := []string{
			"1 ready>running outcome(0)  me", "1 running>retrying errored boom me",
			"2 ready>running outcome(0)  me", "2 running>completed completed  me",
		}
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "outcome(0)", offstage.Outcome(0).String())
		}
		if got := seen.all(); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("told of\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		r.endWell()
	})
}

func TestARefusedResultIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTap()
		var ends journal
		r := newRig(t, store, worker.Config{OnChange: func(_ context.Context, e worker.Event) {
			if e.Outcome != 0 {
				ends.add(e.Outcome.String())
			}
		}})
		causes := hold(r)
		id := r.enqueue(task{})
		r.run()
		held := r.await(id, offstage.Running).Worker
		if _, _, err := store.Rescue(t.Context(), offstage.Peer{ID: held, Dead: true}, 100); err != nil {
			t.Fatal(err)
		}
		r.awaitCause(causes)
		r.awaitRun(id, 2, offstage.Running)
		if told := ends.all(); len(told) > 0 {
			t.Errorf("told of %v, which came too late to count", told)
		}
		r.endWell()
	})
}

func TestASlowHookHoldsFetchingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, offstagetest.NewStore(), worker.Config{OnChange: func(context.Context, worker.Event) { <-release }})
		var ran journal
		worker.Handle(r.worker, func(context.Context, *offstage.Job[task]) error { ran.add(""); return nil })
		for range 2 * worker.BehindBy {
			r.enqueue(task{})
		}
		r.run()
		tick(time.Minute)
		if n := len(ran.all()); n > worker.BehindBy {
			t.Errorf("%d jobs ran though nobody was told", n)
		}
		close(release)
		tick(time.Minute)
		if n := len(ran.all()); n != 2*worker.BehindBy {
			t.Errorf("%d jobs ran in the end", n)
		}
		r.endWell()
	})
}
