package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/offstagehq/offstage/internal/demo"
	"github.com/spf13/cobra"
)

// demoFlags are the flags of demo, as they were given.
type demoFlags struct {
	addr, store, schema, data, role, maxUpload string
}

func (p *program) demoCommand() *cobra.Command {
	var flags demoFlags
	command := &cobra.Command{
		Use:   "demo",
		Short: "Run a small web service that shows what background jobs are for",
		Long: `Run a small telemetry service: its web pages and a worker, on an SQLite file or
on PostgreSQL. Open the address that it prints. There is no login, so it listens
on this machine only, unless --addr says otherwise.

Ctrl-C stops it: running jobs get 5 seconds, then they are handed back and begin
again at the next start. A second Ctrl-C does not wait.`,
		Example: `  offstage demo
  offstage demo --store postgres://localhost/demo
  offstage demo --role web & offstage demo --role worker`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(command *cobra.Command, _ []string) error { return p.demo(command.Context(), flags) },
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&flags.addr, "addr", "", "listen at this `host:port` and no other (default: "+demo.DefaultAddr+" or the next free port)")
	set.StringVar(&flags.store, "store", "", "the store: postgres://… or the path of an SQLite file (default: offstage.db in the data folder)")
	set.StringVar(&flags.schema, "schema", "", "PostgreSQL: the schema of the store's tables (default: offstage)")
	set.StringVar(&flags.data, "data", "", "the data `folder` (default: offstage-demo in your cache folder)")
	set.StringVar(&flags.role, "role", string(demo.RoleAll), "what this process does: all, web or worker")
	set.StringVar(&flags.maxUpload, "max-upload", "1GiB", "the largest upload, as 500MB or 2GiB")
	return command
}

func (p *program) demo(ctx context.Context, flags demoFlags) (err error) {
	role, err := parseRole(flags.role)
	if err != nil {
		return err
	}
	maxUpload, err := parseSize("max-upload", flags.maxUpload)
	if err != nil {
		return err
	}
	dir, at, err := flags.places()
	if err != nil {
		return err
	}
	var listener net.Listener
	if role != demo.RoleWorker {
		if listener, err = flags.listen(ctx); err != nil {
			return err
		}
	}
	store, tables, closeStores, err := at.openWithTables(ctx)
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	p.announce(listener, role, dir, at)
	unregister := context.AfterFunc(ctx, func() {
		fmt.Fprintln(p.stderr, "Stopping; running jobs get a moment. Ctrl-C again stops at once.")
	})
	defer unregister()
	err = demo.Run(ctx, demo.Config{
		Store: store, Tables: tables, Dir: dir, Listener: listener, Role: role, MaxUpload: maxUpload, Hurry: p.hurry,
		Logger: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return errors.Join(err, closeStores())
}

// places returns the data folder, which is made if it is not there, and the
// store.
func (f demoFlags) places() (dir string, at place, err error) {
	if dir = f.data; dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", at, fmt.Errorf("there is no cache folder here (%w); give --data", err)
		}
		dir = filepath.Join(cache, "offstage-demo")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", at, err
	}
	text := f.store
	if text == "" {
		text = filepath.Join(dir, "offstage.db")
	}
	if at, err = parsePlace(text, f.schema); err != nil {
		return "", at, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", at, fmt.Errorf("make the data folder: %w", err)
	}
	return dir, at, nil
}

func (f demoFlags) listen(ctx context.Context) (net.Listener, error) {
	if f.addr == "" {
		return demo.ListenDefault(ctx)
	}
	return demo.Listen(ctx, f.addr)
}

// announce says where everything is.
func (p *program) announce(listener net.Listener, role demo.Role, dir string, at place) {
	fmt.Fprintln(p.stdout, "Offstage demo")
	if listener != nil {
		fmt.Fprintf(p.stdout, "  open   %s\n", pageURL(listener.Addr()))
	} else {
		fmt.Fprintf(p.stdout, "  role   %s: no pages here\n", role)
	}
	fmt.Fprintf(p.stdout, "  data   %s\n  store  %s\n  stop   Ctrl-C\n", plain(dir), plain(at.String()))
	if listener != nil && !demo.IsLoopback(listener.Addr()) {
		fmt.Fprintf(p.stderr, "Warning: everybody who reaches %s can use this demo and see its data: there is no login.\n", listener.Addr())
	}
}

// pageURL returns an address that a browser on this machine can open.
func pageURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func parseRole(text string) (demo.Role, error) {
	role := demo.Role(text)
	if !slices.Contains(demo.Roles(), role) {
		return "", usage("--role: %q is not one of all, web, worker", text)
	}
	return role, nil
}

// units are what a size may end with, longest first.
var units = []struct {
	name  string
	bytes float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1}, {"", 1},
}

// parseSize reads a number of bytes: 1048576, 500MB, 1.5GiB, 2G.
func parseSize(flag, text string) (int64, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	for _, unit := range units {
		digits, found := strings.CutSuffix(lower, unit.name)
		if !found {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if size := value * unit.bytes; err == nil && size >= 1 && size < 1<<50 {
			return int64(size), nil
		}
		break
	}
	return 0, usage("--%s: %q is not a size from 1 byte up, such as 500MB or 2GiB", flag, text)
}
