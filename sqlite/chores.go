package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

// Chore does a page of a chore in the writer's next transaction, in which the
// term is checked. It looks first, on a reader's connection, whether there is
// anything to do: mostly there is not, and then nothing is written or locked.
func (s *Store) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	report, run, err := s.prepareChore(ctx, term, chore, limit)
	if err != nil || run == nil {
		return report, err
	}
	err = s.writeMany(ctx, chore.String(), limit, func(t *tx) (err error) {
		if err := t.mustLead(term); err != nil {
			return err
		}
		report, err = run(t, limit)
		return err
	})
	if err != nil {
		return offstage.ChoreReport{}, err
	}
	return report, nil
}

// choreFunc does a page of a chore.
type choreFunc func(t *tx, limit int) (offstage.ChoreReport, error)

// prepareChore returns what is to be done; nil for nothing, with the report.
func (s *Store) prepareChore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, choreFunc, error) {
	switch chore {
	case offstage.Promote:
		return s.probe(ctx, term, sqlProbePromote, (*tx).promote)
	case offstage.Publish:
		return s.probe(ctx, term, sqlProbePublish, (*tx).publish)
	case offstage.Unblock:
		return s.probe(ctx, term, sqlProbeUnblock, (*tx).unblock)
	case offstage.Sweep:
		return s.probe(ctx, term, sqlProbeSweep, (*tx).sweep)
	case offstage.Rescan:
		return s.probe(ctx, term, sqlProbeRescan, (*tx).rescan)
	case offstage.Prune:
		return s.preparePrune(ctx, term, limit)
	case offstage.Count:
		return s.prepareCount(ctx, term)
	}
	return offstage.ChoreReport{}, nil, &offstage.InvalidError{Field: "chore", Problem: fmt.Sprintf("%s is not one that this store knows", chore)}
}

// The leader with the time at which a chore has something to do: null for
// never, 0 for now. One row by primary keys and the first row of an index.
const (
	sqlProbe        = `SELECT term, worker, until, `
	sqlProbePromote = sqlProbe + `(SELECT run_at FROM offstage_scheduled ORDER BY run_at LIMIT 1) FROM offstage_leader WHERE one = 1`
	sqlProbePublish = sqlProbe + `(SELECT 0 FROM offstage_batch LIMIT 1) FROM offstage_leader WHERE one = 1`
	sqlProbeUnblock = sqlProbe + `(SELECT 0 FROM offstage_parked WHERE reason IN ('` + offstage.WaitsKindUnknown + `', '` + offstage.WaitsKindPaused + `') LIMIT 1) FROM offstage_leader WHERE one = 1`
	sqlProbeSweep   = sqlProbe + `(SELECT 0 FROM offstage_cancel LIMIT 1) FROM offstage_leader WHERE one = 1`
	sqlProbeRescan  = sqlProbe + `(SELECT 0 FROM offstage_claim WHERE NOT EXISTS (SELECT 1 FROM offstage_worker w WHERE w.id = worker) LIMIT 1) FROM offstage_leader WHERE one = 1`
)

// probe returns a chore if there is something to do, else how long it will take
// until there is, if that is known.
func (s *Store) probe(ctx context.Context, term int64, query string, run choreFunc) (report offstage.ChoreReport, _ choreFunc, err error) {
	believe := believeChores
	if query == sqlProbePromote {
		believe = believeDue
	}
	answer, l, known := s.recall(question{text: query}, believe)
	if !known || l.mustLead(term, time.Now().UnixMicro()) != nil {
		if answer, l, err = s.look(ctx, query); err != nil {
			return report, nil, err
		}
	}
	now := time.Now().UnixMicro()
	if err := l.mustLead(term, now); err != nil {
		return report, nil, err
	}
	due, ever := answer.(int64)
	switch {
	case !ever:
		return report, nil, nil
	case due > now:
		report.Next = time.Duration(due-now) * time.Microsecond
		return report, nil, nil
	}
	return report, run, nil
}

// look asks when there is something to do for a chore, nil for never, and who leads.
func (s *Store) look(ctx context.Context, query string) (due any, l leader, err error) {
	commits, _ := s.stamp()
	err = s.glance(ctx, "look for chores", func(ses session) error {
		r, err := first(ses.rows(query))
		if err == nil && r != nil {
			l, due = leader{r.num(0), offstage.WorkerID(r.num(1)), r.num(2)}, r[3]
		}
		return err
	})
	if err == nil {
		s.led(l)
		s.remember(question{text: query}, commits, due)
	}
	return due, l, err
}

// Due jobs from the front of the scheduled table, by its primary key.
const (
	sqlDueJobs = `SELECT s.run_at, s.job, s.run, s.errors, s.lost, j.queue, j.priority
FROM offstage_scheduled s LEFT JOIN offstage_job j ON j.id = s.job
WHERE s.run_at <= ? ORDER BY s.run_at, s.job LIMIT ?`
	sqlTakeDue = `DELETE FROM offstage_scheduled WHERE (run_at, job) <= (?, ?)`
	sqlNextDue = `SELECT run_at FROM offstage_scheduled ORDER BY run_at LIMIT 1`
)

