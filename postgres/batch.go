package postgres

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// chunk is how many jobs of a sequence are held in memory and stored at once.
const chunk = 1000

// InsertSeq stores all jobs of a sequence or none; see [offstage.Inserter]. A
// sequence of one chunk is an insert. A longer one is staged, chunk by chunk,
// under a batch that nobody reads until its row says that it is published.
func (s *Store) InsertSeq(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	if err := s.usable(ctx, "insert a sequence"); err != nil {
		return 0, err
	}
	st := &staging{store: s}
	pending := make([]offstage.NewJob, 0, chunk)
	for job, err := range jobs {
		if err == nil && job.Unique != nil {
			err = &offstage.InvalidError{Field: "unique", Problem: "the jobs of a sequence cannot be unique; enqueue them one by one"}
		}
		if err == nil && ctx.Err() != nil {
			err = fault(ctx, "insert a sequence", ctx.Err(), false)
		}
		if err == nil && len(pending) == chunk {
			err = st.add(ctx, pending)
			pending = pending[:0]
		}
		if err != nil {
			st.abandon(ctx)
			return 0, err
		}
		pending = append(pending, job)
	}
	if st.batch == 0 {
		inserted, err := s.Insert(ctx, pending)
		return int64(len(inserted)), err
	}
	if err := st.add(ctx, pending); err != nil {
		st.abandon(ctx)
		return 0, err
	}
	return st.publish(ctx)
}

// staging is a batch that is being filled.
type staging struct {
	store   *Store
	batch   int64 // 0: none yet
	first   int64 // the id of its first job
	count   int64
	touched time.Time
}

const (
	createBatchSQL = `INSERT INTO offstage.batch (touched_at)
VALUES (coalesce($1::timestamptz, statement_timestamp())) RETURNING id`
	// touchBatchSQL shows that batch $2 is still being filled.
	touchBatchSQL = `UPDATE offstage.batch SET touched_at = coalesce($1::timestamptz, statement_timestamp())
WHERE id = $2::bigint AND NOT abandoned RETURNING true`
	// publishBatchSQL makes batch $1 one that is read.
	publishBatchSQL = `UPDATE offstage.batch SET published = true WHERE id = $1::bigint AND NOT abandoned RETURNING true`
	jobExistsSQL    = `SELECT EXISTS (SELECT FROM offstage.job WHERE id = $1::bigint)`
	// abandonBatchSQL gives batch $1 up.
	abandonBatchSQL = `UPDATE offstage.batch SET abandoned = true WHERE id = $1::bigint AND NOT published`
)

// touchEvery is far less than abandonedAfter.
const (
	touchEvery     = time.Minute
	abandonedAfter = time.Hour
)

var errAbandoned = errors.New("the batch was given up, since its process gave no sign of life for an hour")

// add stages jobs.
func (st *staging) add(ctx context.Context, jobs []offstage.NewJob) error {
	s := st.store
	rows, err := s.rows(ctx, jobs, s.newIDs)
	if err != nil {
		return err
	}
	if err := st.touch(ctx); err != nil {
		return err
	}
	if err := s.store(ctx, rows, st.batch); err != nil {
		return err
	}
	if st.first == 0 {
		st.first = rows[0].id
	}
	st.count += int64(len(rows))
	return nil
}

// touch makes the batch, or shows that it is alive.
func (st *staging) touch(ctx context.Context) error {
	s := st.store
	if st.batch != 0 && time.Since(st.touched) < touchEvery {
		return nil
	}
	alive := st.batch == 0
	err := s.send(ctx, s.work, unit{op: "stage jobs", repeatable: true, build: func(b *pgx.Batch) {
		if st.batch == 0 {
			b.Queue(s.sql(createBatchSQL), s.now()).QueryRow(func(row pgx.Row) error { return row.Scan(&st.batch) })
		} else {
			b.Queue(s.sql(touchBatchSQL), s.now(), st.batch).Query(func(rows pgx.Rows) error { return one(rows, &alive) })
		}
	}})
	if err == nil && !alive {
		return &offstage.StoreError{Class: offstage.FaultBusy, Op: "stage jobs", Err: errAbandoned}
	}
	st.touched = time.Now()
	return err
}

// publish makes the staged jobs real, by one row; then it begins to move them to
// where they wait. What it leaves undone the Publish chore does.
func (st *staging) publish(ctx context.Context) (int64, error) {
	s := st.store
	err := s.persist(ctx, "publish jobs", func() error {
		var published, exists bool
		err := s.send(ctx, s.work, unit{op: "publish jobs", repeatable: true, build: func(b *pgx.Batch) {
			b.Queue(s.sql(publishBatchSQL), st.batch).Query(func(rows pgx.Rows) error { return one(rows, &published) })
			b.Queue(s.sql(jobExistsSQL), st.first).QueryRow(func(row pgx.Row) error { return row.Scan(&exists) })
		}})
		if err == nil && !published && !exists {
			return &offstage.StoreError{Class: offstage.FaultBusy, Op: "publish jobs", Err: errAbandoned}
		}
		return err // a batch without a row, whose jobs are there, was published before and has been moved
	})
	if err != nil {
		return 0, err
	}
	for range (st.count + chunk - 1) / chunk {
		if _, more, err := s.move(ctx, noTerm, st.batch, chunk); err != nil || !more {
			break
		}
	}
	s.knocker.ringSoon() // for any of them
	return st.count, nil
}

