package sqlite

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

// Every queue with its ready jobs, as far as they are counted, and since when
// the oldest is ready: the first of each priority and band is the oldest of its
// own. By the primary key of the ready table.
const sqlCountReady = `WITH
priorities (n) AS (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)),
bands (n) AS (VALUES (0), (1))
SELECT q.id, (SELECT count(*) FROM (SELECT 1 FROM offstage_ready WHERE queue = q.id LIMIT ?)),
(SELECT min((SELECT since FROM offstage_ready WHERE queue = q.id AND priority = p.n AND band = b.n ORDER BY seq LIMIT 1)) FROM priorities p, bands b),
q.counted_at, q.counted_ready, q.counted_scheduled, q.counted_capped, q.counted_oldest
FROM offstage_queue q`

// The first jobs that wait for their time, by queue.
const sqlCountScheduled = `SELECT j.queue, count(*) FROM (SELECT job FROM offstage_scheduled ORDER BY run_at LIMIT ?) s
JOIN offstage_job j ON j.id = s.job GROUP BY j.queue`

// counted are the figures of one queue.
type counted struct {
	ready, scheduled int
	capped           bool
	oldest           any // since when; nil: nothing is ready
}

// noted is what was counted before.
type noted struct {
	counted
	at any // nil: never
}

// countAll counts all queues, and returns what was noted of them before.
func countAll(ses session) (now map[int64]counted, before map[int64]noted, err error) {
	now, before = map[int64]counted{}, map[int64]noted{}
	for r, err := range ses.rows(sqlCountReady, offstage.MaxCounted) {
		if err != nil {
			return nil, nil, err
		}
		now[r.num(0)] = counted{ready: r.int(1), capped: r.int(1) == offstage.MaxCounted, oldest: r[2]}
		before[r.num(0)] = noted{counted{r.int(4), r.int(5), r.yes(6), r[7]}, r[3]}
	}
	total := 0
	for r, err := range ses.rows(sqlCountScheduled, offstage.MaxCounted) {
		if err != nil {
			return nil, nil, err
		}
		c := now[r.num(0)]
		c.scheduled = r.int(1)
		total += c.scheduled
		now[r.num(0)] = c
	}
	if total == offstage.MaxCounted { // whose jobs are left out is not known
		for queue, c := range now {
			c.capped = true
			now[queue] = c
		}
	}
	return now, before, nil
}

// noteEvery is how often figures are noted that have not changed: for their age
// alone the disk of an idle process is not woken.
const noteEvery = time.Minute

// lookCount names the look that finds what a count has found before.
const lookCount = "count"

const (
	// All queues that were counted before have been counted again.
	sqlNoteAge = `UPDATE offstage_queue SET counted_at = ? WHERE counted_at IS NOT NULL`
	// And this is what one of them had.
	sqlNote = `UPDATE offstage_queue
SET counted_at = ?, counted_ready = ?, counted_scheduled = ?, counted_capped = ?, counted_oldest = ? WHERE id = ?`
)

// prepareCount counts on a reader's connection; the writer only notes it.
func (s *Store) prepareCount(ctx context.Context, term int64) (report offstage.ChoreReport, _ choreFunc, err error) {
	var figures map[int64]counted
	aged := false
	at := time.Now().UnixMicro()
	if _, l, known := s.recall(question{text: lookCount}, noteEvery); known && l.mustLead(term, at) == nil {
		return report, nil, nil
	}
	commits, _ := s.stamp()
	err = s.glance(ctx, "count jobs", func(ses session) error {
		l, err := leaderOf(ses)
		if err == nil {
			err = l.mustLead(term, at)
		}
		if err != nil {
			return err
		}
		var before map[int64]noted
		if figures, before, err = countAll(ses); err != nil {
			return err
		}
		s.led(l)
		s.remember(question{text: lookCount}, commits, nil)
		for queue, c := range figures {
			old := before[queue]
			aged = aged || old.at == nil || at-old.at.(int64) >= noteEvery.Microseconds()
			if old.counted == c && old.at != nil {
				delete(figures, queue)
			}
		}
		return nil
	})
	if err != nil || len(figures) == 0 && !aged {
		return report, nil, err
	}
	return report, func(t *tx, _ int) (report offstage.ChoreReport, err error) {
		if _, err := t.exec(sqlNoteAge, at); err != nil {
			return report, err
		}
		for queue, c := range figures {
			if _, err := t.exec(sqlNote, at, c.ready, c.scheduled, c.capped, c.oldest, queue); err != nil {
				return report, err
			}
			report.Done++
		}
		return report, nil
	}, nil
}
