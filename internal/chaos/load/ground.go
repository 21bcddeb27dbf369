package load

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// Ground is what a campaign stands on: a store, and the application's own
// tables in the same database.
type Ground struct {
	// Store keeps the jobs.
	Store offstage.Store

	db     *sql.DB
	wrap   func(*sql.Tx) offstage.Tx
	holder func(string) string // turns a statement's ? into what the database wants
	close  func() error
}

// The stores.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// ErrStore means that a store's name is none of ours.
var ErrStore = errors.New("the store is neither sqlite nor postgres")

// Open opens the store of that name, at a path or URL. While the database is
// away it tries again, for a minute.
func Open(ctx context.Context, store, at string) (*Ground, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		g, err := open(ctx, store, at)
		var fault *offstage.StoreError
		if err == nil || !errors.As(err, &fault) {
			return g, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func open(ctx context.Context, store, at string) (*Ground, error) {
	switch store {
	case SQLite:
		return openSQLite(ctx, at)
	case Postgres:
		return openPostgres(ctx, at)
	}
	return nil, ErrStore
}

func openSQLite(ctx context.Context, path string) (*Ground, error) {
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return &Ground{Store: s, db: s.DB(), wrap: sqlite.Tx, holder: func(q string) string { return q }, close: s.Close}, nil
}

// Close closes the store and everything else.
func (g *Ground) Close() error { return g.close() }

const (
	pairsSQL   = `CREATE TABLE chaos_pair (item text NOT NULL)`
	effectsSQL = `CREATE TABLE chaos_effect (item bigint NOT NULL)`
)

// Prepare makes the application's tables.
func (g *Ground) Prepare(ctx context.Context) error {
	for _, statement := range []string{pairsSQL, effectsSQL} {
		if _, err := g.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// errRollBack makes inTx roll back.
var errRollBack = errors.New("to be rolled back")

// inTx runs a function in a transaction of the application's, and commits.
func (g *Ground) inTx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := g.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

const (
	addPairSQL   = `INSERT INTO chaos_pair (item) VALUES (?)`
	addEffectSQL = `INSERT INTO chaos_effect (item) VALUES (?)`
)

func (g *Ground) addPair(ctx context.Context, tx *sql.Tx, key string) error {
	_, err := tx.ExecContext(ctx, g.holder(addPairSQL), key)
	return err
}

func (g *Ground) addEffect(ctx context.Context, tx *sql.Tx, job offstage.ID) error {
	_, err := tx.ExecContext(ctx, g.holder(addEffectSQL), int64(job))
	return err
}

const (
	allPairsSQL   = `SELECT item, count(*) FROM chaos_pair GROUP BY item`
	allEffectsSQL = `SELECT item, count(*) FROM chaos_effect GROUP BY item`
)

// tally reads a table of items and counts.
func tally[K comparable](ctx context.Context, db *sql.DB, query string) (map[K]int, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err says what there is to say
	counts := map[K]int{}
	for rows.Next() {
		var item K
		var n int
		if err := rows.Scan(&item, &n); err != nil {
			return nil, fmt.Errorf("%s: %w", query, err)
		}
		counts[item] = n
	}
	return counts, rows.Err()
}
