package sqlite

import (
	"context"

	"github.com/offstagehq/offstage"
)

// One row per job, by the primary key.
const sqlProgress = `INSERT INTO offstage_progress (job, run, done, total, message, at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET run = excluded.run, done = excluded.done, total = excluded.total, message = excluded.message, at = excluded.at
WHERE excluded.run >= run`

// SaveProgress stores reports in the writer's next transaction.
func (s *Store) SaveProgress(ctx context.Context, reports []offstage.JobProgress) error {
	if len(reports) == 0 {
		return ctx.Err()
	}
	return s.writeMany(ctx, "save progress", len(reports), func(t *tx) error {
		for _, p := range reports {
			if _, err := t.exec(sqlProgress, p.Job, p.Run, p.Done, p.Total, p.Message, t.now); err != nil {
				return err
			}
		}
		return nil
	})
}
