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

// The jobs that have attempts, by the primary key of these, each with its last
// one. Jobs that only wait have none and are not met.
const sqlAttempted = `SELECT a.job, max(a.run), a.next, a.finished_at, j.kind, j.created_at
FROM offstage_attempt a LEFT JOIN offstage_job j ON j.id = a.job
WHERE a.job > ? GROUP BY a.job ORDER BY a.job LIMIT ?`

// prunePage is what a look from the cursor found.
type prunePage struct {
	old     []offstage.ID // had ended long enough ago when they were looked at
	orphans []offstage.ID // attempts without a job
	next    offstage.ID   // where the following page begins
	end     bool          // there is nothing to find behind it
	expired bool          // there are keys to remove: unique ones, of Once or of requests
}

// preparePrune looks at the jobs behind the cursor, so that the writer only has
// to delete.
func (s *Store) preparePrune(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, _ choreFunc, err error) {
	s.prune.mu.Lock()
	cursor := s.prune.cursor
	s.prune.mu.Unlock()
	var page prunePage
	err = s.glance(ctx, "look for old jobs", func(ses session) error {
		l, err := leaderOf(ses)
		if err == nil {
			err = l.mustLead(term, time.Now().UnixMicro())
		}
		if err == nil {
			page, err = findOld(ses, cursor, limit)
		}
		return err
	})
	if err != nil {
		return report, nil, err
	}
	s.prune.mu.Lock()
	defer s.prune.mu.Unlock()
	if s.prune.cursor = page.next; page.end {
		s.prune.cursor = 0
	}
	if report.More = !page.end; len(page.old)+len(page.orphans) == 0 && !page.expired {
		return report, nil, nil
	}
	return report, func(t *tx, limit int) (offstage.ChoreReport, error) { return t.prune(page, limit) }, nil
}

// findOld looks at a page of jobs. It stops at a job that is younger than the
// shortest retention: what follows is younger still.
func findOld(ses session, cursor offstage.ID, limit int) (page prunePage, err error) {
	now := time.Now().UnixMicro()
	expired, err := first(ses.rows(sqlExpiredKey, now))
	if err != nil {
		return page, err
	}
	if expired == nil {
		if expired, err = first(ses.rows(sqlOldOnce, now-offstage.KeepOnce.Microseconds(), now-offstage.KeepSignals.Microseconds())); err != nil {
			return page, err
		}
	}
	keeps, shortest, err := retentions(ses)
	if err != nil {
		return page, err
	}
	old, err := first(ses.rows(sqlExpiredRequest, now))
	if err != nil {
		return page, err
	}
	page.next, page.end, page.expired = cursor, true, expired != nil || old != nil
	looked := 0
	for r, err := range ses.rows(sqlAttempted, cursor, limit*looksPerRow) {
		if err != nil {
			return page, err
		}
		state := offstage.State(r.num(2))
		switch {
		case r.null(4):
			page.orphans = append(page.orphans, r.id(0))
		case r.num(5) > now-shortest.Microseconds():
			return page, nil
		case state.Terminal() && r.num(3) <= now-keepOf(keeps[r.num(4)], state).Microseconds():
			page.old = append(page.old, r.id(0))
		}
		page.next = r.id(0)
		if looked++; looked == limit*looksPerRow || len(page.old)+len(page.orphans) == limit {
			page.end = false
			break
		}
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
const (
	sqlExpiredKey  = `SELECT 1 FROM offstage_uniq WHERE live = 0 AND until <= ? LIMIT 1`
	sqlExpiredKeys = `DELETE FROM offstage_uniq WHERE key IN (SELECT key FROM offstage_uniq WHERE live = 0 AND until <= ? LIMIT ?)`
)

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
		for _, query := range []string{sqlEraseJob, sqlEraseProgress, sqlEraseAttempts, sqlUncancel, sqlEraseSteps, sqlEraseEpoch, sqlEraseWait} {
			if _, err := t.exec(query, job); err != nil {
				return report, err
			}
		}
		report.Done++
	}
	n, err := t.exec(sqlExpiredKeys, t.now, limit)
	if err != nil {
		return report, err
	}
	once, err := t.exec(sqlExpireOnce, t.now-offstage.KeepOnce.Microseconds(), limit)
	if err != nil {
		return report, err
	}
	signals, err := t.exec(sqlExpireSignals, t.now-offstage.KeepSignals.Microseconds(), limit)
	if err != nil {
		return report, err
	}
	requests, err := t.exec(sqlExpiredRequests, t.now, limit)
	report.Done += int(n + once + signals + requests)
	report.More = !page.end || int(max(n, once, signals, requests)) == limit
	return report, err
}
