package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage/internal/pgserver"
)

// postgresSettings are what is changed from the server's defaults. fsync, full
// page writes and synchronous_commit stay on.
var postgresSettings = map[string]string{
	"fsync":                      "on",
	"synchronous_commit":         "on",
	"full_page_writes":           "on",
	"shared_buffers":             "1GB",
	"max_wal_size":               "8GB",
	"checkpoint_timeout":         "15min",
	"max_connections":            "300",
	"shared_preload_libraries":   "pg_stat_statements",
	"pg_stat_statements.max":     "10000",
	"log_min_duration_statement": "-1",
}

// cluster is the PostgreSQL server that all systems on it share.
type cluster struct {
	*pgserver.Cluster
	admin    *pgx.Conn
	settings map[string]string // as the server states them
	last     int               // number of the latest database
}

// startPostgres starts a durable server of its own.
func startPostgres(ctx context.Context) (*cluster, error) {
	server, err := pgserver.Start(ctx, pgserver.Options{Durable: true, Settings: postgresSettings})
	if err != nil {
		return nil, err
	}
	c := &cluster{Cluster: server}
	if c.admin, err = pgx.Connect(ctx, server.URL("postgres")); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	if err := c.prepare(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// settingsSQL reads the settings that are published with the results.
const settingsSQL = `SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY ($1)`

func (c *cluster) prepare(ctx context.Context) error {
	if _, err := c.admin.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return fmt.Errorf("pg_stat_statements is needed (Debian: package postgresql-15): %w", err)
	}
	names := []string{"server_version", "wal_level", "autovacuum"}
	for name := range postgresSettings {
		names = append(names, name)
	}
	rows, err := c.admin.Query(ctx, settingsSQL, names)
	if err != nil {
		return err
	}
	c.settings = map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		c.settings[name] = value
		return nil
	})
	return err
}

// Close stops the server and removes its data.
func (c *cluster) Close() error {
	_ = c.admin.Close(context.Background()) // the server goes next
	return c.Cluster.Close()
}

// database is an empty database for one measurement.
type database struct {
	*pgx.Conn // the conductor's own connection to it
	cluster   *cluster
	name, url string
}

func (c *cluster) newDatabase(ctx context.Context) (*database, error) {
	c.last++
	d := &database{cluster: c, name: fmt.Sprintf("bench%d", c.last)}
	if err := c.CreateDatabase(ctx, d.name); err != nil {
		return nil, err
	}
	d.url = c.URL(d.name)
	var err error
	if d.Conn, err = pgx.Connect(ctx, d.url); err != nil {
		return nil, errors.Join(err, c.DropDatabase(ctx, d.name))
	}
	_, err = c.admin.Exec(ctx, "SELECT pg_stat_statements_reset()")
	return d, err
}

// settle brings all systems' data into the same state: vacuumed, analyzed and
// on disk.
func (d *database) settle(ctx context.Context) error {
	if _, err := d.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return err
	}
	_, err := d.Exec(ctx, "CHECKPOINT")
	return err
}

// statements are the database's figures since it was made.
type statements struct {
	calls   float64 // of clients' statements, except this program's
	fetched float64 // rows that fetches returned: statements with SKIP LOCKED
	buffers float64 // pages that fetches looked at
	wal     float64 // bytes of the whole server's log
}

// statementsSQL reads them for the database $1. The conductor works over
// connections of its own, but in the same database only to settle and to look.
const statementsSQL = `SELECT coalesce(sum(calls), 0)::float8,
	coalesce(sum(rows) FILTER (WHERE query ILIKE '%skip locked%'), 0)::float8,
	coalesce(sum(shared_blks_hit + shared_blks_read) FILTER (WHERE query ILIKE '%skip locked%'), 0)::float8,
	(pg_current_wal_lsn() - '0/0')::float8
FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = $1`

func (d *database) statements(ctx context.Context) (s statements, err error) {
	err = d.cluster.admin.QueryRow(ctx, statementsSQL, d.name).Scan(&s.calls, &s.fetched, &s.buffers, &s.wal)
	return s, err
}

// topSQL lists the statements of the database $1 by the time that they took.
const topSQL = `SELECT format('%10s ms %8s calls %10s rows %10s hit %8s read %12s wal  %s',
	round(total_exec_time::numeric, 1), calls, rows, shared_blks_hit, shared_blks_read, wal_bytes, regexp_replace(query, '\s+', ' ', 'g'))
FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = $1 ORDER BY total_exec_time DESC LIMIT 20`

// writeTop writes them to a file.
func (d *database) writeTop(ctx context.Context, path string) error {
	rows, err := d.cluster.admin.Query(ctx, topSQL, d.name)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// drop removes the database with all sessions in it.
func (d *database) drop(ctx context.Context) error {
	_ = d.Close(ctx) // it would be ended by the drop
	return d.cluster.DropDatabase(ctx, d.name)
}

// newFile returns the path of an SQLite file that is not there yet, in a folder
// of its own.
func newFile() (string, error) {
	dir, err := os.MkdirTemp("", "offstage-bench-")
	return filepath.Join(dir, "jobs.db"), err
}
