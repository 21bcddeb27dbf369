package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo"
	"github.com/offstagehq/offstage/sqlite"
)

// openWithTables opens the store, and the demo's own tables in its database. done
// closes both.
func (at place) openWithTables(ctx context.Context) (store offstage.Store, tables *demo.Tables, done func() error, err error) {
	if store, err = at.open(ctx); err != nil {
		return nil, nil, nil, err
	}
	done = store.Close
	if own, ok := store.(*sqlite.Store); ok {
		tables, err = demo.SQLiteTables(ctx, own.DB())
	} else {
		var db *sql.DB
		if db, err = at.database(); err == nil {
			done = func() error { return errors.Join(db.Close(), store.Close()) }
			tables, err = demo.PostgresTables(ctx, db)
		}
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, done())
	}
	return store, tables, done, nil
}

// tablesConns is how many connections the demo's own tables may have.
const tablesConns = 4

// database is a handle on the PostgreSQL database for tables of one's own.
func (at place) database() (*sql.DB, error) {
	config, err := pgxpool.ParseConfig(at.url) // it knows what a pool's URL may say
	if err != nil {
		return nil, fmt.Errorf("cannot read the URL of %s", at) // the error would repeat a password
	}
	db := stdlib.OpenDB(*config.ConnConfig)
	db.SetMaxOpenConns(tablesConns)
	return db, nil
}
