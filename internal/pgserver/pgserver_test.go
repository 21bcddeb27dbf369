package pgserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// However the server went down, it comes back at the same address with every
// row that was acknowledged.
func TestStartAgainKeepsAddressAndData(t *testing.T) {
	for name, stop := range map[string]func(*pgserver.Cluster) error{
		"fast":      func(c *pgserver.Cluster) error { return c.Stop(t.Context(), pgserver.Fast) },
		"immediate": func(c *pgserver.Cluster) error { return c.Stop(t.Context(), pgserver.Immediate) },
		"kill -9":   func(c *pgserver.Cluster) error { return c.Kill9() },
	} {
		t.Run(name, func(t *testing.T) {
			cluster := pgtest.Start(t, pgserver.Options{})
			url := cluster.URL("postgres")
			exec(t, url, "create table kept (n int); insert into kept values (1)")
			for n := range 3 {
				if err := stop(cluster); err != nil {
					t.Fatal(err)
				}
				if conn, err := pgx.Connect(t.Context(), url); err == nil {
					_ = conn.Close(t.Context())
					t.Fatal("a stopped server answered")
				}
				if err := cluster.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := exec(t, url, "update kept set n = n + 1 returning n"); got != string(rune('2'+n)) {
					t.Fatalf("after start %d the row holds %s, want %c", n+1, got, '2'+n)
				}
			}
		})
	}
}

// Kill -9 takes the busy backends too, so that the next start finds nobody
// attached to the old server's shared memory.
func TestKill9TakesBusyBackends(t *testing.T) {
	cluster := pgtest.Start(t, pgserver.Options{})
	conn, err := pgx.Connect(t.Context(), cluster.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), "select generate_series(1, 1000000000)")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() { // the backend is at work, and stuck behind what we do not read
		t.Fatal(rows.Err())
	}
	if err := cluster.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if rows.Err() == nil {
		t.Error("the query of a killed backend ended without an error")
	}
}

// Terminated backends get 57P01; the server stays.
func TestTerminateBackends(t *testing.T) {
	cluster := pgtest.Start(t, pgserver.Options{})
	conn, err := pgx.Connect(t.Context(), cluster.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	ended, err := cluster.TerminateBackends(t.Context())
	if err != nil || ended != 1 {
		t.Fatalf("TerminateBackends = %d, %v, want 1", ended, err)
	}
	var refusal *pgconn.PgError
	if _, err := conn.Exec(t.Context(), "select 1"); !errors.As(err, &refusal) || refusal.Code != "57P01" {
		t.Errorf("the terminated session got %v, want 57P01", err)
	}
	exec(t, cluster.URL("postgres"), "select 1")
}

// Settings reach the server, quotes included, and fsync is off unless asked for.
func TestSettings(t *testing.T) {
	for _, c := range []struct {
		options pgserver.Options
		fsync   string
	}{
		{pgserver.Options{Settings: map[string]string{"cluster_name": "it's"}}, "off"},
		{pgserver.Options{Settings: map[string]string{"cluster_name": "it's"}, Durable: true}, "on"},
	} {
		cluster := pgtest.Start(t, c.options)
		got := exec(t, cluster.URL("postgres"), "select current_setting('fsync') || current_setting('cluster_name')")
		if got != c.fsync+"it's" {
			t.Errorf("durable %t: fsync and name are %q, want %q", c.options.Durable, got, c.fsync+"it's")
		}
	}
}

// A server that cannot start says why, in its own words, and leaves no file
// behind; nor does one that ran, was killed, and is closed.
func TestNothingIsLeftBehind(t *testing.T) {
	pgtest.Start(t, pgserver.Options{}) // skips where there is none
	temp := sharedTempDir(t)

	_, err := pgserver.Start(t.Context(), pgserver.Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("the error of a failed start is %v, want the server's own", err)
	}
	cluster, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cluster.Kill9(), cluster.Close(), cluster.Close()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Find reads the versions of the binaries, prefers those that the environment
// names, and leaves out what Offstage cannot use.
func TestFind(t *testing.T) {
	var bins []string
	for _, version := range []string{"14.9", "99beta1", "98.3 (Debian 98.3-1)", "nonsense"} {
		bin := t.TempDir()
		bins = append(bins, bin)
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		for _, name := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv(pgserver.BinEnv, strings.Join(append(bins, t.TempDir()), string(filepath.ListSeparator)))

	found := pgserver.Find()
	newest := found[max(len(found)-2, 0):]
	if len(newest) != 2 ||
		newest[0] != (pgserver.Install{Bin: bins[2], Version: "98.3", Major: 98}) ||
		newest[1] != (pgserver.Install{Bin: bins[1], Version: "99beta1", Major: 99}) {
		t.Errorf("Find = %v, want it to end with 98.3 and 99beta1", found)
	}
	if found[0].Major < pgserver.OldestMajor {
		t.Errorf("Find = %v, want none older than %d", found, pgserver.OldestMajor)
	}
}

// exec runs statements and returns the last one's first value as text.
func exec(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

// sharedTempDir makes the temporary directory one that is empty and that the
// server's user can enter.
func sharedTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}
