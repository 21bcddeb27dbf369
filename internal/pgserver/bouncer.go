package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage/internal/freeport"
)

// BouncerOptions say how PgBouncer is run. The zero value pools transactions
// over 10 connections per database.
type BouncerOptions struct {
	// PoolSize is the number of server connections per database; 0: 10.
	PoolSize int
	// Settings are further lines of pgbouncer.ini; they win over ours.
	Settings map[string]string
}

// Bouncer is a PgBouncer in transaction mode before a [Cluster]. It must be
// closed.
type Bouncer struct {
	as   account
	port int
	proc *process
}

// FindBouncer returns the path of pgbouncer, or [ErrNotInstalled]. It looks at
// PATH and where Debian keeps it.
func FindBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("PgBouncer: %w (looked at PATH and /usr/sbin)", ErrNotInstalled)
}

// StartBouncer runs PgBouncer before the cluster and returns when it passes
// queries on. The context bounds the start, not its life.
func StartBouncer(ctx context.Context, cluster *Cluster, options BouncerOptions) (*Bouncer, error) {
	path, err := FindBouncer()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "offstage-pgbouncer-")
	if err != nil {
		return nil, err
	}
	b := &Bouncer{as: account{home: home}}
	if err := b.create(ctx, path, cluster, options); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), b.Close())
	}
	return b, nil
}

func (b *Bouncer) create(ctx context.Context, path string, cluster *Cluster, options BouncerOptions) error {
	var err error
	if b.as, err = serverAccount(b.as.home); err != nil {
		return err
	}
	for range 3 { // somebody else may take the port before PgBouncer does
		if b.port, err = freeport.Pick(); err != nil {
			return err
		}
		if err = b.start(ctx, path, cluster, options); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (b *Bouncer) start(ctx context.Context, path string, cluster *Cluster, options BouncerOptions) error {
	config := filepath.Join(b.as.home, "pgbouncer.ini")
	if err := os.WriteFile(config, b.config(cluster, options), 0o644); err != nil {
		return err
	}
	log := filepath.Join(b.as.home, "pgbouncer.log")
	proc, err := launch(exec.Command(path, config), b.as, log, syscall.SIGKILL)
	if err != nil {
		return err
	}
	b.proc = proc
	if err := waitFor(ctx, proc, b.ping); err != nil {
		return errors.Join(fmt.Errorf("%w; its log ends with:\n%s", err, tail(log)), b.stop())
	}
	return nil
}

// config returns pgbouncer.ini: every name of a database is passed on, and
// whoever comes is the cluster's superuser.
func (b *Bouncer) config(cluster *Cluster, options BouncerOptions) []byte {
	settings := map[string]string{
		"listen_addr":       "127.0.0.1",
		"listen_port":       strconv.Itoa(b.port),
		"unix_socket_dir":   "",
		"auth_type":         "any",
		"pool_mode":         "transaction",
		"default_pool_size": strconv.Itoa(cmp.Or(options.PoolSize, 10)),
		"max_client_conn":   "1000",
	}
	maps.Copy(settings, options.Settings)

	var ini strings.Builder
	fmt.Fprintf(&ini, "[databases]\n* = host=127.0.0.1 port=%d user=postgres\n[pgbouncer]\n", cluster.port)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&ini, "%s = %s\n", name, settings[name])
	}
	return []byte(ini.String())
}

// ping sends a query through, without prepared statements: PgBouncer gives
// every transaction another server connection.
func (b *Bouncer) ping(ctx context.Context) error {
	return connected(ctx, b.URL("postgres"), func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "select 1", pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

// Addr returns PgBouncer's host and port.
func (b *Bouncer) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// URL returns the connection URL of a database of the cluster, by way of
// PgBouncer. The client has to do without server-side prepared statements.
func (b *Bouncer) URL(database string) string { return databaseURL(b.Addr(), database) }

// Close ends PgBouncer and removes its files. Closing again does nothing.
func (b *Bouncer) Close() error { return errors.Join(b.stop(), os.RemoveAll(b.as.home)) }

// stop kills it: it has nothing of its own to put in order.
func (b *Bouncer) stop() error {
	if !b.proc.running() {
		return nil
	}
	if err := b.proc.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill pgbouncer: %w", err)
	}
	<-b.proc.done
	return nil
}
