package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// leadSQL gives worker $2 the leadership for $3 microseconds, if it has it, if
// it is free, or if its time is over. A new leader begins a new term.
const leadSQL = `INSERT INTO offstage.leader AS l (one, worker, term, until)
SELECT true, $2::bigint, 1, t.now + $3::bigint * interval '1 microsecond'
FROM (SELECT coalesce($1::timestamptz, statement_timestamp()) AS now) t
ON CONFLICT (one) DO UPDATE SET worker = excluded.worker, until = excluded.until,
	term = CASE WHEN l.worker = excluded.worker THEN l.term ELSE l.term + 1 END
WHERE l.worker = excluded.worker OR l.until <= coalesce($1::timestamptz, statement_timestamp())
RETURNING term`

// resignSQL ends worker $1's leadership, and its term with it.
const resignSQL = `UPDATE offstage.leader SET worker = 0, until = '-infinity' WHERE worker = $1::bigint`

// Lead asks for the leadership or renews it; see [offstage.Keeper].
func (s *Store) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (term int64, err error) {
	err = s.send(ctx, s.work, unit{op: "lead", repeatable: true, build: func(b *pgx.Batch) {
		term = 0
		if ttl <= 0 {
			b.Queue(s.sql(resignSQL), int64(worker))
			return
		}
		b.Queue(s.sql(leadSQL), s.now(), int64(worker), ttl.Microseconds()).Query(func(rows pgx.Rows) error {
			return one(rows, &term)
		})
	}})
	return term, err
}

// termSQL checks that term $2 is not over.
const termSQL = `SELECT EXISTS (SELECT FROM offstage.leader
WHERE term = $2::bigint AND until > coalesce($1::timestamptz, statement_timestamp()))`

// leads checks a term inside a chore's transaction.
func (s *Store) leads(ctx context.Context, tx pgx.Tx, term int64) error {
	var current bool
	if err := tx.QueryRow(ctx, s.sql(termSQL), s.now(), term).Scan(&current); err != nil {
		return err
	}
	if !current {
		return offstage.ErrNotLeading
	}
	return nil
}
