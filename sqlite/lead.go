package sqlite

import (
	"context"
	"time"

	"github.com/offstagehq/offstage"
)

// The one row of the leader table.
const (
	sqlLeader    = `SELECT term, worker, until FROM offstage_leader WHERE one = 1`
	sqlSetLeader = `UPDATE offstage_leader SET term = ?, worker = ?, until = ? WHERE one = 1`
)

// leader is the row of the leader table.
type leader struct {
	term   int64
	worker offstage.WorkerID // 0: nobody
	until  int64
}

func leaderOf(ses session) (leader, error) {
	r, err := first(ses.rows(sqlLeader))
	if err != nil || r == nil {
		return leader{}, err
	}
	return leader{r.num(0), offstage.WorkerID(r.num(1)), r.num(2)}, nil
}

// Lead asks for the leadership, renews it or, with a ttl of 0, resigns. A leader
// whose process has ended is replaced at once. To keep idle processes calm, it
// only reads while another leads, and while less than half of the ttl has passed
// since the last renewal.
func (s *Store) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	var now leader
	err := s.glance(ctx, "lead", func(ses session) (err error) {
		now, err = leaderOf(ses)
		return err
	})
	if err != nil {
		return 0, err
	}
	left := time.Duration(now.until-time.Now().UnixMicro()) * time.Microsecond
	if now.worker == worker && ttl > 0 && left > ttl/2 && left <= ttl {
		return now.term, nil
	}
	replaceable := now.worker == worker || left <= 0
	if !replaceable {
		lives, err := s.lives(now.worker)
		if err != nil {
			return 0, fault("lead", err)
		}
		replaceable = !lives
	}
	if !replaceable {
		return 0, nil
	}
	return s.takeLead(ctx, now, worker, ttl)
}

// The leader's term, made longer, if it is under way.
const sqlRenew = `UPDATE offstage_leader SET until = ? WHERE one = 1 AND term = ? AND worker = ? AND until > ?`

// takeLead replaces or renews the leadership that was seen, if it still stands.
func (s *Store) takeLead(ctx context.Context, seen leader, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	var next leader
	err := s.write(ctx, "lead", func(t *tx) error {
		next = leader{seen.term, worker, t.now + ttl.Microseconds()}
		if seen.worker == worker && ttl > 0 {
			n, err := t.exec(sqlRenew, next.until, seen.term, worker, t.now)
			if t.renewed += int(n); n > 0 || err != nil {
				return err
			}
		}
		now, err := leaderOf(t)
		if err != nil {
			return err
		}
		next.term = 0
		if now.term != seen.term || now.worker != seen.worker {
			return nil // somebody was quicker
		}
		switch {
		case ttl <= 0 && now.worker != worker:
			return nil
		case ttl <= 0:
			_, err = t.exec(sqlSetLeader, now.term, 0, 0)
			return err
		}
		next.term = now.term + 1
		_, err = t.exec(sqlSetLeader, next.term, next.worker, next.until)
		return err
	})
	if err != nil {
		return 0, err
	}
	if next.term > 0 {
		s.led(next)
	}
	return next.term, nil
}

// mustLead answers ErrNotLeading unless the term is under way.
func (l leader) mustLead(term, now int64) error {
	if l.term != term || l.worker == 0 || l.until <= now {
		return offstage.ErrNotLeading
	}
	return nil
}

func (t *tx) mustLead(term int64) error {
	l, err := leaderOf(t)
	if err != nil {
		return err
	}
	return l.mustLead(term, t.now)
}
