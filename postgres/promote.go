package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// promoter remembers how far the head of scheduled is used up: rows that were
// promoted leave dead entries, as in ready. A row is always due after the moment
// at which it was written, so behind the hint, which stays promoteLag behind the
// time, there can only come what was written in a transaction that was open at
// the look which moved the hint, and that had begun before the hint's time. Such
// transactions are watched; when one of them has ended, there is one look from
// the very beginning.
type promoter struct {
	mu     sync.Mutex // guards the rest
	epoch  int64
	term   int64
	from   time.Time // nothing is due before it; zero: unknown
	last   time.Time // when something was promoted
	marks  []mark    // of earlier looks; the first is the last before from, or the first after
	long   []uint64  // transactions that were open when the hint passed them
	failed bool      // the last look was not carried out
}

// mark says that all transactions which wrote before time have numbers below xid.
// It is a number that was taken then: a snapshot's xmax would not do, which is
// below the numbers of transactions that are open while no later one has ended.
type mark struct {
	time time.Time
	xid  uint64
}

const promoteLag = 2 * time.Second

// promoteSQL makes up to $2 jobs ready whose time has come, from time $3 on
// (null: from the beginning), if term $4 is under way. It answers the snapshot,
// its own number, the time, how many, and when the next is due. Its commit does
// not wait for the disk: what is promoted and then lost by a crash is promoted
// again, and whoever claims it waits for both.
var promoteSQL = `WITH due AS MATERIALIZED (
	SELECT s.ctid AS tid FROM offstage.scheduled s
	WHERE ` + led(4) + ` = 1
		AND s.run_at >= coalesce($3::timestamptz, '-infinity') AND s.run_at <= coalesce($1::timestamptz, statement_timestamp())
	ORDER BY s.run_at, s.job LIMIT $2::int FOR UPDATE SKIP LOCKED
), gone AS (
	DELETE FROM offstage.scheduled WHERE ctid = ANY (ARRAY(SELECT tid FROM due))
	RETURNING queue, priority, job, run_at, run, errors, lost
), put AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, errors, lost)
	SELECT queue, priority * 2 + 1, job, run_at, run, errors, lost FROM gone
)
SELECT set_config('synchronous_commit', 'off', true), pg_current_snapshot()::text, pg_current_xact_id(), coalesce($1::timestamptz, statement_timestamp()),
	(SELECT count(*) FROM due) * ` + led(4) + `, (
	SELECT s.run_at FROM offstage.scheduled s
	WHERE s.run_at > coalesce($1::timestamptz, statement_timestamp()) ORDER BY s.run_at, s.job LIMIT 1
)`

// promote makes scheduled jobs ready whose time has come.
func (s *Store) promote(ctx context.Context, term int64, limit int) (report offstage.ChoreReport, err error) {
	from := s.promoter.start(s.epoch.Load(), term)
	var text string
	var xid uint64
	var now time.Time
	var next *time.Time
	err = s.send(ctx, s.work, unit{op: "promote scheduled jobs", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(promoteSQL), s.now(), limit, from, term).QueryRow(func(row pgx.Row) error {
			return row.Scan(nil, &text, &xid, &now, &report.Done, &next)
		})
	}})
	if err != nil {
		s.promoter.fail()
		return offstage.ChoreReport{}, notLeading(err)
	}
	sn, err := parseSnapshot(text)
	if err != nil {
		return report, err
	}
	report.More = report.Done >= limit
	s.promoter.learn(sn, mark{now, xid}, report)
	if next != nil {
		report.Next = max(next.Sub(now), time.Millisecond)
	}
	return report, nil
}

// start returns where the next look begins, null for the very beginning.
func (p *promoter) start(epoch, term int64) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch != epoch || p.term != term || p.failed {
		p.epoch, p.term, p.failed = epoch, term, false
		p.from, p.last, p.marks, p.long = time.Time{}, time.Time{}, nil, nil
	}
	if p.from.IsZero() {
		return nil
	}
	return p.from
}

func (p *promoter) fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
}

// calm returns the hint if a heartbeat's look from it finds all there is, and walks
// over no dead entries of what was promoted; else null.
func (p *promoter) calm(epoch int64) any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch != epoch || p.failed || len(p.long) > 0 || !p.from.After(p.last) {
		return nil
	}
	return p.from
}

// learn moves the hint after a look, if it found all there was to find.
func (p *promoter) learn(sn snapshot, now mark, report offstage.ChoreReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if report.Done > 0 {
		p.last = now.time
	}
	if report.More {
		return
	}
	watched := len(p.long)
	p.long = slices.DeleteFunc(p.long, sn.sees)
	ended := len(p.long) < watched
	to := now.time.Add(-promoteLag)
	for len(p.marks) > 1 && p.marks[0].time.Before(to) {
		p.marks = p.marks[1:]
	}
	p.from = time.Time{}
	if len(p.marks) > 0 {
		// What was written before from has a number below the mark's, if the
		// mark is not older than from.
		if p.marks[0].time.Before(to) {
			to = p.marks[0].time
		}
		for _, xid := range sn.open {
			if xid < p.marks[0].xid && !slices.Contains(p.long, xid) {
				p.long = append(p.long, xid)
			}
		}
		if !ended {
			p.from = to
		}
	}
	p.marks = append(p.marks, now)
}
