package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// Apply changes one job by an operator's hand; see [offstage.Operator]. Every
// change locks, in this order, the job's unique key, its row, and the row by
// which it waits: the order of an insert that replaces it.
func (s *Store) Apply(ctx context.Context, change offstage.Change) (state offstage.State, err error) {
	do, known := map[offstage.Verb]func(context.Context, *operation) (offstage.State, error){
		offstage.VerbCancel: s.cancel, offstage.VerbRetry: s.retry, offstage.VerbDelete: s.delete,
		offstage.VerbRunNow: s.runNow, offstage.VerbReschedule: s.reschedule, offstage.VerbPrioritize: s.prioritize,
	}[change.Verb]
	if !known {
		return 0, &offstage.InvalidError{Field: "verb", Problem: fmt.Sprintf("%q is not a verb", change.Verb)}
	}
	op := &operation{Change: change}
	err = s.transact(ctx, string(change.Verb)+" a job", func(ctx context.Context, tx pgx.Tx) error {
		*op = operation{Change: change, tx: tx, session: pgxSession{tx}, job: int64(change.Job)}
		if err := s.lockJob(ctx, op); err != nil {
			return err
		}
		state, err = do(ctx, op)
		return err
	})
	if err != nil {
		return 0, err
	}
	if op.readied {
		s.knocker.ring()
	}
	if op.soon {
		s.knocker.ringSoon()
	}
	if change.Verb == offstage.VerbDelete || state.Terminal() {
		s.knocker.ringEnded()
	}
	return state, nil
}

// operation is a change under way.
type operation struct {
	offstage.Change
	tx      pgx.Tx
	session session
	job     int64
	key     []byte // the job's unique key; nil: none
	readied bool   // a job became ready
	soon    bool   // a job will be
}

// refuse is the answer where the job's state does not allow the change.
func (op *operation) refuse(state offstage.State, hint string) error {
	return &offstage.StateError{ID: op.Job, State: state, Verb: op.Verb, Hint: hint}
}

const (
	// uniqueOfSQL reads the unique key of job $1, which never changes.
	uniqueOfSQL = `SELECT uniq_key FROM offstage.job WHERE id = $1::bigint`
	// lockKeySQL locks key $1.
	lockKeySQL = `SELECT true FROM offstage.uniq WHERE key = $1::bytea FOR UPDATE`
	// lockJobSQL locks job $1.
	lockJobSQL = `SELECT true FROM offstage.job WHERE id = $1::bigint FOR NO KEY UPDATE`
)

func (s *Store) lockJob(ctx context.Context, op *operation) error {
	found, err := op.session.one(ctx, s.sql(uniqueOfSQL), []any{op.job}, &op.key)
	if err != nil {
		return err
	}
	if !found {
		return offstage.ErrNotFound
	}
	if op.key != nil {
		if _, err := op.session.exec(ctx, s.sql(lockKeySQL), op.key); err != nil {
			return err
		}
	}
	locked, err := op.session.exec(ctx, s.sql(lockJobSQL), op.job)
	if err == nil && locked == 0 {
		err = offstage.ErrNotFound
	}
	return err
}

// askCancelSQL notes that job $2 is to be cancelled.
const askCancelSQL = `INSERT INTO offstage.cancel (job, at) VALUES ($2::bigint, coalesce($1::timestamptz, statement_timestamp()))
ON CONFLICT (job) DO NOTHING`

// cancel ends a waiting job, or asks for the end of a running one. The attempt of
// a running job may end between the look and the asking: so what waits is looked
// for again in the statement after.
func (s *Store) cancel(ctx context.Context, op *operation) (offstage.State, error) {
	if cancelled, err := s.cancelIfWaiting(ctx, op); cancelled || err != nil {
		return offstage.Cancelled, err
	}
	st, err := s.standingOf(ctx, op.session, op.job)
	if err != nil {
		return 0, err
	}
	if st.state.Terminal() {
		return s.cancelledAlready(op, st.state)
	}
	if _, err := op.session.exec(ctx, s.sql(askCancelSQL), s.now(), op.job); err != nil {
		return 0, err
	}
	if cancelled, err := s.cancelIfWaiting(ctx, op); cancelled || err != nil {
		return offstage.Cancelled, err
	}
	if st, err = s.standingOf(ctx, op.session, op.job); err != nil {
		return 0, err
	}
	if st.state.Terminal() {
		if _, err := op.session.exec(ctx, s.sql(dropCancelSQL), op.job); err != nil {
			return 0, err
		}
		return s.cancelledAlready(op, st.state)
	}
	_, err = op.session.exec(ctx, notifySQL, s.schema, payloadCancel)
	return offstage.Running, err
}

func (s *Store) cancelledAlready(op *operation, state offstage.State) (offstage.State, error) {
	if state == offstage.Cancelled {
		return state, nil
	}
	return 0, op.refuse(state, "it has ended")
}

