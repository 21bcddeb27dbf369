package load

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/offstagehq/offstage/postgres"
)

// ownConns is how many connections the application has for itself.
const ownConns = 4

func openPostgres(ctx context.Context, url string) (*Ground, error) {
	s, err := postgres.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	db.SetMaxOpenConns(ownConns)
	db.SetMaxIdleConns(ownConns)
	return &Ground{
		Store: s, db: db, wrap: postgres.SQLTx,
		holder: func(q string) string { return strings.Replace(q, "?", "$1", 1) },
		close:  func() error { return errors.Join(db.Close(), s.Close()) },
	}, nil
}
