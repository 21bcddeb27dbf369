package postgres

import (
	"context"
	"encoding/hex"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// A unique job whose key is free is stored in two statements, whatever its mode,
// and alone or with others. What meets a holder of its key is for meet, one by one.

// takeFreeKeysSQL makes jobs $3 the holders of keys $2 for $4 microseconds, where the
// key is free. Keys that are there are left alone: somebody may have locked them.
const takeFreeKeysSQL = `INSERT INTO offstage.uniq (key, job, until, live, first)
SELECT u.key, u.job, t.now + u.period * interval '1 microsecond', true, t.now
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
CROSS JOIN (
	SELECT decode(k.hex, 'hex') AS key, k.job, k.period, k.nr
	FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY k (hex, job, period, nr)
) u
WHERE NOT EXISTS (SELECT FROM offstage.uniq q WHERE q.key = u.key OFFSET 0)
ORDER BY u.key, u.nr
ON CONFLICT (key) DO NOTHING`

// brieflySQL bounds the wait for keys that open transactions have taken: a group
// must not wait for a caller who thinks.
const brieflySQL = `SELECT set_config('lock_timeout', '20ms', true)`

// insertTakenSQL is insertMixedSQL for unique jobs, with modes $13 and keys $14; only
// those are stored that hold their keys. It answers who holds each, whether that job
// lives, and whether the key's period lasts.
const insertTakenSQL = `WITH u AS MATERIALIZED (
	SELECT n.*, t.now, q.key AS uniq_key, q.job AS holder, q.live, q.until > t.now AS lasts
	FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
	CROSS JOIN unnest($3::bigint[], $4::int[], $5::int[], $6::smallint[], $7::int[], $8::bigint[], $9::text[], $10::text[],
		$11::bigint[], $12::timestamptz[], $13::smallint[], $14::text[])
		AS n (id, kind, queue, priority, max_attempts, timeout, args, extra, delay, at, mode, hex)
	CROSS JOIN LATERAL (SELECT key, job, live, until FROM offstage.uniq WHERE key = decode(n.hex, 'hex') OFFSET 0) q
), j AS (
	INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args, extra, uniq_mode, uniq_key)
	SELECT u.id, u.now, coalesce(u.at, u.now + coalesce(u.delay, ($11::bigint[])[1]) * interval '1 microsecond'), ` + newFacts + `,
		u.mode, u.uniq_key
	FROM u WHERE u.holder = u.id
	RETURNING id, queue, priority, created_at, run_at
), later AS (
	INSERT INTO offstage.scheduled (run_at, job, queue, priority, run)
	SELECT run_at, id, queue, priority, 1 FROM j WHERE run_at > created_at
), put AS (
	INSERT INTO offstage.ready (queue, lane, job, since, run, moved)
	SELECT queue, priority * 2 + 1, id, created_at, 1, false FROM j WHERE run_at <= created_at
)
SELECT id, holder, live, lasts FROM u`

// met is who holds a job's key after an insert; nobody if that has just ended.
type met struct {
	holder      int64
	live, lasts bool
}

// settles returns a job's answer if no more has to be done for it.
func (m met) settles(r *row) (in offstage.Inserted, ok bool) {
	switch {
	case m.holder == r.id:
		return offstage.Inserted{ID: offstage.ID(r.id)}, true
	case m.live && r.unique.Mode == offstage.Skip, !m.live && m.lasts:
		return offstage.Inserted{ID: offstage.ID(m.holder), Existed: true}, true
	}
	return offstage.Inserted{}, false
}

// freshStatements are the two for unique rows.
func (s *Store) freshStatements(rows []row) (take, insert statement) {
	ids := ints(rows, func(r *row) int64 { return r.id })
	keys := texts(rows, func(r *row) (string, bool) { return hex.EncodeToString(r.unique.Key), true })
	periods := ints(rows, func(r *row) int64 { return r.unique.Period.Microseconds() })
	modes := ints(rows, func(r *row) int64 { return int64(r.unique.Mode) })
	take = statement{s.sql(takeFreeKeysSQL), []any{s.now(), keys, ids, periods}}
	insert = statement{s.sql(insertTakenSQL), append(s.insertMixed(rows), modes, keys)}
	return take, insert
}

// insertFresh stores those of a transaction's unique rows whose keys are free, and
// returns what became of each.
func (s *Store) insertFresh(ctx context.Context, tx session, rows []row) (map[int64]met, error) {
	take, insert := s.freshStatements(rows)
	if _, err := tx.exec(ctx, take.text, take.args...); err != nil {
		return nil, err
	}
	held := make(map[int64]met, len(rows))
	var id int64
	var m met
	err := tx.each(ctx, insert.text, insert.args, func() error { held[id] = m; return nil }, &id, &m.holder, &m.live, &m.lasts)
	return held, err
}

// bid is one caller's unique job in a group.
type bid struct {
	row  row
	done chan error // of capacity 1

	inserted offstage.Inserted
	settled  bool // otherwise it must be looked at alone
}

func (b *bid) weight() int          { return 1 }
func (b *bid) answer() <-chan error { return b.done }

// insertShared stores a call's only job, which is unique, together with those of
// others if its key is free.
func (s *Store) insertShared(ctx context.Context, rows []row) ([]offstage.Inserted, error) {
	key := string(rows[0].unique.Key)
	if !s.contended.has(key) {
		b := &bid{row: rows[0], done: make(chan error, 1)}
		if err := s.bids.join(ctx, "insert jobs", b); err != nil {
			return nil, err
		}
		if b.settled {
			if !b.inserted.Existed {
				s.knocker.ringFor(rows)
			}
			return []offstage.Inserted{b.inserted}, nil
		}
	}
	s.contended.add(key, 1)
	defer s.contended.add(key, -1)
	return s.insertUnique(ctx, rows)
}

// storeBids stores a group of unique jobs in one transaction.
// If one of them cannot be stored, or waits for somebody's open transaction, each is
// looked at alone. So is one that an earlier try may have stored.
func (s *Store) storeBids(ctx context.Context, group []*bid) (answer func()) {
	rows := make([]row, len(group))
	for i, b := range group {
		rows[i] = b.row
	}
	var held map[int64]met
	err := s.persist(ctx, "insert jobs", func() (err error) {
		held, err = s.insertBids(ctx, rows)
		if code := codeOf(err); code == codeLockTimeout || code == codeUniqueViolation || err != nil && offstage.ClassOf(err) == offstage.FaultData {
			return nil
		}
		return err
	})
	return func() {
		for _, b := range group {
			if err == nil {
				b.inserted, b.settled = held[b.row.id].settles(&b.row)
			}
			b.done <- err
		}
	}
}

// insertBids is insertFresh in a transaction of its own, in one round trip.
func (s *Store) insertBids(ctx context.Context, rows []row) (held map[int64]met, err error) {
	take, insert := s.freshStatements(rows)
	err = s.send(ctx, s.work, unit{op: "insert jobs", build: func(b *pgx.Batch) {
		held = make(map[int64]met, len(rows))
		b.Queue(brieflySQL)
		b.Queue(take.text, take.args...)
		b.Queue(insert.text, insert.args...).Query(func(rows pgx.Rows) error {
			var id int64
			var m met
			_, err := pgx.ForEachRow(rows, []any{&id, &m.holder, &m.live, &m.lasts}, func() error { held[id] = m; return nil })
			return err
		})
	}})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// contended are the keys that calls of this process look at alone: others with the
// same key do not hold up a group with it.
type contended struct {
	mu    sync.Mutex
	calls map[string]int // guarded by mu
}

func (c *contended) has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[key] > 0
}

func (c *contended) add(key string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	if c.calls[key] += n; c.calls[key] == 0 {
		delete(c.calls, key)
	}
}
