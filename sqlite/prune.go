package sqlite

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// pruneState is where pruning stopped: ids up to it were looked at.
type pruneState struct {
	mu     sync.Mutex
	cursor offstage.ID // guarded by mu
}

// looksPerRow is how many jobs are looked at for each that may be removed in a
// page of pruning.
const looksPerRow = 10

// Jobs by their primary key with their last attempt by its own.
const sqlOldJobs = `SELECT j.id, j.kind, j.created_at, a.next, a.finished_at
FROM offstage_job j
LEFT JOIN offstage_attempt a ON a.job = j.id AND a.run = (SELECT max(run) FROM offstage_attempt WHERE job = j.id)
WHERE j.id > ? ORDER BY j.id LIMIT ?`

// Attempts without a job, by the primary keys.
const sqlOrphanAttempts = `SELECT DISTINCT a.job FROM offstage_attempt a
WHERE a.job > ? AND a.job <= ? AND NOT EXISTS (SELECT 1 FROM offstage_job j WHERE j.id = a.job) LIMIT ?`

// prunePage is what a look from the cursor found.
type prunePage struct {
	old     []offstage.ID // had ended long enough ago when they were looked at
	orphans []offstage.ID // attempts without a job
	next    offstage.ID   // where the following page begins
	end     bool          // there is nothing to find behind it
}

