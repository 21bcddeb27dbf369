package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
)

// session is a transaction under way, the store's or a caller's, of pgx or of
// database/sql. What runs in callers' transactions is written against it.
type session interface {
	// send runs statements one after the other, in one round trip if it can.
	send(ctx context.Context, statements ...statement) error
	// exec runs a statement and returns how many rows it changed.
	exec(ctx context.Context, text string, args ...any) (int64, error)
	// one reads the first row, if there is one.
	one(ctx context.Context, text string, args []any, targets ...any) (found bool, err error)
	// each reads all rows into the targets and calls row after each.
	each(ctx context.Context, text string, args []any, row func() error, targets ...any) error
}

// statement is a statement with its parameters.
type statement struct {
	text string
	args []any
}

type pgxSession struct{ pgx.Tx }

func (t pgxSession) send(ctx context.Context, statements ...statement) error {
	b := &pgx.Batch{}
	for _, st := range statements {
		b.Queue(st.text, st.args...)
	}
	return t.SendBatch(ctx, b).Close()
}

func (t pgxSession) exec(ctx context.Context, text string, args ...any) (int64, error) {
	tag, err := t.Exec(ctx, text, args...)
	return tag.RowsAffected(), err
}

func (t pgxSession) one(ctx context.Context, text string, args []any, targets ...any) (bool, error) {
	err := t.QueryRow(ctx, text, args...).Scan(targets...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (t pgxSession) each(ctx context.Context, text string, args []any, row func() error, targets ...any) error {
	rows, err := t.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, targets, row)
	return err
}

type sqlSession struct{ *sql.Tx }

func (t sqlSession) send(ctx context.Context, statements ...statement) error {
	for _, st := range statements {
		if _, err := t.ExecContext(ctx, st.text, st.args...); err != nil {
			return err
		}
	}
	return nil
}

func (t sqlSession) exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := t.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t sqlSession) one(ctx context.Context, text string, args []any, targets ...any) (bool, error) {
	err := t.QueryRowContext(ctx, text, args...).Scan(targets...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (t sqlSession) each(ctx context.Context, text string, args []any, row func() error, targets ...any) error {
	rows, err := t.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if err := row(); err != nil {
			return err
		}
	}
	return rows.Err()
}
