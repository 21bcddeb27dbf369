package sqlite

import (
	"context"
	"encoding/json"
	"time"

	"github.com/offstagehq/offstage"
)

// All queues, all kinds: small tables.
const (
	sqlQueueStats = `SELECT id, name, paused, counted_at, counted_ready, counted_scheduled, counted_capped, counted_oldest FROM offstage_queue ORDER BY name`
	sqlKindStats  = `SELECT name, paused, keep_completed, keep_failed FROM offstage_kind ORDER BY name`
)

// Stats reads what the chore Count noted. A queue that it has not come to yet is
// counted now.
func (s *Store) Stats(ctx context.Context) (offstage.Stats, error) {
	var stats offstage.Stats
	err := s.read(ctx, "read the figures", func(ses session) (err error) {
		list, err := claims(ses.rows(sqlAllClaims))
		if err != nil {
			return err
		}
		byQueue, byWorker := map[int64]int{}, map[offstage.WorkerID]int{}
		for _, c := range list {
			left, err := unended(ses, c.jobs)
			if err != nil {
				return err
			}
			byWorker[c.worker] += len(left)
			for _, h := range left {
				byQueue[h.queue]++
			}
		}
		if stats.Queues, err = queueStats(ses, byQueue); err != nil {
			return err
		}
		if stats.Kinds, err = kindStats(ses); err != nil {
			return err
		}
		stats.Workers, err = s.workerStats(ses, byWorker)
		return err
	})
	if err != nil {
		return offstage.Stats{}, err
	}
	return stats, nil
}

func queueStats(ses session, running map[int64]int) ([]offstage.QueueStats, error) {
	var list []offstage.QueueStats
	var fresh map[int64]counted
	now := time.Now().UnixMicro()
	for r, err := range ses.rows(sqlQueueStats) {
		if err != nil {
			return nil, err
		}
		c := counted{ready: r.int(4), scheduled: r.int(5), capped: r.yes(6), oldest: r[7]}
		at := r.num(3)
		if r.null(3) {
			if fresh == nil {
				if fresh, _, err = countAll(ses); err != nil {
					return nil, err
				}
			}
			c, at = fresh[r.num(0)], now
		}
		q := offstage.QueueStats{
			Queue: r.text(1), Paused: r.yes(2), Running: running[r.num(0)],
			Ready: c.ready, Scheduled: c.scheduled, Capped: c.capped, Age: time.Duration(now-at) * time.Microsecond,
		}
		if since, ok := c.oldest.(int64); ok {
			q.OldestReady = time.Duration(at-since) * time.Microsecond
		}
		list = append(list, q)
	}
	return list, nil
}

func kindStats(ses session) ([]offstage.KindStats, error) {
	var list []offstage.KindStats
	for r, err := range ses.rows(sqlKindStats) {
		if err != nil {
			return nil, err
		}
		keep := offstage.Retention{Completed: time.Duration(r.num(2)), Failed: time.Duration(r.num(3))}
		list = append(list, offstage.KindStats{Kind: offstage.Kind{Name: r.text(0), Retention: keep}, Paused: r.yes(1)})
	}
	return list, nil
}

// workerStats lists the workers that live.
func (s *Store) workerStats(ses session, running map[offstage.WorkerID]int) ([]offstage.WorkerStats, error) {
	leads, err := leaderOf(ses)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMicro()
	var list []offstage.WorkerStats
	for r, err := range ses.rows(sqlWorkers) {
		if err != nil {
			return nil, err
		}
		w := offstage.WorkerStats{ID: offstage.WorkerID(r.num(0)), StartedAt: r.when(2)}
		w.Running, w.Leads = running[w.ID], leads.worker == w.ID && leads.until > now
		if err := json.Unmarshal(r.json(1), &w.WorkerInfo); err != nil {
			return nil, err
		}
		lives, err := s.lives(w.ID)
		if err != nil {
			return nil, err
		}
		if lives {
			list = append(list, w)
		}
	}
	return list, nil
}
