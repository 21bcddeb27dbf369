package sqlite

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/offstagehq/offstage"
)

// chunk is how many jobs of a sequence are stored at once.
const chunk = 1_000

// InsertSeq stores a sequence. One that fits into a chunk is inserted like any
// jobs. A longer one is staged chunk by chunk, each in a transaction of its own,
// unseen until its batch's row says that it is published; then this process
// moves the jobs on, and the chore Publish if it does not live to.
func (s *Store) InsertSeq(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	b := &batch{store: s}
	err := b.fill(ctx, jobs)
	if err != nil {
		b.abandon(ctx)
		return 0, err
	}
	if b.id == 0 {
		_, err := s.Insert(ctx, b.chunk)
		if err != nil {
			return 0, err
		}
		return int64(len(b.chunk)), nil
	}
	if err := b.stage(ctx); err != nil {
		b.abandon(ctx)
		return 0, err
	}
	if err := s.write(ctx, "publish a sequence", func(t *tx) error { return t.openBatch(b.id) }); err != nil {
		b.abandon(ctx)
		return 0, err
	}
	for more := true; more && err == nil; {
		err = s.writeMany(ctx, "publish a sequence", chunk, func(t *tx) (err error) {
			_, more, err = t.publishBatch(b.id, b.first, chunk)
			return err
		})
	}
	return b.count, nil // it is durable: what was not moved on, the chore moves
}

// batch is a sequence on its way in.
type batch struct {
	store  *Store
	id     int64 // 0: nothing was staged yet
	opened int64 // id, as of the transaction under way
	first  offstage.ID
	chunk  []offstage.NewJob
	count  int64
}

var errUniqueSeq = &offstage.InvalidError{
	Field: "unique", Problem: "a sequence cannot have unique jobs: enqueue them one by one or in slices",
}

// fill takes the sequence in and stages all but the last chunk of it.
func (b *batch) fill(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) error {
	for job, err := range jobs {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case job.Unique != nil:
			return errUniqueSeq
		}
		if len(b.chunk) == chunk {
			if err := b.stage(ctx); err != nil {
				return err
			}
		}
		b.chunk = append(b.chunk, job)
	}
	return ctx.Err()
}

// One row into the batch table, and one per job into the staged table.
const (
	sqlAddBatch = `INSERT INTO offstage_batch (id, created_at, first) VALUES (?, ?, ?)`
	sqlStage    = `INSERT INTO offstage_staged (job, batch, queue, priority, run_at) VALUES (?, ?, ?, ?, ?)`
)

// stage stores the chunk.
func (b *batch) stage(ctx context.Context) error {
	err := b.store.writeMany(ctx, "stage a sequence", len(b.chunk), func(t *tx) error {
		id := b.id
		if id == 0 {
			if err := t.load(); err != nil {
				return err
			}
			var err error
			if id, err = t.next(&t.count.batch); err != nil {
				return err
			}
			b.first = offstage.ID(t.count.job + 1)
			if _, err := t.exec(sqlAddBatch, id, t.now, b.first); err != nil {
				return err
			}
		}
		for i := range b.chunk {
			w, err := t.addJob(&b.chunk[i])
			if err != nil {
				return err
			}
			if _, err := t.exec(sqlStage, w.job, id, w.queue, w.priority, t.dueOf(&b.chunk[i])); err != nil {
				return err
			}
		}
		b.opened = id
		return nil
	})
	if err != nil {
		return err
	}
	b.id = b.opened
	b.count += int64(len(b.chunk))
	b.chunk = b.chunk[:0]
	return nil
}

// abandon removes what was staged. What it does not get to, the chore removes.
func (b *batch) abandon(ctx context.Context) {
	if b.id == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx) // its end may be the reason
	for more := true; more; {
		err := b.store.writeMany(ctx, "abandon a sequence", chunk, func(t *tx) (err error) {
			_, more, err = t.dropBatch(b.id, b.first, chunk)
			return err
		})
		if err != nil {
			return // nobody sees the batch, and it goes in the end
		}
	}
}

const sqlOpenBatch = `UPDATE offstage_batch SET published = 1 WHERE id = ?`

