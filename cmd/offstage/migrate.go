package main

import (
	"errors"
	"fmt"

	"github.com/offstagehq/offstage/postgres"
	"github.com/spf13/cobra"
)

func (p *program) migrateCommand() *cobra.Command {
	var script bool
	command := &cobra.Command{
		Use:   "migrate",
		Short: "Bring a store's schema up to date",
		Long: `Bring a store's schema up to date, and make the store if there is none.

Programs that use Offstage do so by themselves when they start. Where they may
not change the schema, --sql prints a script that does the same on PostgreSQL,
whatever version the schema has; it needs no connection.`,
		Example: `  offstage migrate --store postgres://deploy@db/app
  offstage migrate --sql | psql "$DATABASE_URL"`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(command *cobra.Command, _ []string) error {
			if script {
				return p.printMigration()
			}
			return p.migrate(command)
		},
	}
	command.Flags().BoolVar(&script, "sql", false, "PostgreSQL: print the script instead")
	p.storeFlag(command)
	p.jsonFlag(command)
	return command
}

func (p *program) migrate(command *cobra.Command) error {
	at, err := p.place()
	if err != nil {
		return err
	}
	store, err := at.open(command.Context())
	if err != nil {
		return err
	}
	if err := errors.Join(store.Migrate(command.Context()), store.Close()); err != nil {
		return err
	}
	if p.json {
		return writeJSON(p.stdout, map[string]any{"store": at.String(), "up_to_date": true})
	}
	_, err = fmt.Fprintf(p.stdout, "%s is up to date\n", plain(at.String()))
	return err
}

// printMigration prints the script for PostgreSQL. A store is not needed for
// it; one that is named must be PostgreSQL.
func (p *program) printMigration() error {
	at := place{schema: p.schema}
	if at.schema == "" {
		at.schema = p.getenv(schemaEnv)
	}
	if p.store != "" {
		named, err := p.place()
		if err != nil {
			return err
		}
		if named.file != "" {
			return usage("--sql is for PostgreSQL; an SQLite file is brought up to date by whatever opens it")
		}
	}
	_, err := fmt.Fprint(p.stdout, postgres.MigrationSQL(at.schema))
	return err
}
