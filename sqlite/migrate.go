package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/offstagehq/offstage"
)

// Migrations are numbered from 1, only ever add, and are not edited once
// released. The schema's version is how many have been run. It is kept in a
// table, since user_version belongs to the application that owns the file.
//
//go:embed migrations/*.sql
var migrations embed.FS

const (
	sqlCreateSchema = `CREATE TABLE IF NOT EXISTS offstage_schema (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT`
	sqlHasSchema    = `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'offstage_schema'`
	sqlVersion      = `SELECT version FROM offstage_schema WHERE one = 1`
	sqlMayWrite     = `UPDATE offstage_schema SET version = version WHERE one = 0` // writes nothing, and fails where nothing can be written
	sqlSetVersion   = `INSERT INTO offstage_schema VALUES (1, ?) ON CONFLICT DO UPDATE SET version = excluded.version`
)

// Migrate brings the schema up to date. [Open] has done so already; it is here
// for the contract and changes nothing on a schema that is current.
func (s *Store) Migrate(ctx context.Context) error {
	return s.write(ctx, "migrate the schema", migrate)
}

func migrate(t *tx) error {
	version, err := schemaVersion(t)
	if err != nil {
		return err
	}
	scripts, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	switch latest := len(scripts); {
	case version == latest:
		_, err := t.exec(sqlMayWrite) // BEGIN IMMEDIATE does not say that a file is read-only
		return err
	case version > latest:
		return fmt.Errorf("%w: it has version %d, this program knows up to %d; run a newer program", offstage.ErrNewerSchema, version, latest)
	}
	if _, err := t.exec(sqlCreateSchema); err != nil {
		return err
	}
	for i, name := range scripts[version:] {
		script, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := t.exec(string(script)); err != nil {
			return fmt.Errorf("migration %d: %w", version+i+1, err)
		}
	}
	_, err = t.exec(sqlSetVersion, len(scripts))
	return err
}

// schemaVersion returns 0 for a file without a schema of ours.
func schemaVersion(t *tx) (int, error) {
	has, err := first(t.rows(sqlHasSchema))
	if err != nil || has == nil {
		return 0, err
	}
	version, err := first(t.rows(sqlVersion))
	if err != nil || version == nil {
		return 0, err
	}
	return version.int(0), nil
}
