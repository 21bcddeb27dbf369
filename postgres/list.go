package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// defaultLimit is how many jobs a page has if nobody says otherwise.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

// A list looks at rows of a source in the source's order, $7 at most, and takes
// those that the filter wants: $1 kind, $2 queue, $3 tag, $4 since, $5 until,
// each null for any. $6 is the mark of the row where the page before ended. The last
// of $7 rows is returned even if it is not wanted, so that the next page goes on from
// there. The count at the end is only made when the page is not full.
const listSQL = `SELECT x.id, array_to_string(x.mark, '.'), x.nr, x.wanted FROM (
	SELECT c.id, c.mark, c.nr, ($1::int IS NULL OR j.kind = $1::int) AND ($2::int IS NULL OR j.queue = $2::int)
		AND ($4::timestamptz IS NULL OR j.created_at >= $4::timestamptz) AND ($5::timestamptz IS NULL OR j.created_at < $5::timestamptz)
		AND ($3::text IS NULL OR j.extra IS NOT NULL AND coalesce(j.extra::jsonb -> 'tags', '[]') @> to_jsonb($3::text))
		AND %s AS wanted
	FROM (SELECT s.id, s.mark, row_number() OVER () AS nr FROM (%s LIMIT $7::int) s) c
	JOIN LATERAL (SELECT kind, queue, created_at, extra FROM offstage.job WHERE id = c.id OFFSET 0) j ON true
) x WHERE x.wanted OR x.nr = $7::bigint
UNION ALL SELECT 0, '', count(*), false FROM (%[2]s LIMIT $7::int) s
LIMIT $8::int`

// The sources of a list by state: ids, with marks that tell their places. Ready jobs
// come in the order of their start, failed and cancelled ones by the time of their
// end, all others by id.
var (
	listAll       = list(byID("offstage.job", "id"), notStaged)
	listReady     = list(byStart, "true")
	listScheduled = list(byID("offstage.scheduled", "job"), "EXISTS (SELECT FROM offstage.scheduled s WHERE s.job = c.id AND NOT s.retry OFFSET 0)")
	listRetrying  = list(byID("offstage.scheduled", "job"), "EXISTS (SELECT FROM offstage.scheduled s WHERE s.job = c.id AND s.retry OFFSET 0)")
	listBlocked   = list(byID("offstage.parked", "job"), "true")
	listRunning   = list(byID("(SELECT DISTINCT h.job FROM offstage.claim c CROSS JOIN LATERAL unnest(c.jobs) h (job)) running", "job"), "true")
	listCompleted = list(byID("offstage.job", "id"), "EXISTS (SELECT FROM offstage.attempt a WHERE a.job = c.id AND a.next = 6 OFFSET 0)")
	listFailed    = list(byEnd(7), "true")
	listCancelled = list(byEnd(8), "true")
)

func list(source, wanted string) string { return fmt.Sprintf(listSQL, wanted, source) }

func byID(table, id string) string {
	return fmt.Sprintf(`SELECT %[2]s AS id, ARRAY[%[2]s] AS mark FROM %[1]s
		WHERE %[2]s < coalesce(($6::bigint[])[1], 9223372036854775807) ORDER BY %[2]s DESC`, table, id)
}

func byEnd(next int) string {
	return fmt.Sprintf(`SELECT job AS id, ARRAY[(extract(epoch FROM finished_at) * 1000000)::bigint, job] AS mark FROM offstage.attempt
		WHERE next = %d AND (finished_at, job) < (
			coalesce('epoch'::timestamptz + ($6::bigint[])[1] * interval '1 microsecond', 'infinity'), coalesce(($6::bigint[])[2], 0)
		) ORDER BY finished_at DESC, job DESC`, next)
}

// byStart walks through the queues by name, and through each in the order of a fetch.
const byStart = `SELECT r.job AS id, ARRAY[q.id, r.lane, r.xid::text::bigint, r.job] AS mark FROM (
		SELECT id, CASE WHEN id = ($6::bigint[])[1] THEN ($6::bigint[])[2] ELSE -1 END AS lane,
			CASE WHEN id = ($6::bigint[])[1] THEN (($6::bigint[])[3])::text::xid8 ELSE '0' END AS xid, coalesce(($6::bigint[])[4], 0) AS job
		FROM offstage.queue WHERE ($2::int IS NULL OR id = $2::int)
			AND ($6::bigint[] IS NULL OR name >= (SELECT name FROM offstage.queue WHERE id = ($6::bigint[])[1]))
		ORDER BY name
	) q CROSS JOIN LATERAL (
		SELECT lane, xid, job FROM offstage.ready
		WHERE queue = q.id AND (lane, xid, job) > (q.lane, q.xid, q.job) ORDER BY lane, xid, job LIMIT $7::int
	) r`

// notStaged leaves out jobs of batches that are not published, as stagedSQL finds
// them.
const notStaged = `NOT EXISTS (SELECT FROM offstage.batch b
	CROSS JOIN LATERAL (SELECT FROM offstage.staged WHERE batch = b.id AND job = c.id OFFSET 0) t WHERE NOT b.published)`

