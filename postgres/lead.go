package postgres

import (
	"context"
	"fmt"
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

// termSQL fails, with a division by zero, when term $2 is over. So what follows it
// in one round trip is not carried out.
const termSQL = `SELECT 1 / count(*) FROM offstage.leader
WHERE term = $2::bigint AND until > coalesce($1::timestamptz, statement_timestamp())`

// led is part of a statement: it is 1, and makes the statement fail as termSQL
// does when the term, which is the parameter of this number, is over. $1 is the
// time.
func led(parameter int) string {
	return fmt.Sprintf(`(SELECT 1 / count(*) FROM offstage.leader
	WHERE term = $%d::bigint AND until > coalesce($1::timestamptz, statement_timestamp()))`, parameter)
}

// anySQL asks whether a query, whose parameters begin with $3, finds a row, under
// term $2.
func anySQL(query string) string { return `SELECT ` + led(2) + `, EXISTS (` + query + `)` }

// anything reports whether a query finds a row, in one statement with the term.
func (s *Store) anything(ctx context.Context, op string, term int64, query string, args ...any) (found bool, err error) {
	err = s.send(ctx, s.work, unit{op: op, repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(anySQL(query)), append([]any{s.now(), term}, args...)...).QueryRow(func(row pgx.Row) error {
			return row.Scan(new(int64), &found)
		})
	}})
	return found, notLeading(err)
}

// leading adds to a unit that it does nothing when its term is over.
func (s *Store) leading(term int64, u unit) unit {
	build := u.build
	u.build = func(b *pgx.Batch) {
		b.Queue(s.sql(termSQL), s.now(), term)
		build(b)
	}
	return u
}

// notLeading turns the failure of termSQL into what it means.
func notLeading(err error) error {
	if codeOf(err) == codeDivisionByZero {
		return offstage.ErrNotLeading
	}
	return err
}

// asLeader sends a unit under a term.
func (s *Store) asLeader(ctx context.Context, term int64, u unit) error {
	return notLeading(s.send(ctx, s.work, s.leading(term, u)))
}

// transactAsLeader is transact under a term.
func (s *Store) transactAsLeader(ctx context.Context, op string, term int64, do func(context.Context, pgx.Tx) error) error {
	return notLeading(s.transact(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql(termSQL), s.now(), term); err != nil {
			return err
		}
		return do(ctx, tx)
	}))
}
