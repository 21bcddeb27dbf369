package sqlite

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
)

// Claim takes ready jobs in the writer's next transaction. A worker that is not
// registered any more gets [offstage.ErrGone]. This store has no hints, so Sweep
// changes nothing, and its claims see all that was committed before.
func (s *Store) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	claim := offstage.Claim{Seq: req.Seq}
	if s.idle.Load() {
		// The last claim found nothing. Look first: an idle process takes no
		// turn of the writer's to find nothing again.
		if any, err := s.anyReady(ctx, req.Worker); err != nil || !any {
			return claim, err
		}
	}
	err := s.write(ctx, "claim jobs", func(t *tx) error {
		claim = offstage.Claim{Seq: req.Seq}
		if err := t.mustLive(req.Worker); err != nil {
			return err
		}
		most := math.MaxInt32 // of the deaths that a job may have behind it
		if req.NoSuspects {
			most = offstage.SuspectLost - 1
		}
		held, jobs, err := t.takeAll(req.Pools, most)
		if err != nil || len(held) == 0 {
			return err
		}
		claim.Jobs = jobs
		return t.addClaim(req.Worker, req.Seq, held)
	})
	if err != nil {
		return offstage.Claim{}, err
	}
	s.idle.Store(len(claim.Jobs) == 0)
	return claim, nil
}

// Whether a worker is known and lives, and whether any job is ready, by primary
// keys.
const sqlAnyReady = `SELECT EXISTS (` + sqlLive + `), EXISTS (SELECT 1 FROM offstage_ready)`

// anyReady reports whether any job of any queue is ready. It answers ErrGone as
// a claim does.
func (s *Store) anyReady(ctx context.Context, worker offstage.WorkerID) (any bool, err error) {
	err = s.glance(ctx, "look for ready jobs", func(ses session) error {
		r, err := first(ses.rows(sqlAnyReady, worker))
		if err == nil && !r.yes(0) {
			err = offstage.ErrGone
		}
		any = err == nil && r.yes(1)
		return err
	})
	return any, err
}

// One worker by its primary key.
const sqlLive = `SELECT 1 FROM offstage_worker WHERE id = ? AND dead = 0`

// mustLive answers ErrGone for a worker that is not known, or known to be dead.
func (t *tx) mustLive(worker offstage.WorkerID) error {
	live, err := first(t.rows(sqlLive, worker))
	if err == nil && live == nil {
		err = offstage.ErrGone
	}
	return err
}

// One row into the claim table, by its primary key (worker, seq).
const sqlAddClaim = `INSERT INTO offstage_claim (worker, seq, at, held) VALUES (?, ?, ?, ?)`

func (t *tx) addClaim(worker offstage.WorkerID, seq int64, held []heldJob) error {
	_, err := t.exec(sqlAddClaim, worker, seq, t.now, encodeHeld(held))
	return err
}

// takeAll takes jobs for each pool by the order of its queues, of which at most
// so many workers have died.
func (t *tx) takeAll(pools []offstage.PoolRequest, most int) (held []heldJob, jobs []offstage.ClaimedJob, err error) {
	known, err := t.known()
	if err != nil {
		return nil, nil, err
	}
	full, err := t.fullQueues(pools)
	if err != nil {
		return nil, nil, err
	}
	for p, pool := range pools {
		slots := pool.Slots
		for _, name := range pool.Queues {
			queue := known.queues.byName[name]
			if slots <= 0 {
				break
			}
			if queue == nil || queue.paused || full != nil && !full[queue.id] {
				continue
			}
			n := len(held)
			if held, jobs, err = t.take(known, queue, p, slots, most, held, jobs); err != nil {
				return nil, nil, err
			}
			slots -= len(held) - n
		}
	}
	return held, jobs, nil
}

// Skips from queue to queue along the primary key of the ready table.
const sqlFullQueues = `WITH RECURSIVE full (queue) AS (
SELECT min(queue) FROM offstage_ready
UNION ALL SELECT (SELECT min(r.queue) FROM offstage_ready r WHERE r.queue > full.queue) FROM full WHERE full.queue IS NOT NULL)
SELECT queue FROM full WHERE queue IS NOT NULL`

// fullQueues returns the queues that have ready jobs, or nil when looking into
// each is as quick.
func (t *tx) fullQueues(pools []offstage.PoolRequest) (map[int64]bool, error) {
	asked := 0
	for _, pool := range pools {
		asked += len(pool.Queues)
	}
	if asked <= 4 {
		return nil, nil
	}
	full := map[int64]bool{}
	for r, err := range t.rows(sqlFullQueues) {
		if err != nil {
			return nil, err
		}
		full[r.num(0)] = true
	}
	return full, nil
}

// The first jobs of a queue by the primary key of the ready table, with their
// facts. Arguments of more than 8 KiB are not even read. To read a column takes longer
// than to find out that it says nothing, so small numbers are packed into one (kind 0:
// the job is gone), others are null as long as all of them are as usual, and so is a
// seq that is the job's id.
const sqlFirstReady = `SELECT r.job, ifnull(j.kind, 0) * 256 + r.priority * 2 + r.band, j.created_at,
CAST(CASE WHEN octet_length(j.args) <= 8192 THEN j.args END AS BLOB),
CASE WHEN r.run <> 1 OR r.errors <> 0 OR r.lost <> 0 OR j.max_attempts <> 0 OR j.timeout <> 0
THEN r.run || ' ' || r.errors || ' ' || r.lost || ' ' || ifnull(j.max_attempts, 0) || ' ' || ifnull(j.timeout, 0) END,
CASE WHEN r.seq <> r.job THEN r.seq END, j.uniq_key, j.extra
FROM offstage_ready r LEFT JOIN offstage_job j ON j.id = r.job
WHERE r.queue = ? AND r.lost <= ? ORDER BY r.priority, r.band, r.seq LIMIT ?`

