package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// A job with all that says where it stands, by primary keys, the index of moved
// ready rows and the index on job of the scheduled; for the WHERE of whoever asks.
const sqlInfo = `SELECT j.id, k.name, q.name, j.priority, j.args, j.max_attempts, j.timeout, j.created_at, j.run_at, j.uniq_key, j.extra,
r.run, r.errors, r.lost, r.since,
s.run, s.errors, s.lost, s.run_at, s.retry,
p.run, p.errors, p.lost, p.reason,
g.batch, g.run_at, b.published,
a.run, a.errors, a.lost, a.next, a.outcome, a.error, a.result, a.finished_at, a.ran,
o.run, o.done, o.total, o.message, o.at,
c.job
FROM offstage_job j
JOIN offstage_kind k ON k.id = j.kind
JOIN offstage_queue q ON q.id = j.queue` + sqlJoinReady + `
LEFT JOIN offstage_scheduled s ON s.job = j.id
LEFT JOIN offstage_parked p ON p.job = j.id
LEFT JOIN offstage_staged g ON g.job = j.id
LEFT JOIN offstage_batch b ON b.id = g.batch
LEFT JOIN offstage_attempt a ON a.job = j.id AND a.run = (SELECT max(run) FROM offstage_attempt WHERE job = j.id)
LEFT JOIN offstage_progress o ON o.job = j.id
LEFT JOIN offstage_cancel c ON c.job = j.id
`

// Columns of sqlInfo at which a part begins.
const (
	colReady     = 11
	colScheduled = 15
	colParked    = 20
	colStaged    = 24
	colAttempt   = 27
	colProgress  = 36
	colCancel    = 41
)

// readInfo reads a row of sqlInfo. It answers false for a job that does not
// exist yet. What a running job's claim knows is missing; see fillRunning.
func readInfo(r row, now int64) (info offstage.JobInfo, exists bool, err error) {
	info.ID, info.Kind, info.Queue, info.Priority = r.id(0), r.text(1), r.text(2), r.int(3)
	info.Args = r.json(4)
	info.MaxAttempts, info.Timeout, info.CreatedAt = r.int(5), time.Duration(r.num(6)), r.when(7)
	info.RunAt, info.UniqueKey = r.when(8), r.blob(9)
	if err := readExtra(&info.Extra, r, 10); err != nil {
		return info, false, err
	}
	if !r.null(colAttempt) {
		info.Run, info.Errors, info.Lost = r.int(colAttempt), r.int(colAttempt+1), r.int(colAttempt+2)
		info.Outcome, info.Error, info.Result = offstage.Outcome(r.num(colAttempt+4)), r.text(colAttempt+5), r.json(colAttempt+6)
		info.FinishedAt, info.StartedAt = r.when(colAttempt+7), startedAt(r, colAttempt+7)
	}
	if !r.null(colProgress) {
		i := colProgress
		info.Progress = &offstage.ProgressInfo{Run: r.int(i), Done: r.num(i + 1), Total: r.num(i + 2), Message: r.text(i + 3), At: r.when(i + 4)}
	}
	waits := func(i int) { info.Run, info.Errors, info.Lost = r.int(i)-1, r.int(i+1), r.int(i+2) }
	switch {
	case !r.null(colReady):
		info.State = offstage.Ready
		waits(colReady)
		if info.Run > 0 {
			info.RunAt = r.when(colReady + 3)
		}
	case !r.null(colScheduled):
		info.State, info.RunAt = offstage.Scheduled, r.when(colScheduled+3)
		if r.yes(colScheduled + 4) {
			info.State = offstage.Retrying
		}
		waits(colScheduled)
	case !r.null(colParked):
		info.State, info.Waits = offstage.Blocked, r.text(colParked+3)
		waits(colParked)
	case !r.null(colStaged):
		info.State = offstage.Ready
		if r.num(colStaged+1) > now {
			info.State = offstage.Scheduled
		}
		return info, r.yes(colStaged + 2), nil
	case offstage.State(r.num(colAttempt + 3)).Terminal():
		info.State = offstage.State(r.num(colAttempt + 3))
	default:
		info.State, info.CancelAsked = offstage.Running, !r.null(colCancel)
	}
	return info, true, nil
}

