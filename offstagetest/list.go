package offstagetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// cursor is the last job of a page: where the next one goes on. Which of its parts
// count is a matter of the list's order.
type cursor struct {
	id      offstage.ID
	ended   time.Time
	queue   string // of a ready job, with its place there
	lane    int    // priority and band
	arrival int64
}

// order is the order of a list.
type order struct {
	compare func(a, b cursor) int
	text    func(cursor) string
	parse   func(text string) (cursor, error)
}

var (
	byID = order{
		compare: func(a, b cursor) int { return cmp.Compare(b.id, a.id) },
		text:    func(c cursor) string { return fmt.Sprintf("i%d", c.id) },
		parse: func(text string) (c cursor, err error) {
			_, err = fmt.Sscanf(text, "i%d", &c.id)
			return c, err
		},
	}
	byEnd = order{
		compare: func(a, b cursor) int { return cmp.Or(b.ended.Compare(a.ended), cmp.Compare(b.id, a.id)) },
		text:    func(c cursor) string { return fmt.Sprintf("e%d.%d", c.ended.UnixNano(), c.id) },
		parse: func(text string) (c cursor, err error) {
			var nanos int64
			_, err = fmt.Sscanf(text, "e%d.%d", &nanos, &c.id)
			c.ended = time.Unix(0, nanos)
			return c, err
		},
	}
	byStart = order{
		compare: func(a, b cursor) int {
			return cmp.Or(strings.Compare(a.queue, b.queue), cmp.Compare(a.lane, b.lane), cmp.Compare(a.arrival, b.arrival))
		},
		text: func(c cursor) string { return fmt.Sprintf("r%d.%d.%q", c.lane, c.arrival, c.queue) },
		parse: func(text string) (c cursor, err error) {
			_, err = fmt.Sscanf(text, "r%d.%d.%q", &c.lane, &c.arrival, &c.queue)
			return c, err
		},
	}
)

// orderOf returns the order of the jobs that have a state.
func orderOf(state offstage.State) order {
	switch state {
	case offstage.Ready:
		return byStart
	case offstage.Failed, offstage.Cancelled:
		return byEnd
	}
	return byID
}

// parseCursor reads a cursor of a list in this order.
func (o order) parseCursor(text string) (cursor, error) {
	c, err := o.parse(text)
	if err != nil || o.text(c) != text {
		return cursor{}, &offstage.InvalidError{Field: "after", Problem: fmt.Sprintf("%.100q is not a cursor of such a list", text)}
	}
	return c, nil
}

// List returns a page of jobs; see [offstage.Inspector].
func (s *Store) List(ctx context.Context, filter offstage.Filter) (offstage.Page, error) {
	o := orderOf(filter.State)
	var after cursor
	if filter.After != "" {
		var err error
		if after, err = o.parseCursor(filter.After); err != nil {
			return offstage.Page{}, err
		}
	}
	if filter.Limit == 0 {
		filter.Limit = 50
	}
	if err := s.lock(ctx); err != nil {
		return offstage.Page{}, err
	}
	defer s.mu.Unlock()
	rows := s.rows(filter)
	slices.SortFunc(rows, o.compare)
	if filter.After != "" {
		rows = slices.DeleteFunc(rows, func(row cursor) bool { return o.compare(row, after) <= 0 })
	}
	return s.page(rows, filter, o), nil
}

// rows returns the places in the list of all jobs that are to be looked at.
func (s *Store) rows(filter offstage.Filter) []cursor {
	var rows []cursor
	for _, id := range s.ids {
		j := s.find(id)
		if j == nil || filter.State != 0 && j.state != filter.State || filter.State == offstage.Ready && filter.Queue != "" && j.Queue != filter.Queue {
			continue
		}
		row := cursor{id: id, queue: j.Queue, lane: 2*j.Priority + j.band, arrival: j.arrival}
		if j.state.Terminal() {
			row.ended = j.attempts[len(j.attempts)-1].FinishedAt
		}
		rows = append(rows, row)
	}
	return rows
}

// page fills a page from the rows.
func (s *Store) page(rows []cursor, filter offstage.Filter, o order) offstage.Page {
	page := offstage.Page{Jobs: []offstage.JobInfo{}}
	for i, row := range rows {
		page.Looked++
		if j := s.find(row.id); j.matches(filter) {
			page.Jobs = append(page.Jobs, j.info())
		}
		if i == len(rows)-1 {
			break
		}
		if len(page.Jobs) == filter.Limit || page.Looked == offstage.MaxLooked {
			page.Next = o.text(row)
			break
		}
	}
	return page
}

func (j *job) matches(filter offstage.Filter) bool {
	switch {
	case filter.Kind != "" && j.Kind != filter.Kind,
		filter.Queue != "" && j.Queue != filter.Queue,
		filter.Tag != "" && !slices.Contains(j.Tags, filter.Tag),
		!filter.Since.IsZero() && j.CreatedAt.Before(filter.Since),
		!filter.Until.IsZero() && !j.CreatedAt.Before(filter.Until):
		return false
	}
	return true
}
