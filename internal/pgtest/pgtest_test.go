package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Each version answers for itself, and what one test writes no other test sees.
func TestEachGivesEveryTestAnEmptyDatabase(t *testing.T) {
	for range 2 {
		pgtest.Each(t, func(t *testing.T, db *pgtest.Database) {
			conn := connect(t, db.URL)
			if _, err := conn.Exec(t.Context(), "create table here_first ()"); err != nil {
				t.Fatalf("the database is not empty: %v", err)
			}
			var major int
			const query = "select current_setting('server_version_num')::int / 10000"
			if err := conn.QueryRow(t.Context(), query).Scan(&major); err != nil {
				t.Fatal(err)
			}
			if want := db.Cluster.Install().Major; major != want {
				t.Errorf("the server is PostgreSQL %d, want %d", major, want)
			}
		})
	}
}

// A database is gone when its test is over, even if the test left a session open.
func TestDatabaseIsDroppedAfterItsTest(t *testing.T) {
	var used *pgtest.Database
	t.Run("uses one", func(t *testing.T) {
		used = pgtest.Open(t)
		if _, err := pgx.Connect(t.Context(), used.URL); err != nil {
			t.Fatal(err)
		}
	})
	if used == nil {
		t.SkipNow() // the subtest was skipped and has said why
	}
	var left int
	const query = "select count(*) from pg_database where datname = $1"
	conn := connect(t, used.Cluster.URL("postgres"))
	if err := conn.QueryRow(t.Context(), query, used.Name).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("database %s outlived its test", used.Name)
	}
}

// PgBouncer passes queries on, and many clients share few server connections.
func TestBouncerPoolsTransactions(t *testing.T) {
	db := pgtest.Open(t)
	bouncer := pgtest.StartBouncer(t, db.Cluster, pgserver.BouncerOptions{PoolSize: 1})
	backends := map[int]bool{}
	for range 3 {
		conn := connect(t, bouncer.URL(db.Name))
		var pid int
		err := conn.QueryRow(t.Context(), "select pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
		if err != nil {
			t.Fatal(err)
		}
		backends[pid] = true
	}
	if len(backends) != 1 {
		t.Errorf("three clients at once used %d server connections, want the pool's only one", len(backends))
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}
