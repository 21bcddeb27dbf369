package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

// Rescue ends attempts of a dead worker in the writer's next transaction. It
// does nothing about a peer that is not known to be dead and lives: one of this
// store that has beaten since it was seen, one of another process whose lock is
// held.
func (s *Store) Rescue(ctx context.Context, peer offstage.Peer, limit int) (rescued int, more bool, err error) {
	if !peer.Dead {
		beats, mine := s.locals.beats(peer.ID)
		lives := mine && beats != peer.Counter
		if !mine {
			if lives, err = s.lives(peer.ID); err != nil {
				return 0, false, fault("rescue jobs", err)
			}
		}
		if lives {
			return 0, false, nil
		}
	}
	err = s.writeMany(ctx, "rescue jobs", limit, func(t *tx) (err error) {
		if _, err := t.exec(sqlCondemn, peer.ID); err != nil {
			return err
		}
		if rescued, more, err = t.rescue(peer.ID, limit); err != nil || more {
			return err
		}
		_, err = t.exec(sqlDropWorker, peer.ID)
		return err
	})
	if err != nil {
		return 0, false, err
	}
	if !more {
		s.forget(peer.ID)
	}
	return rescued, more, nil
}

// rescue ends up to limit attempts of a worker as lost, the oldest claims first.
// Claims with nothing left go.
func (t *tx) rescue(worker offstage.WorkerID, limit int) (rescued int, more bool, err error) {
	list, err := claims(t.rows(sqlWorkerClaims, worker))
	if err != nil {
		return 0, false, err
	}
	named, err := first(t.rows(sqlSuspect, worker))
	if err != nil {
		return 0, false, err
	}
	for _, c := range list {
		left, err := unended(t, c.jobs)
		if err != nil {
			return 0, false, err
		}
		n := min(len(left), limit-rescued)
		for _, h := range left[:n] {
			blamed := h.lost < offstage.SuspectLost || named != nil && named.id(0) == h.job && named.int(1) == h.run
			if err := t.lose(c, h, blamed); err != nil {
				return 0, false, err
			}
		}
		if rescued += n; n < len(left) {
			return rescued, true, nil
		}
		if _, err := t.exec(sqlRelease, worker, c.seq); err != nil {
			return 0, false, err
		}
	}
	return rescued, false, nil
}

// One worker by its primary key.
const (
	sqlSuspect    = `SELECT suspect, suspect_run FROM offstage_worker WHERE id = ?`
	sqlSetSuspect = `UPDATE offstage_worker SET suspect = ?, suspect_run = ? WHERE id = ? AND dead = 0`
)

// Suspect notes which suspect a worker is about to start.
func (s *Store) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	return s.write(ctx, "name a suspect", func(t *tx) error {
		n, err := t.exec(sqlSetSuspect, job, run, worker)
		if err == nil && n == 0 {
			err = offstage.ErrGone
		}
		return err
	})
}

const sqlKeyOf = `SELECT uniq_key FROM offstage_job WHERE id = ?`

// lose ends one attempt of a claim whose worker died. Whether the handler was
// started nobody knows, but of suspects, which are blamed only then; the time
// counts from the claim. No claim is noted: what the worker may yet say of this
// attempt is refused, not taken for said before.
func (t *tx) lose(c claimRow, h heldJob, blamed bool) error {
	cancels, err := t.pendingCancels()
	if err != nil {
		return err
	}
	end := offstage.Result{
		Job: h.job, Run: h.run, Outcome: offstage.OutcomeLost, Next: offstage.Ready,
		Errors: h.errors, Lost: h.lost + 1, Error: "the worker died",
		Started: true, Ran: max(time.Duration(t.now-c.at)*time.Microsecond, 0),
	}
	progressed, err := t.progressed(h.job, h.run)
	if err != nil {
		return err
	}
	switch {
	case progressed:
		end.Lost = 1
	case !blamed:
		end.Outcome, end.Lost, end.Error = offstage.OutcomeInterrupted, h.lost, "the worker died before this run was started"
		end.Started, end.Ran = false, 0
	}
	switch {
	case end.Lost >= offstage.MaxLost:
		end.Next = offstage.Failed
		end.Error = fmt.Sprintf("%d workers in a row died while running this job", end.Lost)
	case cancels[h.job]:
		end.Next = offstage.Cancelled
	}
	if end.Next.Terminal() {
		key, err := first(t.rows(sqlKeyOf, h.job))
		if err != nil {
			return err
		}
		if key != nil {
			end.UniqueKey = key.blob(0)
		}
	}
	if counted, err := t.record(c.worker, &end, end.Next); err != nil || !counted {
		return err
	}
	if end.Next.Terminal() {
		return t.settle(h.job, end.UniqueKey, true)
	}
	return t.follow(&end, end.Next)
}
