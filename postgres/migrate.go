package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// The migrations are numbered from 1 without a gap. They only add, and never
// change once released: a version before must go on working beside them.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations returns the texts in order, for a schema.
func migrations(schema string) []string {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	texts := make([]string, len(files))
	for i, file := range files {
		number, _, _ := strings.Cut(path.Base(file), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			panic("postgres: migrations are not numbered without a gap: " + file)
		}
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			panic(err) // it was embedded
		}
		texts[i] = inSchema(string(text), schema)
	}
	return texts
}

// lockMigrationSQL serializes migrations of one schema until the transaction
// ends. The lock's number is "offstage" in ASCII, xored with the schema's hash.
const lockMigrationSQL = `SELECT pg_advisory_xact_lock(8027216031894300517 # hashtextextended($1, 0))`

// createLedgerSQL makes the schema and the list of what was done in it.
const createLedgerSQL = `CREATE SCHEMA IF NOT EXISTS %s;
CREATE TABLE IF NOT EXISTS offstage.migration (
	version int PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT statement_timestamp()
);
`

// findLedgerSQL looks whether there is a ledger, which needs no right to create.
const findLedgerSQL = `SELECT to_regclass($1) IS NOT NULL`

// Migrate brings the schema up to date, in one transaction and under a lock of
// the schema's. Many processes may do it at once; one works, the others wait. A
// schema that a later version made is ErrNewerSchema, and is left alone.
func (s *Store) Migrate(ctx context.Context) error {
	err := s.transact(ctx, "migrate", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', '30s', true)"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockMigrationSQL, s.schema); err != nil {
			return err
		}
		version, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		texts := migrations(s.schema)
		if err := mustKnow(version, len(texts)); err != nil {
			return err
		}
		for i := version; i < len(texts); i++ {
			if err := s.migrateTo(ctx, tx, i+1, texts[i]); err != nil {
				return fmt.Errorf("migration %d: %w", i+1, err)
			}
		}
		return nil
	})
	return err
}

// checkSchema finds out whether the schema is what this program needs, and changes
// nothing.
func (s *Store) checkSchema(ctx context.Context) error {
	return s.transact(ctx, "look at the schema's version", func(ctx context.Context, tx pgx.Tx) error {
		version, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		latest := len(migrations(s.schema))
		if version < latest {
			return fmt.Errorf("the schema %q has version %d, this program needs %d: run “offstage migrate”, or the script that it prints with --sql", s.schema, version, latest)
		}
		return mustKnow(version, latest)
	})
}

func mustKnow(version, latest int) error {
	if version > latest {
		return fmt.Errorf("%w: it has version %d, this program knows versions up to %d", offstage.ErrNewerSchema, version, latest)
	}
	return nil
}

// version returns the schema's version, 0 when there is none.
func (s *Store) version(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var found bool
	if err := tx.QueryRow(ctx, findLedgerSQL, pgx.Identifier{s.schema, "migration"}.Sanitize()).Scan(&found); err != nil || !found {
		return 0, err
	}
	err = tx.QueryRow(ctx, s.sql(`SELECT coalesce(max(version), 0) FROM offstage.migration`)).Scan(&version)
	return version, err
}

// migrateTo runs one migration. Several statements in one text need the simple
// protocol, which every pooler passes.
func (s *Store) migrateTo(ctx context.Context, tx pgx.Tx, number int, text string) error {
	if number == 1 {
		text = ledger(s.schema) + text
	}
	text += inSchema(fmt.Sprintf("\nINSERT INTO offstage.migration (version) VALUES (%d);", number), s.schema)
	_, err := tx.Conn().PgConn().Exec(ctx, text).ReadAll()
	return err
}

func ledger(schema string) string {
	return inSchema(fmt.Sprintf(createLedgerSQL, pgx.Identifier{schema}.Sanitize()), schema)
}

// MigrationSQL returns a script that brings a schema up to date, whatever
// version it has: what Migrate does, for databases whose schema is not for
// applications to change. "" means "offstage".
func MigrationSQL(schema string) string {
	if schema == "" {
		schema = DefaultSchema
	}
	var b strings.Builder
	literal := "'" + strings.ReplaceAll(schema, "'", "''") + "'"
	b.WriteString("BEGIN;\n" + strings.ReplaceAll(lockMigrationSQL, "$1", literal) + ";\n")
	b.WriteString(ledger(schema))
	for i, text := range migrations(schema) {
		fmt.Fprintf(&b, "\nDO $migrate$ BEGIN\nIF NOT EXISTS (SELECT FROM %s WHERE version = %d) THEN\n",
			pgx.Identifier{schema, "migration"}.Sanitize(), i+1)
		b.WriteString(text)
		fmt.Fprintf(&b, "INSERT INTO %s (version) VALUES (%d);\nEND IF;\nEND $migrate$;\n",
			pgx.Identifier{schema, "migration"}.Sanitize(), i+1)
	}
	b.WriteString("\nCOMMIT;\n")
	return b.String()
}
