package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// insertUnique stores a call's jobs of which some are unique, in a transaction of
// its own. Where the answer is lost it is sent again under the same ids.
func (s *Store) insertUnique(ctx context.Context, rows []row) (inserted []offstage.Inserted, err error) {
	try := func() error {
		return s.transact(ctx, "insert jobs", func(ctx context.Context, tx pgx.Tx) (err error) {
			inserted, err = s.insertIn(ctx, pgxSession{tx}, rows)
			return err
		})
	}
	err = s.persist(ctx, "insert jobs", func() error {
		err := try()
		if codeOf(err) != codeUniqueViolation {
			return err
		}
		stored := false
		if inserted, stored, err = s.recall(ctx, rows); err != nil || stored {
			return err
		}
		if err := s.renumber(ctx, rows); err != nil {
			return err
		}
		return try()
	})
	if err != nil {
		return nil, err
	}
	s.knocker.ringFor(rows)
	return inserted, nil
}

// insertIn stores rows in a transaction: unique ones in the order of their keys,
// so that two such transactions do not wait for each other, then all others at
// once, and then runs the statements given.
func (s *Store) insertIn(ctx context.Context, tx session, rows []row, then ...statement) ([]offstage.Inserted, error) {
	inserted := make([]offstage.Inserted, len(rows))
	var plain, unique []row
	at := map[int64]int{} // the place of each unique row
	for i := range rows {
		inserted[i].ID = offstage.ID(rows[i].id)
		if rows[i].unique == nil {
			plain = append(plain, rows[i])
		} else {
			unique = append(unique, rows[i])
			at[rows[i].id] = i
		}
	}
	slices.SortStableFunc(unique, func(a, b row) int { return bytes.Compare(a.unique.Key, b.unique.Key) })
	var held map[int64]met
	var err error
	if len(unique) > 1 {
		if held, err = s.insertFresh(ctx, tx, unique); err != nil {
			return nil, err
		}
	}
	for i := range unique {
		r := &unique[i]
		in, ok := held[r.id].settles(r)
		if !ok {
			if in, err = s.insertOneUnique(ctx, tx, r); err != nil {
				return nil, err
			}
		}
		inserted[at[r.id]] = in
	}
	if len(plain) > 0 {
		text, args := s.insertStatement(plain, 0)
		then = slices.Insert(then, 0, statement{text, args})
	}
	if len(then) == 0 {
		return inserted, nil
	}
	return inserted, tx.send(ctx, then...)
}

// takeKeySQL makes job $3 the holder of key $2 for $4 microseconds, if the key is
// free or its period is over. Otherwise it changes nothing but locks the row, so
// that the next statement sees the holder as it is.
const takeKeySQL = `INSERT INTO offstage.uniq AS q (key, job, until, live, first)
SELECT decode($2::text, 'hex'), $3::bigint, t.now + $4::bigint * interval '1 microsecond', true, t.now
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
ON CONFLICT (key) DO UPDATE SET job = excluded.job, queued = NULL, until = excluded.until, live = true, first = excluded.first
WHERE NOT q.live AND q.until <= coalesce($1::timestamptz, statement_timestamp())
RETURNING true`

// findKeySQL reads the holder of key $2.
const findKeySQL = `SELECT job, coalesce(queued, 0), live, first, coalesce($1::timestamptz, statement_timestamp())
FROM offstage.uniq WHERE key = decode($2::text, 'hex')`

// holder is who has a unique key.
type holder struct {
	job    int64
	queued int64 // the follower; 0: none
	live   bool  // false: it has ended, its period has not
	first  time.Time
	now    time.Time
}

// errNoHolder says that a unique key is taken by a job that cannot be seen.
var errNoHolder = errors.New("the holder of a unique key changes faster than it can be looked at")

// insertOneUnique stores a unique job, or does what its mode says when the key is held.
func (s *Store) insertOneUnique(ctx context.Context, tx session, r *row) (offstage.Inserted, error) {
	key := hex.EncodeToString(r.unique.Key)
	for range 3 {
		var taken bool
		_, err := tx.one(ctx, s.sql(takeKeySQL), []any{s.now(), key, r.id, r.unique.Period.Microseconds()}, &taken)
		if err != nil {
			return offstage.Inserted{}, err
		}
		if taken {
			return offstage.Inserted{ID: offstage.ID(r.id)}, s.insertHolder(ctx, tx, r)
		}
		var h holder
		found, err := tx.one(ctx, s.sql(findKeySQL), []any{s.now(), key}, &h.job, &h.queued, &h.live, &h.first, &h.now)
		if err != nil {
			return offstage.Inserted{}, err
		}
		if found {
			return s.meet(ctx, tx, r, h)
		}
	}
	return offstage.Inserted{}, &offstage.StoreError{Class: offstage.FaultBusy, Op: "insert a unique job", Err: errNoHolder}
}

