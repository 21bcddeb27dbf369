package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/offstagehq/offstage/internal/freeport"
)

// Options say how a cluster is made. The zero value is right for tests.
type Options struct {
	// Install is the version to run. Zero: the newest that [Find] finds.
	Install Install
	// Durable keeps fsync and full page writes on, as a real server has them.
	// Without it a crash of the machine, though never of the server, may lose data.
	Durable bool
	// Settings are further lines of postgresql.conf; they win over ours.
	Settings map[string]string
}

// Cluster is one PostgreSQL server with its data. Its methods may be called
// from several goroutines; they take their turns. It must be closed.
type Cluster struct {
	install Install
	as      account
	port    int

	mu     sync.Mutex // guards what follows, and is held while the server's state changes
	proc   *process   // the latest one; may have ended
	killed bool       // the latest one could not clean up after itself
	closed bool
}

// Start makes a cluster in a temporary directory and returns when it accepts
// connections. The context bounds the start, not the server's life.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	c := &Cluster{install: options.Install}
	if c.install == (Install{}) {
		var err error
		if c.install, err = Newest(); err != nil {
			return nil, err
		}
	}
	home, err := os.MkdirTemp("", "offstage-pg-")
	if err != nil {
		return nil, err
	}
	c.as.home = home
	if err := c.create(ctx, options); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.install, err), c.Close())
	}
	return c, nil
}

// create makes the data directory and starts the server for the first time.
func (c *Cluster) create(ctx context.Context, options Options) error {
	var err error
	if c.as, err = serverAccount(c.as.home); err != nil {
		return err
	}
	if err := c.initdb(ctx); err != nil {
		return err
	}
	if err := c.configure(options); err != nil {
		return err
	}
	for range 3 { // somebody else may take the port before the server does
		if c.port, err = freeport.Pick(); err != nil {
			return err
		}
		if err = c.Start(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (c *Cluster) initdb(ctx context.Context) error {
	cmd := exec.Command(filepath.Join(c.install.Bin, "initdb"), "-D", c.data(), "-U", "postgres",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	proc, err := launch(cmd, c.as, c.log(), syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-proc.done:
	case <-ctx.Done():
		_ = cmd.Process.Kill() // fails only if it has just ended
		<-proc.done
		return context.Cause(ctx)
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("initdb: %s:\n%s", cmd.ProcessState, c.tail())
	}
	return nil
}

// configure appends the settings to postgresql.conf, where the last line wins,
// and lets in whoever comes from this machine over TCP.
func (c *Cluster) configure(options Options) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"max_connections":         "200",
		"logging_collector":       "off",
	}
	if !options.Durable {
		maps.Copy(settings, map[string]string{"fsync": "off", "full_page_writes": "off"})
	}
	maps.Copy(settings, options.Settings)

	file, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := strings.ReplaceAll(settings[name], "'", "''")
		if _, err := fmt.Fprintf(file, "%s = '%s'\n", name, value); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.data(), "pg_hba.conf"), []byte("host all all 127.0.0.1/32 trust\n"), 0o600)
}

// Install returns the version that the cluster runs.
func (c *Cluster) Install() Install { return c.install }

// Addr returns the server's host and port. It never changes.
func (c *Cluster) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

// URL returns the connection URL of a database, for a superuser. The database
// "postgres" always exists.
func (c *Cluster) URL(database string) string { return databaseURL(c.Addr(), database) }

func databaseURL(addr, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: addr, Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (c *Cluster) data() string { return filepath.Join(c.as.home, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.as.home, "server.log") }
func (c *Cluster) tail() string { return tail(c.log()) }