// promote makes due jobs ready, in the order in which they became due.
func (t *tx) promote(limit int) (report offstage.ChoreReport, err error) {
	var due []waiting
	var runAt any
	for r, err := range t.rows(sqlDueJobs, t.now, limit) {
		if err != nil {
			return report, err
		}
		report.Done++
		runAt = r.num(0)
		due = append(due, waiting{r.id(1), r.num(5), r.num(6), r.int(2), r.int(3), r.int(4)})
	}
	for _, w := range due {
		if err := t.makeReady(w, bandArrival); err != nil {
			return report, err
		}
	}
	if len(due) > 0 {
		if _, err := t.exec(sqlTakeDue, runAt, due[len(due)-1].job); err != nil {
			return report, err
		}
	}
	next, err := first(t.rows(sqlNextDue))
	if err != nil || next == nil {
		return report, err
	}
	if wait := next.num(0) - t.now; wait > 0 {
		report.Next = time.Duration(wait) * time.Microsecond
	} else {
		report.More = true
	}
	return report, nil
}

// The workers that are not known to be dead: a small table.
const sqlWorkers = `SELECT id, info, started_at FROM offstage_worker WHERE dead = 0 ORDER BY id`

// liveKinds returns the names of the kinds that some worker handles.
func (t *tx) liveKinds() (map[string]bool, error) {
	live := map[string]bool{}
	for r, err := range t.rows(sqlWorkers) {
		if err != nil {
			return nil, err
		}
		var info offstage.WorkerInfo
		if err := json.Unmarshal(r.json(1), &info); err != nil {
			return nil, err
		}
		for _, kind := range info.Kinds {
			live[kind.Name] = true
		}
	}
	return live, nil
}

// unblock makes blocked jobs ready whose kind has a live handler and is not
// paused.
func (t *tx) unblock(limit int) (report offstage.ChoreReport, err error) {
	live, err := t.liveKinds()
	if err != nil {
		return report, err
	}
	known, err := t.known()
	if err != nil {
		return report, err
	}
	for name := range live {
		kind := known.kinds.byName[name]
		if kind == nil || kind.paused {
			continue
		}
		n, more, err := t.unblockKind(kind.id, limit-report.Done)
		if err != nil {
			return report, err
		}
		if report.Done += n; more {
			report.More = true
			return report, nil
		}
	}
	return report, nil
}

// unblockPage is how many jobs of a kind become ready with what a person or a
// starting worker waits for; the chore does the rest.
const unblockPage = 1_000

// Blocked jobs of a kind, by the index on kind.
const sqlBlockedOf = `SELECT p.job, j.queue, j.priority, p.run, p.errors, p.lost
FROM offstage_parked p JOIN offstage_job j ON j.id = p.job
WHERE p.kind = ? AND p.reason IN ('` + offstage.WaitsKindUnknown + `', '` + offstage.WaitsKindPaused + `') ORDER BY p.job LIMIT ?`

// unblockKind makes up to limit blocked jobs of a kind ready.
func (t *tx) unblockKind(kind int64, limit int) (n int, more bool, err error) {
	var jobs []waiting
	for r, err := range t.rows(sqlBlockedOf, kind, limit+1) {
		if err != nil {
			return 0, false, err
		}
		jobs = append(jobs, waiting{r.id(0), r.num(1), r.num(2), r.int(3), r.int(4), r.int(5)})
	}
	for _, w := range jobs[:min(limit, len(jobs))] {
		if _, err := t.exec(sqlUnpark, w.job); err != nil {
			return 0, false, err
		}
		if err := t.makeReady(w, bandArrival); err != nil {
			return 0, false, err
		}
	}
	return min(limit, len(jobs)), len(jobs) > limit, nil
}

// sweep carries out cancels of waiting jobs, and drops those of jobs that have
// ended or are gone. In this store a cancel of a waiting job is carried out at
// once and an end drops its cancel, so there is mostly nothing to find.
func (t *tx) sweep(limit int) (report offstage.ChoreReport, err error) {
	cancels, err := t.pendingCancels()
	if err != nil {
		return report, err
	}
	for job := range cancels {
		at, err := t.find(job)
		switch {
		case err == offstage.ErrNotFound, err == nil && at.state.Terminal():
			_, err = t.exec(sqlUncancel, job)
			delete(cancels, job)
		case err == nil && at.state.Waiting():
			err = t.cancelWaiting(at)
		default:
			if err == nil {
				continue
			}
		}
		if err != nil {
			return report, err
		}
		if report.Done++; report.Done == limit {
			report.More = true
			return report, nil
		}
	}
	return report, nil
}

// Claims whose worker is not known, by the primary keys of two small tables.
const sqlOrphans = `SELECT DISTINCT worker FROM offstage_claim
WHERE at < ? AND NOT EXISTS (SELECT 1 FROM offstage_worker w WHERE w.id = worker)`

// orphanAge is how old a claim must be before its worker counts as forgotten.
const orphanAge = 5 * time.Second

// rescan rescues the claims of workers that nobody knows.
func (t *tx) rescan(limit int) (report offstage.ChoreReport, err error) {
	var orphans []offstage.WorkerID
	for r, err := range t.rows(sqlOrphans, t.now-orphanAge.Microseconds()) {
		if err != nil {
			return report, err
		}
		orphans = append(orphans, offstage.WorkerID(r.num(0)))
	}
	for _, worker := range orphans {
		n, more, err := t.rescue(worker, limit-report.Done)
		if err != nil {
			return report, err
		}
		if report.Done += n; more {
			report.More = true
			return report, nil
		}
	}
	return report, nil
}