// meet does what the job's mode says when another has its key.
func (s *Store) meet(ctx context.Context, tx session, r *row, h holder) (offstage.Inserted, error) {
	existing := offstage.Inserted{ID: offstage.ID(h.job), Existed: true}
	own := offstage.Inserted{ID: offstage.ID(r.id)}
	switch {
	case h.job == r.id || h.queued == r.id:
		return own, nil // an earlier try of this very insert was committed
	case !h.live || r.unique.Mode == offstage.Skip:
		return existing, nil
	case r.unique.Mode == offstage.KeepLast:
		return s.queueLast(ctx, tx, r, h)
	}
	if r.unique.Mode == offstage.Debounce {
		r.putOff(h)
	}
	w, found, err := s.takeWaiting(ctx, tx, h.job)
	if err != nil {
		return offstage.Inserted{}, err
	}
	if !found { // it was claimed: the new job takes the key
		if r.unique.Mode == offstage.Debounce {
			r.at, r.delay = time.Time{}, r.unique.Wait
		}
		if err := s.passKey(ctx, tx, r); err != nil {
			return offstage.Inserted{}, err
		}
		return own, s.insertHolder(ctx, tx, r)
	}
	return existing, s.rewrite(ctx, tx, r, h.job, w)
}

// putOff sets the time of a debounced job: Wait from now, yet not later than
// MaxWait after the burst's first.
func (r *row) putOff(h holder) {
	at, last := h.now.Add(r.unique.Wait), h.first.Add(cmp.Or(r.unique.MaxWait, 10*r.unique.Wait))
	if at.After(last) {
		at = last
	}
	r.at, r.delay = at, 0
}

// passKeySQL gives key $2 to job $3, whose period is $4 microseconds.
const passKeySQL = `UPDATE offstage.uniq SET job = $3::bigint, live = true,
	until = greatest(until, coalesce($1::timestamptz, statement_timestamp()) + $4::bigint * interval '1 microsecond'),
	first = coalesce($1::timestamptz, statement_timestamp())
WHERE key = decode($2::text, 'hex')`

func (s *Store) passKey(ctx context.Context, tx session, r *row) error {
	_, err := tx.exec(ctx, s.sql(passKeySQL), s.now(), hex.EncodeToString(r.unique.Key), r.id, r.unique.Period.Microseconds())
	return err
}

// rewriteSQL gives job $2 the facts of a later enqueue, and says whether it is
// due now. $10 is a delay in microseconds, $11 a time or null.
const rewriteSQL = `UPDATE offstage.job SET queue = $3::int, priority = $4::smallint, max_attempts = $5::int, timeout = $6::bigint,
	args = $7::text, extra = $8::text, uniq_mode = $9::smallint,
	run_at = coalesce($11::text::timestamptz, coalesce($1::timestamptz, statement_timestamp()) + $10::bigint * interval '1 microsecond')
WHERE id = $2::bigint
RETURNING run_at <= coalesce($1::timestamptz, statement_timestamp()), run_at`

// extendKeySQL holds key $2 for at least $3 microseconds from now.
const extendKeySQL = `UPDATE offstage.uniq
SET until = greatest(until, coalesce($1::timestamptz, statement_timestamp()) + $3::bigint * interval '1 microsecond')
WHERE key = decode($2::text, 'hex')`

// rewrite gives a waiting job the facts and the time of a later enqueue.
func (s *Store) rewrite(ctx context.Context, tx session, r *row, job int64, w waiting) error {
	var due bool
	if _, err := tx.one(ctx, s.sql(rewriteSQL), []any{
		s.now(), job, r.queue, r.priority, r.maxAttempts, r.timeout.Microseconds(), r.args,
		orNull(r.extra), int(r.unique.Mode), r.delay.Microseconds(), orNull(r.time()),
	}, &due, &w.runAt); err != nil {
		return err
	}
	if r.unique.Period > 0 {
		if _, err := tx.exec(ctx, s.sql(extendKeySQL), s.now(), hex.EncodeToString(r.unique.Key), r.unique.Period.Microseconds()); err != nil {
			return err
		}
	}
	switch {
	case w.reason == offstage.WaitsUnique: // a follower waits for the holder first
	case due:
		w.state, w.band = offstage.Ready, 1
	default:
		w.state = offstage.Scheduled
	}
	return s.putWaiting(ctx, tx, job, w)
}