// abandon removes what was staged, or leaves that to the Publish chore.
func (st *staging) abandon(ctx context.Context) {
	if st.batch == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	s := st.store
	err := s.send(ctx, s.work, unit{op: "give staged jobs up", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(abandonBatchSQL), st.batch)
	}})
	for more := err == nil; more; {
		_, more, err = s.removeAbandoned(ctx, noTerm, chunk)
		more = more && err == nil
	}
}

// moveSQL moves up to $3 jobs of batch $2 (0: the first that is published) to
// where they wait, in their order: only one at a time moves a batch. It answers
// the batch, if there is one, and how many it moved.
const moveSQL = `WITH b AS MATERIALIZED (
	SELECT id FROM offstage.batch WHERE published AND ($2::bigint = 0 OR id = $2::bigint)
	ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
), page AS MATERIALIZED (
	SELECT s.ctid AS tid FROM offstage.staged s WHERE s.batch = (SELECT id FROM b) ORDER BY s.job LIMIT $3::int
), gone AS (
	DELETE FROM offstage.staged WHERE ctid = ANY (ARRAY(SELECT tid FROM page)) RETURNING job, queue, priority, run_at
), later AS (
	INSERT INTO offstage.scheduled (run_at, job, queue, priority, run)
	SELECT run_at, job, queue, priority, 1 FROM gone WHERE run_at > coalesce($1::timestamptz, statement_timestamp())
), due AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run)
	SELECT queue, priority * 2 + 1, job, run_at, 1 FROM gone WHERE run_at <= coalesce($1::timestamptz, statement_timestamp())
)
SELECT id, (SELECT count(*) FROM page) FROM b`

// dropMovedSQL deletes published batches of which nothing is left.
const dropMovedSQL = `DELETE FROM offstage.batch b WHERE (b.published OR b.abandoned)
	AND NOT EXISTS (SELECT FROM offstage.staged s WHERE s.batch = b.id OFFSET 0)`

// noTerm stands for work that needs no leadership.
const noTerm = -1

// move moves a page of a published batch.
func (s *Store) move(ctx context.Context, term, batch int64, limit int) (moved int, more bool, err error) {
	u := unit{op: "publish jobs", repeatable: true, build: func(b *pgx.Batch) {
		var id int64
		moved, more = 0, false
		b.Queue(s.sql(moveSQL), s.now(), batch, limit).Query(func(rows pgx.Rows) error {
			err := one(rows, &id, &moved)
			more = moved > 0
			return err
		})
		b.Queue(s.sql(dropMovedSQL))
	}}
	if term == noTerm {
		err = s.send(ctx, s.work, u)
	} else {
		err = s.asLeader(ctx, term, u)
	}
	return moved, more, err
}

const (
	// giveUpBatchesSQL abandons batches that were not touched for $2 microseconds.
	giveUpBatchesSQL = `UPDATE offstage.batch SET abandoned = true WHERE NOT published AND NOT abandoned
	AND touched_at < coalesce($1::timestamptz, statement_timestamp()) - $2::bigint * interval '1 microsecond'`
	// removeAbandonedSQL deletes up to $1 jobs of abandoned batches.
	removeAbandonedSQL = `WITH page AS MATERIALIZED (
	SELECT s.ctid AS tid FROM offstage.batch b CROSS JOIN LATERAL (
		SELECT ctid FROM offstage.staged WHERE batch = b.id ORDER BY job LIMIT $1::int
	) s WHERE b.abandoned LIMIT $1::int
), gone AS (
	DELETE FROM offstage.staged WHERE ctid = ANY (ARRAY(SELECT tid FROM page)) RETURNING job
), jobs AS (
	DELETE FROM offstage.job WHERE id = ANY (ARRAY(SELECT job FROM gone))
)
SELECT count(*) FROM gone`
)

// removeAbandoned removes a page of what was staged and never published.
func (s *Store) removeAbandoned(ctx context.Context, term int64, limit int) (removed int, more bool, err error) {
	u := unit{op: "remove abandoned jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(giveUpBatchesSQL), s.now(), abandonedAfter.Microseconds())
		b.Queue(s.sql(removeAbandonedSQL), limit).QueryRow(func(row pgx.Row) error { return row.Scan(&removed) })
		b.Queue(s.sql(dropMovedSQL))
	}}
	if term == noTerm {
		err = s.send(ctx, s.work, u)
	} else {
		err = s.asLeader(ctx, term, u)
	}
	return removed, removed >= limit, err
}

// publish moves staged jobs of published batches to where they wait, and removes
// abandoned ones.
func (s *Store) publish(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, err error) {
	moved, more, err := s.move(ctx, term, 0, limit)
	if err != nil {
		return report, err
	}
	report.Done, report.More = moved, more
	removed, more, err := s.removeAbandoned(ctx, term, limit)
	report.Done += removed
	report.More = report.More || more
	return report, err
}
