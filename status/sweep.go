package status

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/offstagehq/offstage"
)

const (
	// sweepEvery is the time between sweeps.
	sweepEvery = time.Hour
	// sweepTime is how long one may take.
	sweepTime = 10 * time.Minute
)

// Sweep removes the files of jobs that are gone, and of attempts that did not
// end their job, and returns how many jobs it was that are gone. It is called once
// an hour by itself; until it has come round, what it will remove can no longer be
// downloaded.
func (f *Files) Sweep(ctx context.Context) (removed int, err error) {
	const page = 500
	for after := offstage.ID(0); ; {
		ids, err := f.blobs.Jobs(ctx, after, page)
		if err != nil || len(ids) == 0 {
			return removed, err
		}
		after = ids[len(ids)-1]
		infos, err := f.client.Look(ctx, ids)
		if err != nil {
			return removed, err
		}
		known := make(map[offstage.ID]offstage.JobInfo, len(infos))
		for _, info := range infos {
			known[info.ID] = info
		}
		for _, id := range ids {
			info, exists := known[id]
			if exists && info.State != offstage.Completed {
				continue
			}
			if !exists {
				removed++
			}
			if err := f.blobs.Remove(ctx, id, info.Run); err != nil {
				return removed, err
			}
		}
	}
}

// sweepLater has the files swept in an hour, unless they will be before.
func (f *Files) sweepLater() {
	if f.swept.Swap(true) {
		return
	}
	time.AfterFunc(sweepEvery, f.sweepAgain)
}

// sweepAgain sweeps, and again in an hour if there are files left, or may be.
func (f *Files) sweepAgain() {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	_, err := f.Sweep(ctx)
	if errors.Is(err, offstage.ErrClosed) {
		return // nobody uses them any more
	}
	left, listed := f.blobs.Jobs(ctx, 0, 1)
	if err = errors.Join(err, listed); err != nil {
		slog.Error("offstage: remove the files of jobs that are gone", "err", err)
	}
	f.swept.Store(false)
	if len(left) > 0 || err != nil {
		f.sweepLater()
	}
}
