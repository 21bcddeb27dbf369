package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// lookSQL is infoSQL without the long texts.
var lookSQL = strings.NewReplacer("j.args,", "'' AS args,", "j.extra,", "NULL::text AS extra,", "a.result,", "NULL::text AS result,").Replace(infoSQL)

// Look returns what is known of those jobs that exist; see [offstage.Observer].
func (s *Store) Look(ctx context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	if len(ids) == 0 {
		return nil, s.usable(ctx, "look at jobs")
	}
	var rows []infoRow
	err := s.send(ctx, s.work, unit{op: "look at jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(lookSQL), s.now(), numbers(ids)).Query(func(found pgx.Rows) error { return scanInfos(found, &rows) })
	}})
	if err != nil {
		return nil, err
	}
	infos, err := s.infos(ctx, rows)
	for i := range infos {
		infos[i].Args = nil
	}
	return infos, err
}

const (
	// aheadSQL counts the jobs before job $1, from it towards the head, up to
	// $2: the head is not walked if there are more.
	aheadSQL = `SELECT (SELECT count(*) FROM (
	SELECT FROM offstage.ready r WHERE r.queue = m.queue AND (r.lane, r.xid, r.job) < (m.lane, m.xid, m.job)
	ORDER BY r.lane DESC, r.xid DESC, r.job DESC LIMIT $2::int
) a) FROM offstage.job j CROSS JOIN LATERAL (` + placeSQL + `) m WHERE j.id = $1::bigint`
	// lineSQL counts up to $3 ready jobs of the queue called $2.
	lineSQL = `SELECT count(*), coalesce(extract(epoch FROM coalesce($1::timestamptz, statement_timestamp()) - min(since)) * 1000000, 0)::bigint
FROM (
	SELECT since FROM offstage.ready WHERE queue = (SELECT id FROM offstage.queue WHERE name = $2::text)
	ORDER BY lane, xid, job LIMIT $3::int
) r`
)

// Place counts the jobs before a ready one; see [offstage.Observer].
func (s *Store) Place(ctx context.Context, id offstage.ID, limit int) (place offstage.Place, err error) {
	n := -1
	err = s.send(ctx, s.work, unit{op: "find a job's place", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(aheadSQL), int64(id), limit+1).Query(func(rows pgx.Rows) error {
			n = -1
			return one(rows, &n)
		})
	}})
	if err == nil && n >= 0 {
		place = offstage.Place{Ready: true, Ahead: min(n, limit), More: n > limit}
	}
	return place, err
}

// Line counts a queue's ready jobs; see [offstage.Observer].
func (s *Store) Line(ctx context.Context, queue string, limit int) (line offstage.Line, err error) {
	var n int
	var oldest int64
	err = s.send(ctx, s.work, unit{op: "find how long a queue is", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(lineSQL), s.now(), queue, limit+1).QueryRow(func(row pgx.Row) error { return row.Scan(&n, &oldest) })
	}})
	if err == nil {
		line = offstage.Line{Ready: min(n, limit), More: n > limit, Oldest: time.Duration(max(oldest, 0)) * time.Microsecond}
	}
	return line, err
}
