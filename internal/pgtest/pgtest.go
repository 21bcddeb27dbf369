package pgtest

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/offstagehq/offstage/internal/pgserver"
)

// Database is an empty database of a server that other tests share. It is
// dropped, and its sessions ended, when the test is over.
type Database struct {
	// Name is the database's name in its cluster.
	Name string
	// URL connects to it as a superuser.
	URL string
	// Cluster is the server, which tests must not stop: other tests use it.
	Cluster *pgserver.Cluster
}

// Open returns a new database on the newest version that is demanded or installed.
func Open(t testing.TB) *Database {
	t.Helper()
	installs := versions(t)
	return open(t, installs[len(installs)-1])
}

// Each runs a subtest with a new database on every version that is demanded
// or installed.
func Each(t *testing.T, test func(t *testing.T, db *Database)) {
	t.Helper()
	for _, install := range versions(t) {
		t.Run("pg"+strconv.Itoa(install.Major), func(t *testing.T) { test(t, open(t, install)) })
	}
}

// Start returns a server for this test alone. Without a version in the options
// it is the newest that is demanded or installed. It is closed when the test
// is over.
func Start(t testing.TB, options pgserver.Options) *pgserver.Cluster {
	t.Helper()
	if options.Install == (pgserver.Install{}) {
		installs := versions(t)
		options.Install = installs[len(installs)-1]
	}
	cluster, err := pgserver.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFor(t, cluster.Close) })
	return cluster
}

// StartBouncer returns a PgBouncer before the cluster, in transaction mode. It
// is closed when the test is over.
func StartBouncer(t testing.TB, cluster *pgserver.Cluster, options pgserver.BouncerOptions) *pgserver.Bouncer {
	t.Helper()
	bouncer, err := pgserver.StartBouncer(t.Context(), cluster, options)
	if errors.Is(err, pgserver.ErrNotInstalled) {
		missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFor(t, bouncer.Close) })
	return bouncer
}

func open(t testing.TB, install pgserver.Install) *Database {
	t.Helper()
	if !mainRuns.Load() {
		t.Fatal("this package needs: func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	cluster, err := shared.cluster(install)
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strconv.FormatInt(serial.Add(1), 10)
	if err := cluster.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		closeFor(t, func() error { return cluster.DropDatabase(context.Background(), name) })
	})
	return &Database{Name: name, URL: cluster.URL(name), Cluster: cluster}
}

func closeFor(t testing.TB, closer func() error) {
	t.Helper()
	if err := closer(); err != nil {
		t.Error(err)
	}
}
