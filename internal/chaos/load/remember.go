package load

import (
	"context"
	"errors"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
	"github.com/offstagehq/offstage/schedule"
)

// note records something of a job that remembers.
func (s *stage) note(j *job, what history.What, name string, count int) {
	s.rec.Write(history.Event{What: what, Job: j.ID, Run: j.Run, Kind: j.Kind, Note: name, Count: count})
}

// rows is how far the loop of a stepped job goes.
const rows = 4

// stepped does a step, a loop with a cursor, and another step, each for a share
// of its time.
func (s *stage) stepped(ctx context.Context, j *job) error {
	if err := s.step(ctx, j, "first"); err != nil {
		return err
	}
	const name = "rows"
	cursor, err := offstage.OpenCursor[int](ctx, name, offstage.SaveEvery(0, 1))
	if err != nil {
		return err
	}
	row, _ := cursor.Value()
	s.note(j, history.Found, name, row)
	for row < rows {
		if err := s.part(ctx, j); err != nil {
			return err
		}
		row++
		if err := cursor.Set(ctx, row); err != nil {
			return err
		}
		s.note(j, history.Kept, name, row)
	}
	return s.step(ctx, j, "last")
}

func (s *stage) step(ctx context.Context, j *job, name string) error {
	_, err := offstage.Step(ctx, name, func(ctx context.Context) (string, error) {
		s.note(j, history.Do, name, 0)
		return name, s.part(ctx, j)
	})
	if err == nil {
		s.note(j, history.Kept, name, 0)
	}
	return err
}

// part works for the share of one of the parts of a stepped job.
func (s *stage) part(ctx context.Context, j *job) error {
	part := *j
	part.Args.MS /= rows + 2
	return s.plain(ctx, &part)
}

// nap is how long a patient job sleeps.
const nap = 300 * time.Millisecond

// patient sleeps, and waits for the signal that its producer gives.
func (s *stage) patient(ctx context.Context, j *job) error {
	s.rec.Write(history.Event{What: history.Nap, Job: j.ID, Run: j.Run, Wait: int64(nap)})
	if err := offstage.Sleep(ctx, "nap", nap); err != nil {
		return asControl(err)
	}
	s.note(j, history.Woke, "", 0)
	payload, err := offstage.WaitFor[string](ctx, signalOf(j.Args.Key))
	if err != nil {
		return asControl(err)
	}
	s.note(j, history.Got, payload, 0)
	return s.plain(ctx, j)
}

// asControl tells a wait from a failure.
func asControl(err error) error {
	var fault *offstage.StoreError
	if errors.As(err, &fault) || errors.Is(err, offstage.ErrLeaseLost) {
		return err
	}
	return &ending{err, history.Control, 0}
}

// signalOf is the signal for which the job of an enqueue waits.
func signalOf(key string) string { return "go on " + key }

// schedules are those that each worker declares: they are due each second, by a
// cron expression and by an interval.
func schedules() []offstage.Schedule {
	tick := offstage.Named(second, Task{MS: 5})
	return []offstage.Schedule{
		offstage.MustSchedule("cron", schedule.MustParse("* * * * * *"), tick),
		offstage.MustSchedule("interval", schedule.MustParse("every 1s"), tick),
	}
}
