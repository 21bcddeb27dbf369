//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

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
	countedSQL  = `SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'`
)

// statements returns how many statements the server has been sent.
func (g *ground) statements(ctx context.Context) (n int64, err error) {
	conn, err := pgx.Connect(ctx, g.at)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }() // what was read is read
	if _, err := conn.Exec(ctx, countingSQL); err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, countedSQL).Scan(&n)
	return n, err
}
