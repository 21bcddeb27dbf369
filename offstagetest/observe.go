package offstagetest

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

// Look returns what is known of those jobs that exist; see [offstage.Observer].
func (s *Store) Look(ctx context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	infos := make([]offstage.JobInfo, 0, len(ids))
	for _, id := range ids {
		if j := s.find(id); j != nil {
			info := j.info()
			info.Args, info.Extra, info.Result = nil, offstage.Extra{}, nil
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// Place counts the jobs before a ready one; see [offstage.Observer].
func (s *Store) Place(ctx context.Context, id offstage.ID, limit int) (place offstage.Place, err error) {
	if err := s.lock(ctx); err != nil {
		return place, err
	}
	defer s.mu.Unlock()
	mine := s.find(id)
	if mine == nil || mine.state != offstage.Ready {
		return place, nil
	}
	place.Ready = true
	for j := range s.line(mine.Queue) {
		if j == mine {
			return place, nil
		}
		if place.Ahead == limit {
			place.More = true
			return place, nil
		}
		place.Ahead++
	}
	return place, nil
}

// Line counts a queue's ready jobs; see [offstage.Observer].
func (s *Store) Line(ctx context.Context, queue string, limit int) (line offstage.Line, err error) {
	if err := s.lock(ctx); err != nil {
		return line, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	for j := range s.line(queue) {
		line.Oldest = max(line.Oldest, now.Sub(j.readyAt))
		if line.Ready == limit {
			line.More = true
			return line, nil
		}
		line.Ready++
	}
	return line, nil
}

// line yields a queue's ready jobs in the order in which they will be claimed.
func (s *Store) line(queue string) func(yield func(*job) bool) {
	return func(yield func(*job) bool) {
		q := s.queues[queue]
		if q == nil {
			return
		}
		for priority := range q.lanes {
			for band := range q.lanes[priority] {
				for _, p := range q.lanes[priority][band].places {
					if j := s.at(p); j != nil && !yield(j) {
						return
					}
				}
			}
		}
	}
}
