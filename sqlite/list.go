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

// cursor is the place of a page's last row in its list: the numbers by which the list
// is ordered. They are the last columns of a row.
type cursor []int64

// begin returns what the first page of a list comes after. All its cursors have as
// many numbers.
func begin(state offstage.State) cursor {
	switch state {
	case offstage.Ready:
		return cursor{0, 0, 0, 0} // by start: the queue, and the key of the ready table in it
	case offstage.Failed, offstage.Cancelled:
		return cursor{math.MaxInt64, math.MaxInt64} // by end: its time, and the job
	}
	return cursor{math.MaxInt64} // by job
}

func (c cursor) String() string {
	parts := make([]string, len(c))
	for i, n := range c {
		parts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(parts, ".")
}

// parseCursor reads Filter.After.
func parseCursor(filter offstage.Filter) (cursor, error) {
	after := begin(filter.State)
	if filter.After == "" {
		return after, nil
	}
	parts := strings.Split(filter.After, ".")
	valid := len(parts) == len(after)
	for i := 0; valid && i < len(after); i++ {
		n, err := strconv.ParseUint(parts[i], 10, 63)
		after[i], valid = int64(n), err == nil
	}
	if !valid {
		return nil, &offstage.InvalidError{Field: "after", Problem: fmt.Sprintf("%.100q is not a cursor of such a list", filter.After)}
	}
	return after, nil
}

// lister makes one page.
type lister struct {
	session
	filter offstage.Filter
	now    int64
	page   offstage.Page
}

// Columns of a row of a list, and where its cursor begins.
const (
	colListed = iota // whether it belongs to the list
	colListedKind
	colListedQueue
	colListedAt
	colListedExtra
	colListedJob
	colCursor
)

// Where the pages of each filter come from: what can be filtered before the job is
// read, and the cursor. By the primary keys of job, ready, parked and attempt, the
// index on job of scheduled, and the index of ended attempts.
const (
	sqlListed     = `, k.name, q.name, j.created_at, j.extra, j.id, `
	sqlListedOf   = ` JOIN offstage_kind k ON k.id = j.kind JOIN offstage_queue q ON q.id = j.queue `
	sqlListAll    = `SELECT 1` + sqlListed + `j.id FROM offstage_job j` + sqlListedOf + `WHERE j.id < ? ORDER BY j.id DESC LIMIT ?`
	sqlListReady  = `SELECT 1` + sqlListed + `w.queue, w.priority, w.band, w.seq FROM offstage_ready w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.queue = ? AND (w.priority, w.band, w.seq) > (?, ?, ?) ORDER BY w.priority, w.band, w.seq LIMIT ?`
	sqlListTimed  = `SELECT w.retry = ?` + sqlListed + `w.job FROM offstage_scheduled w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC LIMIT ?`
	sqlListParked = `SELECT 1` + sqlListed + `w.job FROM offstage_parked w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC LIMIT ?`
	sqlListDone   = `SELECT w.next = 6` + sqlListed + `w.job FROM offstage_attempt w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.job < ? ORDER BY w.job DESC, w.run DESC LIMIT ?`
	sqlListEnded  = `SELECT 1` + sqlListed + `w.finished_at, w.job FROM offstage_attempt w JOIN offstage_job j ON j.id = w.job` + sqlListedOf + `WHERE w.next = ? AND w.next IN (7, 8) AND (w.finished_at, w.job) < (?, ?) ORDER BY w.finished_at DESC, w.job DESC LIMIT ?`
	sqlListOne    = `SELECT 1` + sqlListed + `j.id FROM offstage_job j` + sqlListedOf + `WHERE j.id = ?`
)

// listLimit is one row more than a page looks at, which then knows that there is another.
const listLimit = offstage.MaxLooked + 1

// source returns the rows behind a cursor in the order of the filter's pages.
func (l *lister) source(after cursor) (iter.Seq2[row, error], error) {
	switch state := l.filter.State; state {
	case offstage.Ready:
		return l.ready(after), nil
	case offstage.Scheduled, offstage.Retrying:
		return l.rows(sqlListTimed, state == offstage.Retrying, after[0], listLimit), nil
	case offstage.Blocked:
		return l.rows(sqlListParked, after[0], listLimit), nil
	case offstage.Completed:
		return l.rows(sqlListDone, after[0], listLimit), nil
	case offstage.Failed, offstage.Cancelled:
		return l.rows(sqlListEnded, state, after[0], after[1], listLimit), nil
	case offstage.Running:
		return l.held(after)
	}
	return l.rows(sqlListAll, after[0], listLimit), nil
}

// The queues from that of a cursor on, or the only one that is asked for, by the index
// of their names: a small table.
const sqlListQueues = `SELECT id FROM offstage_queue
WHERE name >= coalesce((SELECT name FROM offstage_queue WHERE id = ?1), '') AND ?2 IN ('', name) ORDER BY name`

// ready are the ready jobs queue by queue, each along the primary key.
func (l *lister) ready(after cursor) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for queue, err := range l.rows(sqlListQueues, after[0], l.filter.Queue) {
			if err != nil {
				yield(nil, err)
				return
			}
			from := begin(offstage.Ready)
			if queue.num(0) == after[0] {
				from = after
			}
			for r, err := range l.rows(sqlListReady, queue.num(0), from[1], from[2], from[3], listLimit) {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// held are the jobs that the claims name: every running one is among them.
func (l *lister) held(after cursor) (iter.Seq2[row, error], error) {
	all, err := holders(l)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(maps.Keys(all))
	return func(yield func(row, error) bool) {
		for _, id := range slices.Backward(ids) {
			if int64(id) >= after[0] {
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
			l.page.Next = last.String()
			return nil
		}
		if l.page.Looked++; l.page.Looked%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		info, ok, err := l.pick(r)
		if err != nil {
			return err
		}
		if ok && len(l.page.Jobs) == l.filter.Limit {
			l.page.Next = last.String()
			return nil
		}
		if ok {
			l.page.Jobs = append(l.page.Jobs, info)
		}
		if ok || len(l.page.Jobs) < l.filter.Limit {
			last = last[:0]
			for i := range r[colCursor:] {
				last = append(last, r.num(colCursor+i))
			}
		}
	}
	return nil
}

// pick reads a job if it passes the filter.
func (l *lister) pick(r row) (info offstage.JobInfo, ok bool, err error) {
	f := l.filter
	if !r.yes(colListed) || f.Kind != "" && r.text(colListedKind) != f.Kind || f.Queue != "" && r.text(colListedQueue) != f.Queue {
		return info, false, nil
	}
	created := r.when(colListedAt)
	if !f.Since.IsZero() && created.Before(f.Since) || !f.Until.IsZero() && !created.Before(f.Until) {
		return info, false, nil
	}
	if f.Tag != "" {
		var extra offstage.Extra
		if !r.null(colListedExtra) {
			err = json.Unmarshal(r.json(colListedExtra), &extra)
		}
		if err != nil || !slices.Contains(extra.Tags, f.Tag) {
			return info, false, err
		}
	}
	full, err := first(l.rows(sqlInfoOf, r.id(colListedJob)))
	if err != nil || full == nil {
		return info, false, err
	}
	info, ok, err = readInfo(full, l.now)
	return info, ok && (f.State == 0 || info.State == f.State), err
}
