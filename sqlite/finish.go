package sqlite

import (
	"context"
	"strings"
	"time"

	"github.com/offstagehq/offstage"
	lib "modernc.org/sqlite/lib"
)

// Finish records ended attempts in the writer's next transaction.
func (s *Store) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	var verdicts []offstage.Verdict
	err := s.writeMany(ctx, "finish jobs", len(req.Results), func(t *tx) (err error) {
		verdicts, err = t.finish(req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return verdicts, nil
}

func (t *tx) finish(req offstage.FinishRequest) ([]offstage.Verdict, error) {
	fence := fence{t: t, worker: req.Worker, claims: map[int64]*openClaim{}}
	verdicts := make([]offstage.Verdict, len(req.Results))
	for i := 0; i < len(req.Results); {
		together, err := fence.finishTogether(req.Results[i:], verdicts[i:])
		if err == nil && together == 0 {
			verdicts[i], err = fence.finish(&req.Results[i])
			together = 1
		}
		if err != nil {
			return nil, err
		}
		i += together
	}
	for _, seq := range req.Release {
		if err := fence.release(seq); err != nil {
			return nil, err
		}
	}
	return verdicts, fence.shrink()
}

// fence lets the results of one worker pass that come from claims it has.
type fence struct {
	t      *tx
	worker offstage.WorkerID
	claims map[int64]*openClaim // by seq; nil: there is no such row
	args   []any                // of finishTogether, used again
}

// openClaim is a claim row with the runs that it names.
type openClaim struct {
	claimRow
	runs map[offstage.ID]int
}

// claim returns a claim of the worker's, nil if there is none.
func (f *fence) claim(seq int64) (*openClaim, error) {
	if c, looked := f.claims[seq]; looked {
		return c, nil
	}
	list, err := claims(f.t.rows(sqlOneClaim, f.worker, seq))
	if err != nil {
		return nil, err
	}
	f.claims[seq] = nil
	for _, c := range list {
		open := &openClaim{c, make(map[offstage.ID]int, len(c.jobs))}
		for _, h := range c.jobs {
			open.runs[h.job] = h.run
		}
		f.claims[seq] = open
	}
	return f.claims[seq], nil
}

// finish records one result if its claim holds the job and its run has no end.
func (f *fence) finish(r *offstage.Result) (offstage.Verdict, error) {
	claim, err := f.claim(r.Claim)
	if err != nil {
		return offstage.Verdict{}, err
	}
	if claim == nil || claim.runs[r.Job] != r.Run {
		return f.judge(r)
	}
	cancels, err := f.t.pendingCancels()
	if err != nil {
		return offstage.Verdict{}, err
	}
	next := r.Next
	if cancels[r.Job] && !next.Terminal() {
		next = offstage.Cancelled
	}
	counted, err := f.t.record(f.worker, r, next)
	if err != nil {
		return offstage.Verdict{}, err
	}
	if !counted {
		return f.judge(r)
	}
	return offstage.Verdict{Kind: offstage.Counted, Next: next}, f.t.follow(r, next)
}

// One attempt by its primary key.
const sqlWhoEnded = `SELECT worker, claim, next FROM offstage_attempt WHERE job = ? AND run = ?`

// judge says of a result that does not count whether it has counted before.
func (f *fence) judge(r *offstage.Result) (offstage.Verdict, error) {
	end, err := first(f.t.rows(sqlWhoEnded, r.Job, r.Run))
	if err != nil || end == nil {
		return offstage.Verdict{}, err
	}
	if offstage.WorkerID(end.num(0)) != f.worker || end.num(1) != r.Claim {
		return offstage.Verdict{}, nil
	}
	return offstage.Verdict{Kind: offstage.Already, Next: offstage.State(end.num(2))}, nil
}

const sqlRelease = `DELETE FROM offstage_claim WHERE worker = ? AND seq = ?`

func (f *fence) release(seq int64) error {
	delete(f.claims, seq)
	_, err := f.t.exec(sqlRelease, f.worker, seq)
	return err
}

// oldClaim is the age from which a claim is shrunk to what has not ended, so
// that one long job does not keep a long row and what it names from pruning.
const oldClaim = time.Minute

const sqlShrink = `UPDATE offstage_claim SET held = ? WHERE worker = ? AND seq = ?`

func (f *fence) shrink() error {
	for seq, claim := range f.claims {
		if claim == nil || f.t.now-claim.at < oldClaim.Microseconds() {
			continue
		}
		left, err := unended(f.t, claim.jobs)
		if err != nil {
			return err
		}
		if len(left) == len(claim.jobs) {
			continue
		}
		if _, err := f.t.exec(sqlShrink, encodeHeld(left), f.worker, seq); err != nil {
			return err
		}
	}
	return nil
}

// One row into the attempt table unless its primary key (job, run) is there.
const sqlRecord = `INSERT INTO offstage_attempt
(job, run, outcome, next, worker, claim, errors, lost, finished_at, ran, error, trace, result, log)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// record writes an attempt's end, and reports whether it is the first.
func (t *tx) record(worker offstage.WorkerID, r *offstage.Result, next offstage.State) (bool, error) {
	var ran any
	if r.Started {
		ran = r.Ran.Microseconds()
	}
	n, err := t.exec(sqlRecord, r.Job, r.Run, r.Outcome, next, worker, r.Claim, r.Errors, r.Lost, t.now, ran,
		textOf(r.Error), textOf(r.Trace), textOf(r.Value), textOf(r.Log))
	return n == 1, err
}

// One job by its primary key.
const sqlHome = `SELECT queue, priority, kind FROM offstage_job WHERE id = ?`

// groupRows is how many rows one statement writes: a statement has its price.
const groupRows = 16

// repeat repeats the parameters of one row for n of them.
func repeat(row string, n int) string { return strings.Repeat(row+", ", n-1) + row }

// sqlRecordGroup writes what most attempts come to, and fails if one of them has
// an end already. ?1 is the worker, ?2 the time; the others follow them.
var sqlRecordGroup = `INSERT INTO offstage_attempt
(worker, finished_at, job, run, claim, ran, outcome, next, errors, lost) VALUES ` + repeat("(?1, ?2, ?, ?, ?, ?, 1, 6, 0, 0)", groupRows)

// finishTogether records the first groupRows results, if all of them are of the
// usual kind and new. Otherwise it does nothing and answers 0.
func (f *fence) finishTogether(results []offstage.Result, verdicts []offstage.Verdict) (int, error) {
	if len(results) < groupRows {
		return 0, nil
	}
	args := append(f.args[:0], f.worker, f.t.now)
	for i := range groupRows {
		r := &results[i]
		claim, err := f.claim(r.Claim)
		if err != nil || claim == nil || claim.runs[r.Job] != r.Run || !isUsual(r) {
			return 0, err
		}
		args = append(args, r.Job, r.Run, r.Claim, r.Ran.Microseconds())
	}
	f.args = args
	switch _, err := f.t.exec(sqlRecordGroup, args...); {
	case codeOf(err) == lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return 0, nil // nothing of the statement was done
	case err != nil:
		return 0, err
	}
	for i := range groupRows {
		verdicts[i] = offstage.Verdict{Kind: offstage.Counted, Next: offstage.Completed}
		if err := f.t.settle(results[i].Job, results[i].UniqueKey, results[i].Parent != 0); err != nil {
			return 0, err
		}
	}
	return groupRows, nil
}

// isUsual reports whether a result is that of a first, undisturbed attempt which
// completed its job and said nothing.
func isUsual(r *offstage.Result) bool {
	return r.Outcome == offstage.OutcomeCompleted && r.Next == offstage.Completed && r.Started && r.Errors == 0 && r.Lost == 0 &&
		len(r.Error)+len(r.Trace)+len(r.Value)+len(r.Log) == 0
}

// follow does what an attempt's end leads to.
func (t *tx) follow(r *offstage.Result, next offstage.State) error {
	if next.Terminal() {
		return t.settle(r.Job, r.UniqueKey, r.Parent != 0)
	}
	home, err := first(t.rows(sqlHome, r.Job))
	if err != nil || home == nil { // deleted: there is nothing to go on with
		return err
	}
	w := waiting{r.Job, home.num(0), home.num(1), r.Run + 1, r.Errors, r.Lost}
	switch {
	case next == offstage.Blocked && r.WaitKey != "":
		return t.await(w, home.num(2), r)
	case next == offstage.Blocked:
		return t.park(w, home.num(2), r.Waits)
	case next == offstage.Ready:
		return t.makeReady(w, bandFront)
	case r.Wait > 0:
		return t.schedule(w, t.now+r.Wait.Microseconds(), next == offstage.Retrying)
	}
	return t.makeReady(w, bandArrival)
}

const sqlUncancel = `DELETE FROM offstage_cancel WHERE job = ?`

// settle clears up behind a job that has ended: its pending cancel, its key and,
// if it may be a child, its parent's wait. Who waits for its end is told.
func (t *tx) settle(job offstage.ID, key []byte, child bool) error {
	t.tellEnded()
	cancels, err := t.pendingCancels()
	if err != nil {
		return err
	}
	if cancels[job] {
		delete(cancels, job)
		if _, err := t.exec(sqlUncancel, job); err != nil {
			return err
		}
	}
	if child {
		if _, err := t.wake(offstage.EndKey(job)); err != nil {
			return err
		}
	}
	if len(key) == 0 {
		return nil
	}
	return t.releaseKey(key, job, false)
}