// startedAt reads an attempt's start from its columns finished_at and ran, of
// which the first is i.
func startedAt(r row, i int) time.Time {
	if r.null(i + 1) {
		return time.Time{}
	}
	return r.when(i).Add(-time.Duration(r.num(i+1)) * time.Microsecond)
}

// fillRunning adds what the claims know of running jobs.
func fillRunning(ses session, jobs []offstage.JobInfo) error {
	running := func(info offstage.JobInfo) bool { return info.State == offstage.Running }
	if !slices.ContainsFunc(jobs, running) {
		return nil
	}
	held, err := holders(ses)
	if err != nil {
		return err
	}
	for i := range jobs {
		if h, ok := held[jobs[i].ID]; ok && running(jobs[i]) {
			jobs[i].Run, jobs[i].Errors, jobs[i].Lost = h.run, h.errors, h.lost
			jobs[i].Worker, jobs[i].StartedAt = h.worker, h.at
		}
	}
	return nil
}

const sqlInfoOf = sqlInfo + `WHERE j.id = ?`

// The latest attempts of a job, by the primary key.
const sqlAttempts = `SELECT run, outcome, next, worker, finished_at, ran, error, trace, result, log
FROM offstage_attempt WHERE job = ? ORDER BY run DESC LIMIT 100`

// Get returns a job with its history, all of one moment.
func (s *Store) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	var details offstage.Details
	err := s.read(ctx, "get a job", func(ses session) error {
		r, err := first(ses.rows(sqlInfoOf, id))
		if err != nil {
			return err
		}
		if r == nil {
			return offstage.ErrNotFound
		}
		info, exists, err := readInfo(r, time.Now().UnixMicro())
		if err != nil {
			return err
		}
		if !exists {
			return offstage.ErrNotFound
		}
		one := []offstage.JobInfo{info}
		if err := fillRunning(ses, one); err != nil {
			return err
		}
		details.JobInfo = one[0]
		if details.Steps, err = stepsOf(ses, id, time.Now().UnixMicro()); err != nil {
			return err
		}
		details.Attempts, err = attempts(ses, id)
		return err
	})
	if err != nil {
		return offstage.Details{}, err
	}
	return details, nil
}

// attempts returns a job's latest attempts, oldest first.
func attempts(ses session, id offstage.ID) ([]offstage.Attempt, error) {
	var list []offstage.Attempt
	for r, err := range ses.rows(sqlAttempts, id) {
		if err != nil {
			return nil, err
		}
		list = append(list, offstage.Attempt{
			Run: r.int(0), Outcome: offstage.Outcome(r.num(1)), Next: offstage.State(r.num(2)), Worker: offstage.WorkerID(r.num(3)),
			StartedAt: startedAt(r, 4), FinishedAt: r.when(4),
			Error: r.text(6), Trace: r.text(7), Result: r.json(8), Log: r.json(9),
		})
	}
	slices.Reverse(list)
	return list, nil
}

// One job's existence and the end of its last attempt, by the primary keys.
const sqlEnded = `SELECT a.next, a.error, a.result, g.batch, b.published
FROM offstage_job j
LEFT JOIN offstage_attempt a ON a.job = j.id AND a.run = (SELECT max(run) FROM offstage_attempt WHERE job = j.id)
LEFT JOIN offstage_staged g ON g.job = j.id
LEFT JOIN offstage_batch b ON b.id = g.batch
WHERE j.id = ?`

// EndedOf looks at the jobs one by one, all at one moment.
func (s *Store) EndedOf(ctx context.Context, ids []offstage.ID) ([]offstage.Ended, error) {
	var ended []offstage.Ended
	err := s.read(ctx, "look for ended jobs", func(ses session) error {
		for _, id := range ids {
			r, err := first(ses.rows(sqlEnded, id))
			if err != nil {
				return err
			}
			if r == nil || !r.null(3) && !r.yes(4) {
				ended = append(ended, offstage.Ended{ID: id})
			} else if state := offstage.State(r.num(0)); state.Terminal() {
				ended = append(ended, offstage.Ended{ID: id, State: state, Error: r.text(1), Result: r.json(2)})
			}
		}
		return nil
	})
	return ended, err
}