// What sqlFirstReady gave: a range at the front of the queue.
const sqlTakeReady = `DELETE FROM offstage_ready WHERE queue = ? AND lost <= ? AND (priority, band, seq) <= (?, ?, ?)`

// take takes up to slots jobs from the front of one queue and appends them.
func (t *tx) take(known *names, queue *line, pool, slots, most int, held []heldJob, jobs []offstage.ClaimedJob) ([]heldJob, []offstage.ClaimedJob, error) {
	cancels, err := t.pendingCancels()
	if err != nil {
		return nil, nil, err
	}
	var last place
	for r, err := range t.rows(sqlFirstReady, queue.id, most, slots) {
		if err != nil {
			return nil, nil, err
		}
		job, at, err := claimedJob(r, known, queue)
		if err != nil {
			return nil, nil, err
		}
		job.Pool, job.CancelAsked = pool, cancels[job.ID]
		jobs = append(jobs, job)
		held = append(held, heldJob{job.ID, job.Run, job.Errors, job.Lost, queue.id})
		last = at
	}
	if last == (place{}) {
		return held, jobs, nil
	}
	_, err = t.exec(sqlTakeReady, queue.id, most, last.priority, last.band, last.seq)
	return held, jobs, err
}

// claimedJob reads a row of sqlFirstReady.
func claimedJob(r row, known *names, queue *line) (job offstage.ClaimedJob, at place, err error) {
	packed := r.num(1)
	job = offstage.ClaimedJob{Run: 1, Missing: packed>>8 == 0}
	job.ID, job.Queue = r.id(0), queue.name
	at = place{packed >> 1 & 0x7f, packed & 1, r.num(0)}
	if !r.null(5) {
		at.seq = r.num(5)
	}
	if !r.null(4) {
		var odd [5]int64
		for i, number := range strings.Fields(r.text(4)) {
			if odd[i], err = strconv.ParseInt(number, 10, 64); err != nil {
				return job, at, err
			}
		}
		job.Run, job.Errors, job.Lost = int(odd[0]), int(odd[1]), int(odd[2])
		job.MaxAttempts, job.Timeout = int(odd[3]), time.Duration(odd[4])
	}
	if job.Missing {
		return job, at, nil
	}
	if kind := known.kinds.byID[packed>>8]; kind != nil {
		job.Kind, job.KindPaused = kind.name, kind.paused
	}
	job.Priority = int(at.priority)
	job.Args, job.ArgsDeferred = r.blob(3), r.null(3)
	job.CreatedAt, job.UniqueKey = r.when(2), r.blob(6)
	return job, at, readExtra(&job.Extra, r, 7)
}

// readExtra reads a column with the JSON of an Extra.
func readExtra(extra *offstage.Extra, r row, i int) error {
	if r.null(i) {
		return nil
	}
	return json.Unmarshal(r.json(i), extra)
}

// All rows of the cancel table: there are few, and mostly none.
const sqlCancels = `SELECT job FROM offstage_cancel`

// pendingCancels returns the jobs that are to be cancelled.
func (t *tx) pendingCancels() (map[offstage.ID]bool, error) {
	if t.cancels != nil {
		return t.cancels, nil
	}
	return t.readCancels()
}

// readCancels is apart from pendingCancels, which every job calls, for what it
// allocates.
func (t *tx) readCancels() (map[offstage.ID]bool, error) {
	cancels := map[offstage.ID]bool{}
	for r, err := range t.rows(sqlCancels) {
		if err != nil {
			return nil, err
		}
		cancels[r.id(0)] = true
	}
	t.cancels = cancels
	return cancels, nil
}

// Claims lists what the worker's claim rows hold and has not ended.
func (s *Store) Claims(ctx context.Context, worker offstage.WorkerID) ([]offstage.HeldClaim, error) {
	var held []offstage.HeldClaim
	err := s.read(ctx, "list claims", func(ses session) error {
		list, err := claims(ses.rows(sqlWorkerClaims, worker))
		if err != nil {
			return err
		}
		for _, c := range list {
			left, err := unended(ses, c.jobs)
			if err != nil {
				return err
			}
			claim := offstage.HeldClaim{Seq: c.seq, Jobs: make([]offstage.HeldJob, len(left))}
			for i, h := range left {
				claim.Jobs[i] = offstage.HeldJob{Job: h.job, Run: h.run, Errors: h.errors, Lost: h.lost}
			}
			held = append(held, claim)
		}
		return nil
	})
	return held, err
}

// Ended looks for the attempt's row.
func (s *Store) Ended(ctx context.Context, job offstage.ID, run int) (bool, error) {
	var ended row
	err := s.glance(ctx, "look for an attempt's end", func(ses session) (err error) {
		ended, err = first(ses.rows(sqlHasEnded, job, run))
		return err
	})
	return ended != nil, err
}

const sqlLoadArgs = `SELECT args FROM offstage_job WHERE id = ?`

// LoadArgs returns a job's arguments.
func (s *Store) LoadArgs(ctx context.Context, job offstage.ID) ([]byte, error) {
	var args []byte
	err := s.glance(ctx, "load arguments", func(ses session) error {
		r, err := first(ses.rows(sqlLoadArgs, job))
		if err == nil && r == nil {
			return offstage.ErrNotFound
		}
		if err == nil {
			args = r.json(0)
		}
		return err
	})
	return args, err
}
