package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/postgres"
)

// connect returns a connection that runs any statements.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(contextOf(t)) }) // its database is dropped next
	return conn
}

func do(t *testing.T, conn *pgx.Conn, script string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// refused opens a store, which must fail and say why.
func refused(t *testing.T, url, says string, options ...postgres.Option) error {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, options...)
	if err == nil {
		t.Fatal("it was opened", store.Close())
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("it says %q, and not %q", err, says)
	}
	return err
}

// tables describes all columns and indexes of a schema.
func tables(t *testing.T, conn *pgx.Conn, schema string) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
		FROM information_schema.columns WHERE table_schema = $1
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1`, schema)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), schema+".", "")
}

func TestOpenRefusesAnUnclearParameter(t *testing.T) {
	var invalid *offstage.InvalidError
	if err := refused(t, "postgres://127.0.0.1:1/x?pgbouncer=yes", "true or false"); !errors.As(err, &invalid) {
		t.Errorf("got %v, want an InvalidError", err)
	}
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	url := pgtest.Open(t).URL
	store, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	do(t, connect(t, url), "INSERT INTO offstage.migration (version) VALUES (4711)")
	newer := []error{refused(t, url, "4711"), refused(t, url, "4711", postgres.WithoutMigrate()), store.Migrate(t.Context())}
	for _, err := range newer {
		if !errors.Is(err, offstage.ErrNewerSchema) {
			t.Errorf("got %v, want ErrNewerSchema", err)
		}
	}
}

// The script does what Migrate does, also where it was run before.
func TestScriptMigrates(t *testing.T) {
	url := pgtest.Open(t).URL
	conn := connect(t, url)
	refused(t, url, `the schema "offstage" has version 0`, postgres.WithoutMigrate())
	if made := tables(t, conn, "offstage"); made != "" {
		t.Errorf("it was asked not to migrate, and made\n%s", made)
	}
	for range 2 {
		do(t, conn, postgres.MigrationSQL(""))
	}
	store, err := postgres.Open(t.Context(), url, postgres.WithoutMigrate())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := offstage.NewClient(store).Enqueue(t.Context(), offstage.Named("task", 1)); err != nil {
		t.Error(err)
	}

	const other = "it's migrated"
	migrated, err := postgres.Open(t.Context(), url, postgres.WithSchema(other))
	if err != nil {
		t.Fatal(err)
	}
	defer migrated.Close()
	got, want := tables(t, conn, "offstage"), strings.ReplaceAll(tables(t, conn, other), fmt.Sprintf("%q.", other), "")
	if got != want || got == "" {
		t.Errorf("the script made\n%s\nand Migrate\n%s", got, want)
	}

	do(t, conn, "DELETE FROM offstage.migration WHERE version = (SELECT max(version) FROM offstage.migration)")
	refused(t, url, "offstage migrate", postgres.WithoutMigrate())
}
