package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/spf13/cobra"
)

// The environment variables that stand in for flags.
const (
	storeEnv  = "OFFSTAGE_STORE"
	schemaEnv = "OFFSTAGE_SCHEMA"
)

// storeFlag adds the flags that say which store a command works on.
func (p *program) storeFlag(command *cobra.Command) {
	command.Flags().StringVar(&p.store, "store", "", "the store: postgres://… or the path of an SQLite file (default: $"+storeEnv+")")
	command.Flags().StringVar(&p.schema, "schema", "", "PostgreSQL: the schema of the store's tables (default: $"+schemaEnv+" or "+postgres.DefaultSchema+")")
}

func (p *program) jsonFlag(command *cobra.Command) {
	command.Flags().BoolVar(&p.json, "json", false, "write JSON")
}

// withClient runs do with a client of the store that the command line or the
// environment names. An SQLite file must be there already: a mistyped path
// shall not become an empty store.
func (p *program) withClient(ctx context.Context, do func(*offstage.Client) error) error {
	at, err := p.place()
	if err != nil {
		return err
	}
	if at.file != "" {
		if _, err := os.Stat(at.file); errors.Is(err, fs.ErrNotExist) {
			return usage("there is no store %s; “offstage migrate” makes one", plain(at.file))
		}
	}
	store, err := at.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(offstage.NewClient(store)), store.Close())
}

// place is where a store is: an SQLite file or a PostgreSQL database.
type place struct {
	file   string // "" for PostgreSQL
	url    string // "" for SQLite
	schema string // of PostgreSQL; "" is the usual one
}

// place reads the flags and the environment.
func (p *program) place() (place, error) {
	text := p.store
	if text == "" {
		text = p.getenv(storeEnv)
	}
	if text == "" {
		return place{}, usage("which store? Give --store or set %s: postgres://user@host/database or the path of an SQLite file", storeEnv)
	}
	schema := p.schema
	if schema == "" {
		schema = p.getenv(schemaEnv)
	}
	return parsePlace(text, schema)
}

func parsePlace(text, schema string) (place, error) {
	scheme, rest, found := strings.Cut(text, ":")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		if _, err := url.Parse(text); err != nil {
			// The text may hold a password, so it is not repeated.
			return place{}, usage("--store: this is not a URL such as postgres://user@host/database; is a special character in it not escaped?")
		}
		return place{url: text, schema: schema}, nil
	case schema != "":
		return place{}, usage("--schema is for PostgreSQL only")
	case found && scheme == "sqlite":
		text = strings.TrimPrefix(rest, "//")
	case strings.HasPrefix(rest, "//"):
		return place{}, usage("--store: %s:// is not known; give postgres://… or the path of an SQLite file", plain(scheme))
	}
	if text == "" {
		return place{}, usage("--store: the path of the SQLite file is empty")
	}
	return place{file: text}, nil
}

// open opens the store and brings its schema up to date.
func (at place) open(ctx context.Context) (offstage.Store, error) {
	if at.file != "" {
		store, err := sqlite.Open(ctx, at.file)
		if err != nil {
			return nil, err // not store: a nil *Store is no nil interface
		}
		return store, nil
	}
	var options []postgres.Option
	if at.schema != "" {
		options = append(options, postgres.WithSchema(at.schema))
	}
	store, err := postgres.Open(ctx, at.url, options...)
	var fault *offstage.StoreError
	if errors.As(err, &fault) {
		return nil, fmt.Errorf("cannot open %s: %w\nDoes a server run there, and does it let this user into this database?", at, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", at, err)
	}
	return store, nil
}

// String returns the place for people, without a password.
func (at place) String() string {
	if at.file != "" {
		return at.file
	}
	address, err := url.Parse(at.url)
	if err != nil {
		return "the PostgreSQL database"
	}
	if query := address.Query(); query.Has("password") {
		query.Set("password", "xxxxx")
		address.RawQuery = query.Encode()
	}
	return address.Redacted()
}
