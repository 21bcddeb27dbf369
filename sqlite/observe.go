package sqlite

import (
	"context"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// sqlSight is sqlInfo of one job without its long texts.
var sqlSight = strings.NewReplacer("j.args", "NULL", "j.extra", "NULL", "a.result", "NULL").Replace(sqlInfoOf)

// Look reads the jobs one by one, all at one moment.
func (s *Store) Look(ctx context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	infos := make([]offstage.JobInfo, 0, len(ids))
	err := s.read(ctx, "look at jobs", func(ses session) error {
		now := time.Now().UnixMicro()
		for _, id := range ids {
			r, err := first(ses.rows(sqlSight, id))
			if err != nil {
				return err
			}
			if r == nil {
				continue
			}
			info, exists, err := readInfo(r, now)
			if err != nil {
				return err
			}
			if exists {
				infos = append(infos, info)
			}
		}
		return fillRunning(ses, infos)
	})
	if err != nil {
		return nil, err
	}
	return infos, nil
}

// The jobs before one, from it towards the head, by the primary key of the ready
// table: the head is not walked if there are more than the limit. Of plain columns on
// the right SQLite would take only the first for a bound, and walk through all of the
// priority behind the one; + takes their affinity away, and all three are.
const sqlAhead = `SELECT (SELECT count(*) FROM (SELECT 1 FROM offstage_ready r
WHERE r.queue = one.queue AND (r.priority, r.band, r.seq) < (+one.priority, +one.band, +one.seq)
ORDER BY r.priority DESC, r.band DESC, r.seq DESC LIMIT ?))
FROM offstage_ready one WHERE ` + sqlReadyOf

// Place counts the jobs before a ready one.
func (s *Store) Place(ctx context.Context, id offstage.ID, limit int) (place offstage.Place, err error) {
	err = s.read(ctx, "find a job's place", func(ses session) error {
		r, err := first(ses.rows(sqlAhead, limit+1, id))
		if err == nil && r != nil {
			place = offstage.Place{Ready: true, Ahead: min(r.int(0), limit), More: r.int(0) > limit}
		}
		return err
	})
	return place, err
}

// The first ready jobs of a queue by the primary key of the ready table.
const sqlLine = `SELECT count(*), min(since) FROM (SELECT since FROM offstage_ready
WHERE queue = (SELECT id FROM offstage_queue WHERE name = ?) ORDER BY priority, band, seq LIMIT ?)`

// Line counts a queue's ready jobs.
func (s *Store) Line(ctx context.Context, queue string, limit int) (line offstage.Line, err error) {
	err = s.read(ctx, "find how long a queue is", func(ses session) error {
		r, err := first(ses.rows(sqlLine, queue, limit+1))
		if err != nil {
			return err
		}
		line = offstage.Line{Ready: min(r.int(0), limit), More: r.int(0) > limit}
		if !r.null(1) {
			line.Oldest = max(time.Since(r.when(1)), 0)
		}
		return nil
	})
	return line, err
}