// List returns a page of jobs; see [offstage.Inspector]. The page is found in one
// statement and read in the next: a job that changed in between is left out if it
// is no longer in the state asked for.
func (s *Store) List(ctx context.Context, filter offstage.Filter) (offstage.Page, error) {
	limit, err := limitOf(filter)
	if err != nil {
		return offstage.Page{}, err
	}
	after, err := parseMark(filter)
	if err != nil {
		return offstage.Page{}, err
	}
	kind, queue, exist, err := s.filterNames(ctx, filter)
	if err != nil || !exist {
		return offstage.Page{}, err
	}
	found, page, err := s.find(ctx, filter, []any{
		kind, queue, orNull(filter.Tag), timeOrNull(filter.Since), timeOrNull(filter.Until),
		after, offstage.MaxLooked, limit + 1,
	}, limit)
	if err != nil || len(found) == 0 {
		return page, err
	}
	var rows []infoRow
	err = s.send(ctx, s.work, unit{op: "list jobs", repeatable: true, build: func(b *pgx.Batch) {
		s.queueInfos(b, numbers(found), &rows)
	}})
	if err != nil {
		return offstage.Page{}, err
	}
	infos, err := s.infos(ctx, rows)
	for _, info := range infos {
		if filter.State == 0 || info.State == filter.State {
			page.Jobs = append(page.Jobs, info)
		}
	}
	return page, err
}

func limitOf(filter offstage.Filter) (int, error) {
	switch {
	case filter.Limit == 0:
		return defaultLimit, nil
	case filter.Limit < 0 || filter.Limit > maxLimit:
		return 0, &offstage.InvalidError{Field: "limit", Problem: fmt.Sprintf("%d is not from 1 to %d", filter.Limit, maxLimit)}
	}
	return filter.Limit, nil
}

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// parseMark reads the cursor of a filter, the mark of a row, as an array for the
// server; nil for none.
func parseMark(filter offstage.Filter) (any, error) {
	if filter.After == "" {
		return nil, nil
	}
	numbers := 1 // an id
	switch filter.State {
	case offstage.Failed, offstage.Cancelled:
		numbers = 2 // a time, and an id
	case offstage.Ready:
		numbers = 4 // a queue, a lane, a transaction, and an id
	}
	parts := strings.Split(filter.After, ".")
	valid := len(parts) == numbers
	for _, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		valid = valid && err == nil && n >= 0
	}
	if !valid {
		return nil, &offstage.InvalidError{Field: "after", Problem: fmt.Sprintf("%.100q is not a cursor of this list", filter.After)}
	}
	return "{" + strings.Join(parts, ",") + "}", nil
}

// filterNames returns the numbers of the kind and the queue asked for, nil for
// any. A name that does not exist has no jobs.
func (s *Store) filterNames(ctx context.Context, filter offstage.Filter) (kind, queue any, exist bool, err error) {
	var queues, kinds []string
	if filter.Queue != "" {
		queues = []string{filter.Queue}
	}
	if filter.Kind != "" {
		kinds = []string{filter.Kind}
	}
	queueIDs, kindIDs, q, k := s.known(queues, kinds)
	if len(q)+len(k) > 0 {
		if err := s.loadNames(ctx); err != nil {
			return nil, nil, false, err
		}
		if queueIDs, kindIDs, q, k = s.known(queues, kinds); len(q)+len(k) > 0 {
			return nil, nil, false, nil
		}
	}
	if len(kindIDs) > 0 {
		kind = kindIDs[0]
	}
	if len(queueIDs) > 0 {
		queue = queueIDs[0]
	}
	return kind, queue, true, nil
}

// find returns the ids of a page, and the page without its jobs.
func (s *Store) find(ctx context.Context, filter offstage.Filter, args []any, limit int) (ids []int64, page offstage.Page, err error) {
	text, known := map[offstage.State]string{
		0: listAll, offstage.Ready: listReady, offstage.Scheduled: listScheduled, offstage.Retrying: listRetrying,
		offstage.Blocked: listBlocked, offstage.Running: listRunning, offstage.Completed: listCompleted,
		offstage.Failed: listFailed, offstage.Cancelled: listCancelled,
	}[filter.State]
	if !known {
		return nil, page, &offstage.InvalidError{Field: "state", Problem: fmt.Sprintf("%s is not a state", filter.State)}
	}
	err = s.send(ctx, s.work, unit{op: "list jobs", repeatable: true, build: func(b *pgx.Batch) {
		ids, page = nil, offstage.Page{}
		b.Queue(s.sql(text), args...).Query(func(rows pgx.Rows) error {
			var id int64
			var mark, last string
			var nr int
			var wanted bool
			_, err := pgx.ForEachRow(rows, []any{&id, &mark, &nr, &wanted}, func() error {
				switch {
				case id == 0: // the count
					page.Looked = nr
					return nil
				case len(ids) == limit: // there is one more
					page.Next = last
					return nil
				}
				page.Looked, last = nr, mark
				if wanted {
					ids = append(ids, id)
				}
				if nr == offstage.MaxLooked {
					page.Next = last
				}
				return nil
			})
			return err
		})
	}})
	return ids, page, err
}