// orNull is a text parameter that is null when empty.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// setQueuedSQL makes job $2 the follower of key $1.
const setQueuedSQL = `UPDATE offstage.uniq SET queued = $2::bigint WHERE key = decode($1::text, 'hex')`

// queueLast makes a job the holder's follower, or gives the follower that there
// is the job's facts.
func (s *Store) queueLast(ctx context.Context, tx session, r *row, h holder) (offstage.Inserted, error) {
	if h.queued != 0 {
		w, found, err := s.takeWaiting(ctx, tx, h.queued)
		if err != nil {
			return offstage.Inserted{}, err
		}
		if found {
			return offstage.Inserted{ID: offstage.ID(h.queued), Existed: true}, s.rewrite(ctx, tx, r, h.queued, w)
		}
	}
	if _, err := tx.exec(ctx, s.sql(setQueuedSQL), hex.EncodeToString(r.unique.Key), r.id); err != nil {
		return offstage.Inserted{}, err
	}
	if err := s.insertUniqueJob(ctx, tx, r, nil); err != nil {
		return offstage.Inserted{}, err
	}
	w := waiting{state: offstage.Blocked, run: 1, reason: offstage.WaitsUnique}
	return offstage.Inserted{ID: offstage.ID(r.id)}, s.putWaiting(ctx, tx, r.id, w)
}

// insertHolder stores a job that has its key, and makes it wait for its time.
func (s *Store) insertHolder(ctx context.Context, tx session, r *row) error {
	w := waiting{state: offstage.Ready, run: 1, band: 1}
	var due bool
	if err := s.insertUniqueJob(ctx, tx, r, &due); err != nil {
		return err
	}
	if !due {
		w.state = offstage.Scheduled // at the time in its row
	}
	return s.putWaiting(ctx, tx, r.id, w)
}

// insertUniqueJobSQL stores one unique job and says whether it is due.
const insertUniqueJobSQL = `INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority,
	args, extra, uniq_mode, uniq_key)
SELECT $3::bigint, t.now, coalesce($12::text::timestamptz, t.now + $11::bigint * interval '1 microsecond'), $8::bigint, $2::bigint,
	$4::int, $5::int, $7::int, $6::smallint, $9::text, $10::text, $13::smallint, decode($14::text, 'hex')
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
RETURNING run_at <= created_at`

func (s *Store) insertUniqueJob(ctx context.Context, tx session, r *row, due *bool) error {
	if due == nil {
		due = new(bool)
	}
	_, err := tx.one(ctx, s.sql(insertUniqueJobSQL), []any{
		s.now(), s.nonce, r.id, r.kind, r.queue, r.priority, r.maxAttempts, r.timeout.Microseconds(), r.args,
		orNull(r.extra), r.delay.Microseconds(), orNull(r.time()), int(r.unique.Mode), hex.EncodeToString(r.unique.Key),
	}, due)
	return err
}

// recallSQL tells, for ids $1 and unique keys $3, whether this process ($2)
// stored the job, and who holds the key.
const recallSQL = `SELECT j.id IS NOT NULL, coalesce(q.job, 0)
FROM unnest($1::bigint[], $3::text[]) WITH ORDINALITY u (id, key, nr)
LEFT JOIN LATERAL (SELECT id FROM offstage.job WHERE id = u.id AND nonce = $2::bigint OFFSET 0) j ON true
LEFT JOIN LATERAL (SELECT job FROM offstage.uniq WHERE key = decode(u.key, 'hex') OFFSET 0) q ON true
ORDER BY u.nr`

// recall answers for an insert that conflicts with jobs that are there. If none of
// its jobs was stored by this process, the conflict is with others.
func (s *Store) recall(ctx context.Context, rows []row) (inserted []offstage.Inserted, stored bool, err error) {
	err = s.send(ctx, s.work, unit{op: "look for inserted jobs", repeatable: true, build: func(b *pgx.Batch) {
		inserted, stored = nil, false
		b.Queue(s.sql(recallSQL), ints(rows, func(r *row) int64 { return r.id }), s.nonce,
			texts(rows, func(r *row) (string, bool) {
				if r.unique == nil {
					return "", false
				}
				return hex.EncodeToString(r.unique.Key), true
			}),
		).Query(func(answer pgx.Rows) error {
			var mine bool
			var job int64
			_, err := pgx.ForEachRow(answer, []any{&mine, &job}, func() error {
				in := offstage.Inserted{ID: offstage.ID(rows[len(inserted)].id)}
				if !mine && job != 0 {
					in = offstage.Inserted{ID: offstage.ID(job), Existed: true}
				}
				stored = stored || mine
				inserted = append(inserted, in)
				return nil
			})
			return err
		})
	}})
	return inserted, stored, err
}

