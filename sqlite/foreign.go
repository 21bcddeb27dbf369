package sqlite

import (
	"database/sql"
	"iter"
)

// foreign is a session in a caller's transaction. Statements are prepared once
// and go with the transaction. None is cut short by the end of a call's context:
// the caller may commit all the same, and half a call with it.
type foreign struct {
	tx    *sql.Tx
	stmts map[string]*sql.Stmt
}

func (f *foreign) prepare(query string, args []any) (*sql.Stmt, []any, error) {
	stmt := f.stmts[query]
	if stmt == nil {
		var err error
		if stmt, err = f.tx.Prepare(query); err != nil {
			return nil, nil, err
		}
		f.stmts[query] = stmt
	}
	values := make([]any, len(args))
	for i, arg := range args {
		value, err := valueOf(arg)
		if err != nil {
			return nil, nil, err
		}
		values[i] = value
	}
	return stmt, values, nil
}

func (f *foreign) exec(query string, args ...any) (int64, error) {
	stmt, values, err := f.prepare(query, args)
	if err != nil {
		return 0, err
	}
	result, err := stmt.Exec(values...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (f *foreign) rows(query string, args ...any) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		stmt, values, err := f.prepare(query, args)
		if err != nil {
			yield(nil, err)
			return
		}
		rows, err := stmt.Query(values...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			yield(nil, err)
			return
		}
		r, values, into := make(row, len(columns)), make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				yield(nil, err)
				return
			}
			for i, value := range values {
				r[i] = value
			}
			if !yield(r, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}