func (t *tx) openBatch(id int64) error {
	n, err := t.exec(sqlOpenBatch, id)
	if err == nil && n == 0 {
		err = errors.New("the sequence took so long that it was taken for abandoned")
	}
	return err
}

// A page of a batch, by the primary key of the staged table.
const (
	sqlStagedPage = `SELECT max(job) FROM (SELECT job FROM offstage_staged WHERE batch = ? AND job >= ? ORDER BY job LIMIT ?)`
	sqlToReady    = `INSERT INTO offstage_ready (queue, priority, band, seq, job, run, errors, lost, since)
SELECT queue, priority, 1, ? + row_number() OVER (ORDER BY job), job, 1, 0, 0, ? FROM offstage_staged
WHERE batch = ? AND job >= ? AND job <= ? AND run_at <= ?`
	sqlToScheduled = `INSERT INTO offstage_scheduled (run_at, job, run, errors, lost, retry)
SELECT run_at, job, 1, 0, 0, 0 FROM offstage_staged
WHERE batch = ? AND job >= ? AND job <= ? AND run_at > ?`
	sqlUnstagePage = `DELETE FROM offstage_staged WHERE batch = ? AND job >= ? AND job <= ?`
	sqlDropBatch   = `DELETE FROM offstage_batch WHERE id = ?`
)

// publishBatch moves up to limit jobs of a published batch on. The batch goes
// with its last job.
func (t *tx) publishBatch(id int64, from offstage.ID, limit int) (done int, more bool, err error) {
	last, err := first(t.rows(sqlStagedPage, id, from, limit))
	if err != nil {
		return 0, false, err
	}
	if last.null(0) {
		_, err := t.exec(sqlDropBatch, id)
		return 0, false, err
	}
	if err := t.load(); err != nil {
		return 0, false, err
	}
	ready, err := t.exec(sqlToReady, t.count.job, t.now, id, from, last.num(0), t.now)
	if err != nil {
		return 0, false, err
	}
	t.count.job, t.raised = t.count.job+ready, true
	scheduled, err := t.exec(sqlToScheduled, id, from, last.num(0), t.now)
	if err != nil {
		return 0, false, err
	}
	if ready > 0 {
		t.tell(offstage.NewsReady)
	}
	if scheduled > 0 {
		t.tell(offstage.NewsAny)
	}
	_, err = t.exec(sqlUnstagePage, id, from, last.num(0))
	return int(ready + scheduled), true, err
}

const sqlDropStagedJobs = `DELETE FROM offstage_job WHERE id IN (SELECT job FROM offstage_staged WHERE batch = ? AND job >= ? AND job <= ?)`

// dropBatch removes up to limit jobs of a batch that was never published.
func (t *tx) dropBatch(id int64, from offstage.ID, limit int) (done int, more bool, err error) {
	last, err := first(t.rows(sqlStagedPage, id, from, limit))
	if err != nil {
		return 0, false, err
	}
	if last.null(0) {
		_, err := t.exec(sqlDropBatch, id)
		return 0, false, err
	}
	if _, err := t.exec(sqlDropStagedJobs, id, from, last.num(0)); err != nil {
		return 0, false, err
	}
	n, err := t.exec(sqlUnstagePage, id, from, last.num(0))
	return int(n), true, err
}

// Batches that are published, or were given up: there are few.
const sqlBatches = `SELECT id, first, published FROM offstage_batch WHERE published = 1 OR created_at < ? ORDER BY id LIMIT 1`

// abandonAge is how old an unpublished batch is when its sequence counts as
// having ended without a word.
const abandonAge = time.Hour

// publish does a page of the first batch that needs it.
func (t *tx) publish(limit int) (report offstage.ChoreReport, err error) {
	b, err := first(t.rows(sqlBatches, t.now-abandonAge.Microseconds()))
	if err != nil || b == nil {
		return report, err
	}
	page := t.dropBatch
	if b.yes(2) {
		page = t.publishBatch
	}
	report.Done, _, err = page(b.num(0), b.id(1), limit)
	report.More = true // the page after the last drops the batch
	return report, err
}