func (s *Store) cancelIfWaiting(ctx context.Context, op *operation) (bool, error) {
	w, found, err := s.takeWaiting(ctx, op.session, op.job)
	if err != nil || !found {
		return false, err
	}
	return true, s.cancelWaiting(ctx, op.tx, op.job, op.key, w)
}

// reopenSQL takes back the end of run $2 of job $1.
const reopenSQL = `UPDATE offstage.attempt SET next = 2 WHERE job = $1::bigint AND run = $2::int`

// retry makes an ended or retrying job ready, at the front, with counters at zero.
func (s *Store) retry(ctx context.Context, op *operation) (offstage.State, error) {
	st, err := s.standingOf(ctx, op.session, op.job)
	if err != nil {
		return 0, err
	}
	next := waiting{state: offstage.Ready}
	switch {
	case st.state == offstage.Retrying:
		w, found, err := s.takeWaiting(ctx, op.session, op.job)
		if err != nil {
			return 0, err
		}
		if !found || w.state != offstage.Retrying {
			return 0, op.refuse(offstage.Running, "it has just been started")
		}
		next.run = w.run
	case st.state.Terminal():
		if err := s.retakeKey(ctx, op, st.state); err != nil {
			return 0, err
		}
		if _, err := op.session.exec(ctx, s.sql(reopenSQL), op.job, st.run); err != nil {
			return 0, err
		}
		next.run = st.run + 1
	case st.state == offstage.Running:
		return 0, op.refuse(st.state, "")
	default:
		return 0, op.refuse(st.state, "it has not failed; run it now instead")
	}
	if _, err := op.session.exec(ctx, s.sql(dropCancelSQL), op.job); err != nil {
		return 0, err
	}
	op.readied = true
	return offstage.Ready, s.putWaiting(ctx, op.session, op.job, next)
}

// retakeKey makes an ended job the holder of its unique key again, unless
// another has it.
func (s *Store) retakeKey(ctx context.Context, op *operation, state offstage.State) error {
	if op.key == nil {
		return nil
	}
	key := hex.EncodeToString(op.key)
	var taken bool
	if _, err := op.session.one(ctx, s.sql(takeKeySQL), []any{s.now(), key, op.job, int64(0)}, &taken); err != nil || taken {
		return err
	}
	var h holder
	found, err := op.session.one(ctx, s.sql(findKeySQL), []any{s.now(), key}, &h.job, &h.queued, &h.live, &h.first, &h.now)
	switch {
	case err != nil:
		return err
	case !found:
		return &offstage.StoreError{Class: offstage.FaultBusy, Op: "retry a unique job", Err: errNoHolder}
	case h.job != op.job:
		return op.refuse(state, fmt.Sprintf("job %d holds its unique key", h.job))
	}
	_, err = op.session.exec(ctx, s.sql(passKeySQL), s.now(), key, op.job, int64(0))
	return err
}

// namedByClaimSQL reports whether an open claim names job $1: then its attempts
// are the fence and stay until they are pruned.
const namedByClaimSQL = `SELECT EXISTS (SELECT FROM offstage.claim WHERE jobs @> ARRAY[$1::bigint])`

const (
	// endPeriodSQL ends the period of key $1, which job $2 has.
	endPeriodSQL    = `UPDATE offstage.uniq SET until = '-infinity' WHERE key = $1::bytea AND job = $2::bigint`
	dropAttemptsSQL = `DELETE FROM offstage.attempt WHERE job = $1::bigint`
	dropProgressSQL = `DELETE FROM offstage.progress WHERE job = $1::bigint`
	dropJobSQL      = `DELETE FROM offstage.job WHERE id = $1::bigint`
)

// delete removes a job that does not run, with its history.
func (s *Store) delete(ctx context.Context, op *operation) (offstage.State, error) {
	w, waits, err := s.takeWaiting(ctx, op.session, op.job)
	if err != nil {
		return 0, err
	}
	state := w.state
	if !waits {
		st, err := s.standingOf(ctx, op.session, op.job)
		if err != nil {
			return 0, err
		}
		if state = st.state; !state.Terminal() {
			return 0, op.refuse(state, "cancel it first")
		}
	}
	if op.key != nil {
		if _, err := op.session.exec(ctx, s.sql(endPeriodSQL), op.key, op.job); err != nil {
			return 0, err
		}
	}
	if err := s.freeKey(ctx, op.tx, op.job, op.key); err != nil {
		return 0, err
	}
	if woken, err := s.wake(ctx, op.session, offstage.EndKey(op.Job)); err != nil {
		return 0, err
	} else if woken > 0 {
		op.readied = true
	}
	var named bool
	if _, err := op.session.one(ctx, s.sql(namedByClaimSQL), []any{op.job}, &named); err != nil {
		return 0, err
	}
	statements := []string{dropCancelSQL, dropProgressSQL, dropStepsSQL, dropEpochSQL, dropWaitSQL, dropJobSQL}
	if !named {
		statements = append(statements, dropAttemptsSQL)
	}
	for _, text := range statements {
		if _, err := op.session.exec(ctx, s.sql(text), op.job); err != nil {
			return 0, err
		}
	}
	return state, nil
}

