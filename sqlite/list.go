package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// Limits of a page.
const (
	usualPage = 50
	maxPage   = 1_000
)

// List returns a page of jobs, all of one moment. It walks along an index in the
// order of the page, looks at few columns of each row, and reads the whole of
// those that pass the filter.
func (s *Store) List(ctx context.Context, filter offstage.Filter) (offstage.Page, error) {
	if filter.Limit == 0 {
		filter.Limit = usualPage
	}
	if filter.Limit < 1 || filter.Limit > maxPage {
		return offstage.Page{}, &offstage.InvalidError{Field: "limit", Problem: fmt.Sprintf("%d is not from 1 to %d", filter.Limit, maxPage)}
	}
	after, err := parseCursor(filter)
	if err != nil {
		return offstage.Page{}, err
	}
	l := lister{filter: filter, now: time.Now().UnixMicro()}
	err = s.read(ctx, "list jobs", func(ses session) error {
		l.session = ses
		rows, err := l.source(after)
		if err != nil {
			return err
		}
		if err := l.walk(ctx, rows); err != nil {
			return err
		}
		return fillRunning(ses, l.page.Jobs)
	})
	if err != nil {
		return offstage.Page{}, err
	}
	return l.page, nil
}

// cursor is the last row of a page: its job, and its end where pages go by that.
type cursor struct {
	end int64
	job offstage.ID
}

// byEnd reports whether a filter's pages go by the time of the end.
func byEnd(filter offstage.Filter) bool {
	return filter.State == offstage.Failed || filter.State == offstage.Cancelled
}

func (c cursor) text(filter offstage.Filter) string {
	if byEnd(filter) {
		return fmt.Sprintf("%d.%d", c.end, c.job)
	}
	return c.job.String()
}

// parseCursor reads Filter.After; the first page begins after the end of time.
func parseCursor(filter offstage.Filter) (cursor, error) {
	c := cursor{math.MaxInt64, math.MaxInt64}
	if filter.After == "" {
		return c, nil
	}
	end, job, timed := strings.Cut(filter.After, ".")
	if !timed {
		end, job = "0", filter.After
	}
	at, errEnd := strconv.ParseInt(end, 10, 64)
	id, errJob := offstage.ParseID(job)
	if errEnd != nil || errJob != nil || timed != byEnd(filter) {
		return c, &offstage.InvalidError{Field: "after", Problem: fmt.Sprintf("%q is not a cursor of such a list", filter.After)}
	}
	return cursor{at, id}, nil
}

// lister makes one page.
type lister struct {
	session
	filter offstage.Filter
	now    int64
	page   offstage.Page
}

// Where the pages of each filter come from: the job, the time of its end, and
// what can be filtered before it is read. By the primary key of job, the index
// on job of ready and scheduled, the primary keys of parked and attempt, and the
// index of ended attempts.
const (
	sqlListed     = `, k.name, q.name, j.created_at, j.extra `
	sqlListedOf   = ` JOIN offstage_kind k ON k.id = j.kind JOIN offstage_queue q ON q.id = j.queue `
	sqlListAll    = `SELECT j.id, 0, 1` + sqlListed + `FROM offstage_job j` + sqlListedOf + `WHERE j.id < ? ORDER BY j.id DESC LIMIT ?`
	sqlListReady  = `SELECT w.job, 0, 1` + sqlListed + `FROM offstage_ready w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC LIMIT ?`
	sqlListTimed  = `SELECT w.job, 0, w.retry = ?` + sqlListed + `FROM offstage_scheduled w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC LIMIT ?`
	sqlListParked = `SELECT w.job, 0, 1` + sqlListed + `FROM offstage_parked w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC LIMIT ?`
	sqlListDone   = `SELECT w.job, 0, w.next = 6` + sqlListed + `FROM offstage_attempt w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC, w.run DESC LIMIT ?`
	sqlListEnded  = `SELECT w.job, w.finished_at, 1` + sqlListed + `FROM offstage_attempt w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.next = ? AND w.next IN (7, 8) AND (w.finished_at, w.job) < (?, ?) ORDER BY w.finished_at DESC, w.job DESC LIMIT ?`
)

// source returns the rows behind a cursor in the order of the filter's pages.
func (l *lister) source(after cursor) (iter.Seq2[row, error], error) {
	limit := offstage.MaxLooked + 1
	switch state := l.filter.State; state {
	case offstage.Ready:
		return l.rows(sqlListReady, after.job, limit), nil
	case offstage.Scheduled, offstage.Retrying:
		return l.rows(sqlListTimed, state == offstage.Retrying, after.job, limit), nil
	case offstage.Blocked:
		return l.rows(sqlListParked, after.job, limit), nil
	case offstage.Completed:
		return l.rows(sqlListDone, after.job, limit), nil
	case offstage.Failed, offstage.Cancelled:
		return l.rows(sqlListEnded, state, after.end, after.job, limit), nil
	case offstage.Running:
		return l.held(after)
	}
	return l.rows(sqlListAll, after.job, limit), nil
}

const sqlListOne = `SELECT j.id, 0, 1` + sqlListed + `FROM offstage_job j` + sqlListedOf + `WHERE j.id = ?`

// held are the jobs that the claims name: every running one is among them.
func (l *lister) held(after cursor) (iter.Seq2[row, error], error) {
	all, err := holders(l)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(all))
	return func(yield func(row, error) bool) {
		for _, id := range slices.Backward(ids) {
			if id >= after.job {
				continue
			}
			r, err := first(l.rows(sqlListOne, id))
			if err == nil && r == nil {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}, nil
}

// walk fills the page. It looks one job further than the page goes, to know
// whether there is another.
func (l *lister) walk(ctx context.Context, rows iter.Seq2[row, error]) error {
	var last cursor // of the page, or of what was looked at
	for r, err := range rows {
		if err != nil {
			return err
		}
		if l.page.Looked == offstage.MaxLooked {
			l.page.Next = last.text(l.filter)
			return nil
		}
		if l.page.Looked++; l.page.Looked%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		at := cursor{r.num(1), r.id(0)}
		info, ok, err := l.pick(r)
		if err != nil {
			return err
		}
		if ok && len(l.page.Jobs) == l.filter.Limit {
			l.page.Next = last.text(l.filter)
			return nil
		}
		if ok {
			l.page.Jobs = append(l.page.Jobs, info)
		}
		if ok || len(l.page.Jobs) < l.filter.Limit {
			last = at
		}
	}
	return nil
}

// pick reads a job if it passes the filter.
func (l *lister) pick(r row) (info offstage.JobInfo, ok bool, err error) {
	f := l.filter
	if !r.yes(2) || f.Kind != "" && r.text(3) != f.Kind || f.Queue != "" && r.text(4) != f.Queue {
		return info, false, nil
	}
	created := r.when(5)
	if !f.Since.IsZero() && created.Before(f.Since) || !f.Until.IsZero() && !created.Before(f.Until) {
		return info, false, nil
	}
	if f.Tag != "" {
		var extra offstage.Extra
		if !r.null(6) {
			err = json.Unmarshal(r.json(6), &extra)
		}
		if err != nil || !slices.Contains(extra.Tags, f.Tag) {
			return info, false, err
		}
	}
	full, err := first(l.rows(sqlInfoOf, r.id(0)))
	if err != nil || full == nil {
		return info, false, err
	}
	info, ok, err = readInfo(full, l.now)
	return info, ok && (f.State == 0 || info.State == f.State), err
}