// lockKeysSQL locks those keys $1 that jobs $2 hold, in their order. What others
// did before is seen by the next statement: a follower that came meanwhile, too.
const lockKeysSQL = `SELECT q.job FROM (
	SELECT decode(hex, 'hex') AS key, job FROM unnest($1::text[], $2::bigint[]) k (hex, job) ORDER BY key
) u CROSS JOIN LATERAL (SELECT job FROM offstage.uniq WHERE key = u.key AND job = u.job FOR UPDATE) q`

// freeKeysSQL ends the hold of jobs $3 on keys $2: a follower takes it and
// becomes ready, or scheduled; without one the key stays until its period is over, or goes.
// Keys are found by their values, not by their ctid: unlike rows that wait they are updated.
const freeKeysSQL = `WITH mine AS MATERIALIZED (
	SELECT q.key, q.queued, q.until > coalesce($1::timestamptz, statement_timestamp()) AS kept
	FROM unnest($2::text[], $3::bigint[]) u (hex, job)
	CROSS JOIN LATERAL (SELECT key, queued, until FROM offstage.uniq WHERE key = decode(u.hex, 'hex') AND job = u.job OFFSET 0) q
), follow AS (
	UPDATE offstage.uniq SET job = queued, queued = NULL, live = true
	WHERE key = ANY (ARRAY(SELECT key FROM mine WHERE queued IS NOT NULL)) RETURNING job
), freed AS (
	DELETE FROM offstage.parked p USING (
		SELECT w.tid, j.run_at FROM follow f
		CROSS JOIN LATERAL (SELECT kind, run_at FROM offstage.job WHERE id = f.job OFFSET 0) j
		CROSS JOIN LATERAL (SELECT ctid AS tid FROM offstage.parked WHERE kind = j.kind AND job = f.job OFFSET 0) w
	) j WHERE p.ctid = j.tid
	RETURNING p.queue, p.priority, p.job, p.run, p.errors, p.lost, j.run_at, coalesce($1::timestamptz, statement_timestamp()) AS now
), later AS (
	INSERT INTO offstage.scheduled (run_at, job, queue, priority, run, errors, lost)
	SELECT run_at, job, queue, priority, run, errors, lost FROM freed WHERE run_at > now
), put AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
	SELECT queue, priority * 2 + 1, job, now, run, errors, lost FROM freed WHERE run_at <= now RETURNING job
), kept AS (
	UPDATE offstage.uniq SET live = false WHERE key = ANY (ARRAY(SELECT key FROM mine WHERE queued IS NULL AND kept))
), dropped AS (
	DELETE FROM offstage.uniq WHERE key = ANY (ARRAY(SELECT key FROM mine WHERE queued IS NULL AND NOT kept))
)
SELECT job FROM put`

// queueFree queues the release of unique keys by jobs that have ended, and calls
// ready for each follower that took over.
func (s *Store) queueFree(b *pgx.Batch, keys []heldKey, ready func(offstage.ID)) {
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, func(a, b heldKey) int { return bytes.Compare(a.key, b.key) })
	jobs := ints(keys, func(k *heldKey) int64 { return k.job })
	b.Queue(s.sql(lockKeysSQL), hexKeys(keys), jobs)
	b.Queue(s.sql(freeKeysSQL), s.now(), hexKeys(keys), jobs).Query(func(rows pgx.Rows) error {
		var job int64
		_, err := pgx.ForEachRow(rows, []any{&job}, func() error {
			ready(offstage.ID(job))
			return nil
		})
		return err
	})
}

// leaveQueueSQL takes job $2 out of the place behind the holder of key $1.
const leaveQueueSQL = `UPDATE offstage.uniq SET queued = NULL WHERE key = $1::bytea AND queued = $2::bigint`

// freeKey ends what one job has of a unique key, as holder or as follower. A nil
// key is none.
func (s *Store) freeKey(ctx context.Context, tx pgx.Tx, job int64, key []byte) error {
	if key == nil {
		return nil
	}
	b := &pgx.Batch{}
	b.Queue(s.sql(leaveQueueSQL), key, job)
	s.queueFree(b, []heldKey{{key, job}}, func(offstage.ID) { s.knocker.ring() })
	return tx.SendBatch(ctx, b).Close()
}