// startable takes the waiting row of a job that waits for its time or its turn.
func (s *Store) startable(ctx context.Context, op *operation, blocked bool) (w waiting, err error) {
	w, found, err := s.takeWaiting(ctx, op.session, op.job)
	if err != nil {
		return w, err
	}
	if !found {
		st, err := s.standingOf(ctx, op.session, op.job)
		if err != nil {
			return w, err
		}
		hint := ""
		if st.state.Terminal() {
			hint = "retry it"
		}
		return w, op.refuse(st.state, hint)
	}
	if w.state == offstage.Blocked && !blocked {
		return w, op.refuse(w.state, "it waits for something other than time: "+w.reason)
	}
	return w, nil
}

// runNow puts a job to the front.
func (s *Store) runNow(ctx context.Context, op *operation) (offstage.State, error) {
	w, err := s.startable(ctx, op, false)
	if err != nil {
		return 0, err
	}
	w.state, w.band, op.readied = offstage.Ready, 0, true
	return w.state, s.putWaiting(ctx, op.session, op.job, w)
}

// setTimeSQL sets the time of job $2 to $3, or to $4 microseconds from now, and
// says whether that is now.
const setTimeSQL = `UPDATE offstage.job
SET run_at = coalesce($3::timestamptz, coalesce($1::timestamptz, statement_timestamp()) + $4::bigint * interval '1 microsecond')
WHERE id = $2::bigint RETURNING run_at, run_at <= coalesce($1::timestamptz, statement_timestamp())`

// reschedule gives a job another time.
func (s *Store) reschedule(ctx context.Context, op *operation) (offstage.State, error) {
	w, err := s.startable(ctx, op, false)
	if err != nil {
		return 0, err
	}
	var at any
	wait := max(op.Delay, 0)
	if !op.RunAt.IsZero() {
		at, wait = op.RunAt, time.Until(op.RunAt)
	}
	op.soon = wait <= offstage.Soon
	var due bool
	var runAt time.Time
	if _, err := op.session.one(ctx, s.sql(setTimeSQL), []any{s.now(), op.job, at, max(op.Delay, 0).Microseconds()}, &runAt, &due); err != nil {
		return 0, err
	}
	switch {
	case due:
		w.state, w.band, op.readied = offstage.Ready, 1, true
	case w.state == offstage.Ready:
		w.state = offstage.Scheduled
	}
	w.runAt = runAt
	return w.state, s.putWaiting(ctx, op.session, op.job, w)
}

// setPrioritySQL gives job $1 priority $2.
const setPrioritySQL = `UPDATE offstage.job SET priority = $2::smallint WHERE id = $1::bigint`

// prioritize gives a job another priority.
func (s *Store) prioritize(ctx context.Context, op *operation) (offstage.State, error) {
	if op.Priority < 0 || op.Priority > offstage.MaxPriority {
		return 0, &offstage.InvalidError{Field: "priority", Problem: fmt.Sprintf("%d is not from 0 (first) to %d (last)", op.Priority, offstage.MaxPriority)}
	}
	w, err := s.startable(ctx, op, true)
	if err != nil {
		return 0, err
	}
	if _, err := op.session.exec(ctx, s.sql(setPrioritySQL), op.job, op.Priority); err != nil {
		return 0, err
	}
	return w.state, s.putWaiting(ctx, op.session, op.job, w)
}

const (
	// pauseQueueSQL and pauseKindSQL pause or resume one of the name $1.
	pauseQueueSQL = `UPDATE offstage.queue SET paused = $2::boolean WHERE name = $1::text AND paused <> $2::boolean`
	pauseKindSQL  = `UPDATE offstage.kind SET paused = $2::boolean WHERE name = $1::text AND paused <> $2::boolean`
)

// Pause stops or resumes the start of jobs of a queue or a kind; see
// [offstage.Operator].
func (s *Store) Pause(ctx context.Context, target offstage.PauseTarget, paused bool) error {
	text, name := pauseQueueSQL, target.Queue
	var queues, kinds []string
	if target.Kind != "" {
		text, name, kinds = pauseKindSQL, target.Kind, []string{target.Kind}
	} else {
		queues = []string{target.Queue}
	}
	_, kindIDs, err := s.intern(ctx, queues, kinds)
	if err != nil {
		return err
	}
	err = s.send(ctx, s.work, unit{op: "pause", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(text), name, paused)
	}})
	if err != nil || paused {
		return err
	}
	s.knocker.ring()
	return s.unblockKinds(ctx, kindIDs)
}
