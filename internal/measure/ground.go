//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
)

// The stores.
const (
	sqliteStore   = "sqlite"
	postgresStore = "postgres"
)

// database is the name of PostgreSQL's.
const database = "measure"

// ground is a new database and this process's own way to it.
type ground struct {
	kind    string
	at      string // the path or URL
	dir     string
	cluster *pgserver.Cluster // nil on SQLite
	store   offstage.Store
	client  *offstage.Client
	// schedules is how many each process declares.
	schedules int
}

func newGround(ctx context.Context, kind string) (g *ground, err error) {
	g = &ground{kind: kind}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	if g.dir, err = os.MkdirTemp("", "offstage-measure-"); err != nil {
		return g, err
	}
	g.at = filepath.Join(g.dir, "jobs.db")
	if kind == postgresStore {
		if err = g.startServer(ctx); err != nil {
			return g, err
		}
	}
	if g.store, err = open(ctx, kind, g.at); err != nil {
		return g, err
	}
	g.client = offstage.NewClient(g.store)
	return g, nil
}

// startServer starts a server as people run it, which counts the statements
// that it gets.
func (g *ground) startServer(ctx context.Context) (err error) {
	g.cluster, err = pgserver.Start(ctx, pgserver.Options{Durable: true, Settings: map[string]string{
		"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "top",
	}})
	if err != nil {
		return err
	}
	g.at = g.cluster.URL(database)
	return g.cluster.CreateDatabase(ctx, database)
}

func open(ctx context.Context, kind, at string) (offstage.Store, error) {
	if kind == postgresStore {
		return postgres.Open(ctx, at)
	}
	return sqlite.Open(ctx, at)
}

func (g *ground) close() error {
	var errs []error
	if g.store != nil {
		errs = append(errs, g.store.Close())
	}
	if g.cluster != nil {
		errs = append(errs, g.cluster.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(g.dir))...)
}

const (
	countingSQL = `CREATE EXTENSION IF NOT EXISTS pg_stat_statements`
	countedSQL  = `SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 110), sum(calls)::bigint
FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' GROUP BY 1`
)

// tally is how often the server was sent each statement; nil on SQLite.
type tally map[string]int64

// statements returns what the server has been sent so far.
func (g *ground) statements(ctx context.Context) (tally, error) {
	if g.cluster == nil {
		return nil, nil
	}
	conn, err := pgx.Connect(ctx, g.at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }() // what was read is read
	if _, err := conn.Exec(ctx, countingSQL); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, countedSQL)
	if err != nil {
		return nil, err
	}
	seen := tally{}
	var query string
	var calls int64
	_, err = pgx.ForEachRow(rows, []any{&query, &calls}, func() error { seen[query] = calls; return nil })
	return seen, err
}

// since returns what was sent between an earlier tally and this one, and how
// much it is in all.
func (t tally) since(before tally) (sent tally, total int64) {
	sent = tally{}
	for query, calls := range t {
		if n := calls - before[query]; n > 0 {
			sent[query], total = n, total+n
		}
	}
	return sent, total
}

// String lists the statements, the most frequent first.
func (t tally) String() string {
	var lines []string
	for query, calls := range t {
		lines = append(lines, fmt.Sprintf("%8d  %s", calls, query))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}