// preparePrune looks at the jobs behind the cursor on a reader's connection, so
// that the writer only has to delete.
func (s *Store) preparePrune(ctx context.Context, limit int) (choreFunc, error) {
	s.prune.mu.Lock()
	cursor := s.prune.cursor
	s.prune.mu.Unlock()
	var page prunePage
	err := s.read(ctx, "look for old jobs", func(ses session) (err error) {
		page, err = findOld(ses, cursor, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(t *tx, limit int) (offstage.ChoreReport, error) {
		report, err := t.prune(page, limit)
		if err != nil {
			return report, err
		}
		report.More = report.More || !page.end
		s.prune.mu.Lock()
		defer s.prune.mu.Unlock()
		if s.prune.cursor = page.next; page.end {
			s.prune.cursor = 0
		}
		return report, nil
	}, nil
}

// findOld looks at a page of jobs. It stops at a job that is younger than the
// shortest retention: what follows is younger still.
func findOld(ses session, cursor offstage.ID, limit int) (page prunePage, err error) {
	now := time.Now().UnixMicro()
	keeps, shortest, err := retentions(ses)
	if err != nil {
		return page, err
	}
	page.next, page.end = cursor, true
	looked := 0
	for r, err := range ses.rows(sqlOldJobs, cursor, limit*looksPerRow) {
		if err != nil {
			return page, err
		}
		if r.num(2) > now-shortest.Microseconds() {
			looked = 0
			break
		}
		looked++
		page.next = r.id(0)
		if state := offstage.State(r.num(3)); state.Terminal() && r.num(4) <= now-keepOf(keeps[r.num(1)], state).Microseconds() {
			page.old = append(page.old, page.next)
		}
		if len(page.old) == limit {
			break
		}
	}
	page.end = looked < limit*looksPerRow && len(page.old) < limit
	last := page.next
	if page.end {
		last = math.MaxInt64
	}
	for r, err := range ses.rows(sqlOrphanAttempts, cursor, last, limit) {
		if err != nil {
			return page, err
		}
		page.orphans = append(page.orphans, r.id(0))
	}
	return page, nil
}

// retentions returns how long each kind's jobs are kept, and the shortest time.
func retentions(ses session) (map[int64]offstage.Retention, time.Duration, error) {
	keeps := map[int64]offstage.Retention{}
	shortest := time.Duration(math.MaxInt64)
	for r, err := range ses.rows(sqlKinds) {
		if err != nil {
			return nil, 0, err
		}
		keep := offstage.Retention{Completed: time.Duration(r.num(3)), Failed: time.Duration(r.num(4))}.Resolve()
		keeps[r.num(0)] = keep
		shortest = min(shortest, keep.Completed, keep.Failed)
	}
	return keeps, shortest, nil
}

func keepOf(keep offstage.Retention, state offstage.State) time.Duration {
	if state == offstage.Completed {
		return keep.Completed
	}
	return keep.Failed
}

// Unique keys that nobody holds and whose period is over, by their partial index.
const sqlExpiredKeys = `DELETE FROM offstage_uniq WHERE key IN (SELECT key FROM offstage_uniq WHERE live = 0 AND until <= ? LIMIT ?)`

// prune deletes what a look found, if it still is as it was: an operator may
// have retried a job meanwhile. What an open claim names is left.
func (t *tx) prune(page prunePage, limit int) (report offstage.ChoreReport, err error) {
	held, err := holders(t)
	if err != nil {
		return report, err
	}
	for _, job := range page.orphans {
		if _, open := held[job]; open {
			continue
		}
		if _, err := t.exec(sqlEraseAttempts, job); err != nil {
			return report, err
		}
		report.Done++
	}
	for _, job := range page.old {
		at, err := t.find(job)
		if err == offstage.ErrNotFound {
			continue
		}
		if err != nil {
			return report, err
		}
		if _, open := held[job]; open || !at.state.Terminal() {
			continue
		}
		for _, query := range []string{sqlEraseJob, sqlEraseProgress, sqlEraseAttempts, sqlUncancel} {
			if _, err := t.exec(query, job); err != nil {
				return report, err
			}
		}
		report.Done++
	}
	n, err := t.exec(sqlExpiredKeys, t.now, limit)
	report.Done += int(n)
	report.More = int(n) == limit
	return report, err
}

// The ready jobs of a queue, by the primary key, as far as they are counted; and
// the first of each band, which is the oldest of its own.
const (
	sqlCountReady = `SELECT count(*) FROM (SELECT 1 FROM offstage_ready WHERE queue = ? LIMIT ?)`
	sqlOldest     = `SELECT since FROM offstage_ready WHERE queue = ? AND priority = ? AND band = ? ORDER BY seq LIMIT 1`
)

// The first jobs that wait for their time, by queue.
const sqlCountScheduled = `SELECT j.queue, count(*) FROM (SELECT job FROM offstage_scheduled ORDER BY run_at LIMIT ?) s
JOIN offstage_job j ON j.id = s.job GROUP BY j.queue`

// counted are the figures of one queue.
type counted struct {
	ready, scheduled int
	capped           bool
	oldest           any // since when; nil: nothing is ready
}

func countReady(ses session, queue int64) (c counted, err error) {
	n, err := first(ses.rows(sqlCountReady, queue, offstage.MaxCounted))
	if err != nil {
		return c, err
	}
	c.ready = n.int(0)
	c.capped = c.ready == offstage.MaxCounted
	for priority := range offstage.MaxPriority + 1 {
		for _, band := range []int{bandFront, bandArrival} {
			r, err := first(ses.rows(sqlOldest, queue, priority, band))
			if err != nil {
				return c, err
			}
			if r != nil && (c.oldest == nil || r.num(0) < c.oldest.(int64)) {
				c.oldest = r.num(0)
			}
		}
	}
	return c, nil
}

// countAll counts all queues.
func countAll(ses session) (map[int64]counted, error) {
	figures := map[int64]counted{}
	for r, err := range ses.rows(sqlQueues) {
		if err != nil {
			return nil, err
		}
		figures[r.num(0)] = counted{}
	}
	for queue := range figures {
		c, err := countReady(ses, queue)
		if err != nil {
			return nil, err
		}
		figures[queue] = c
	}
	total := 0
	for r, err := range ses.rows(sqlCountScheduled, offstage.MaxCounted) {
		if err != nil {
			return nil, err
		}
		c := figures[r.num(0)]
		c.scheduled = r.int(1)
		total += c.scheduled
		figures[r.num(0)] = c
	}
	for queue, c := range figures {
		c.capped = c.capped || total >= offstage.MaxCounted
		figures[queue] = c
	}
	return figures, nil
}

const sqlSetCounted = `UPDATE offstage_queue
SET counted_at = ?, counted_ready = ?, counted_scheduled = ?, counted_capped = ?, counted_oldest = ? WHERE id = ?`

// prepareCount counts on a reader's connection; the writer only notes it.
func (s *Store) prepareCount(ctx context.Context) (choreFunc, error) {
	var figures map[int64]counted
	var at int64
	err := s.read(ctx, "count jobs", func(ses session) (err error) {
		at = time.Now().UnixMicro()
		figures, err = countAll(ses)
		return err
	})
	if err != nil {
		return nil, err
	}
	return func(t *tx, _ int) (report offstage.ChoreReport, err error) {
		for queue, c := range figures {
			if _, err := t.exec(sqlSetCounted, at, c.ready, c.scheduled, c.capped, c.oldest, queue); err != nil {
				return report, err
			}
			report.Done++
		}
		return report, nil
	}, nil
}
