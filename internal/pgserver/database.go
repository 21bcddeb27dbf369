package pgserver

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CreateDatabase makes an empty database.
func (c *Cluster) CreateDatabase(ctx context.Context, name string) error {
	return c.with(ctx, "postgres", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize())
		return err
	})
}

// DropDatabase removes a database and ends the sessions in it. A database that
// does not exist is no error.
func (c *Cluster) DropDatabase(ctx context.Context, name string) error {
	return c.with(ctx, "postgres", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
		return err
	})
}

// terminateSQL ends every client's session but this one. No inputs, no locks.
const terminateSQL = `
select count(*) filter (where pg_terminate_backend(pid))
from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid()`

// TerminateBackends ends the session of every client with the error 57P01 and
// returns how many there were.
func (c *Cluster) TerminateBackends(ctx context.Context) (int, error) {
	var ended int
	err := c.with(ctx, "postgres", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, terminateSQL).Scan(&ended)
	})
	return ended, err
}

// with runs do on a connection of its own to a database of the cluster.
func (c *Cluster) with(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	return connected(ctx, c.URL(database), do)
}

func connected(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // what was done is done
	return do(conn)
}
