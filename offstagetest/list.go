package offstagetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// cursor is the last job of a page: where the next one goes on.
type cursor struct {
	ended time.Time // zero where jobs come by id
	id    offstage.ID
}

// String returns the cursor as it stands in a filter.
func (c cursor) String() string {
	if c.ended.IsZero() {
		return fmt.Sprintf("i%d", c.id)
	}
	return fmt.Sprintf("e%d.%d", c.ended.UnixNano(), c.id)
}

// before reports whether a job is listed before the other.
func (c cursor) before(other cursor) bool {
	if !c.ended.Equal(other.ended) {
		return c.ended.After(other.ended)
	}
	return c.id > other.id
}

// parseCursor reads a cursor of the order that a filter asks for.
func parseCursor(text string, byEnd bool) (cursor, error) {
	var c cursor
	var nanos int64
	var err error
	if byEnd {
		_, err = fmt.Sscanf(text, "e%d.%d", &nanos, &c.id)
		c.ended = time.Unix(0, nanos)
	} else {
		_, err = fmt.Sscanf(text, "i%d", &c.id)
	}
	if err != nil || c.String() != text {
		return cursor{}, &offstage.InvalidError{Field: "after", Problem: fmt.Sprintf("%.100q is not a cursor of such a list", text)}
	}
	return c, nil
}

// List returns a page of jobs; see [offstage.Inspector].
func (s *Store) List(ctx context.Context, filter offstage.Filter) (offstage.Page, error) {
	byEnd := filter.State == offstage.Failed || filter.State == offstage.Cancelled
	var after cursor
	if filter.After != "" {
		var err error
		if after, err = parseCursor(filter.After, byEnd); err != nil {
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
	rows := s.rows(filter.State, byEnd)
	start := 0
	if filter.After != "" {
		start, _ = slices.BinarySearchFunc(rows, after, func(row, after cursor) int {
			if after.before(row) {
				return 1
			}
			return -1 // up to the cursor itself
		})
	}
	return s.page(rows[start:], filter), nil
}

// rows returns the places in the list of all jobs with this state.
func (s *Store) rows(state offstage.State, byEnd bool) []cursor {
	var rows []cursor
	for _, id := range slices.Backward(s.ids) {
		j := s.find(id)
		if j == nil || state != 0 && j.state != state {
			continue
		}
		row := cursor{id: id}
		if byEnd {
			row.ended = j.attempts[len(j.attempts)-1].FinishedAt
		}
		rows = append(rows, row)
	}
	if byEnd {
		slices.SortFunc(rows, func(a, b cursor) int {
			return cmp.Or(b.ended.Compare(a.ended), cmp.Compare(b.id, a.id))
		})
	}
	return rows
}

// page fills a page from the rows.
func (s *Store) page(rows []cursor, filter offstage.Filter) offstage.Page {
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
			page.Next = row.String()
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
