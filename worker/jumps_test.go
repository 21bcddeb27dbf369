package worker_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/worker"
)

// The wall clocks of two workers are set back and forth by hours, each for
// itself, while jobs run, wait and are retried: nobody takes anybody for dead,
// and no handler is cancelled.
func TestClocksThatJumpLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := offstagetest.NewStore()
		dice := rand.New(rand.NewPCG(1, 2))
		var rigs []*rig
		jumps := make([]atomic.Int64, 2)
		for i := range jumps {
			r := newRig(t, store, worker.Config{})
			r.worker.SetWall(func() time.Duration { return time.Duration(jumps[i].Load()) })
			worker.Handle(r.worker, func(ctx context.Context, job *offstage.Job[task]) error {
				select {
				case <-time.After(7 * time.Second):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
			r.run()
			rigs = append(rigs, r)
		}
		var ids []offstage.ID
		for range 200 {
			ids = append(ids, rigs[0].enqueue(task{}), rigs[1].enqueue(task{}, offstage.After(time.Minute)))
			jumps[dice.IntN(2)].Store(int64((dice.Float64() - 0.5) * float64(8*time.Hour)))
			tick(time.Duration(dice.Int64N(int64(4 * time.Second))))
		}
		for _, id := range ids {
			if got := rigs[0].await(id, offstage.Completed); got.Run != 1 || got.Lost != 0 {
				t.Errorf("job %d took %d runs: %+v", id, got.Run, got.Attempts)
			}
		}
		for _, r := range rigs {
			r.endWell()
		}
	})
}
