package postgres

import (
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// Tx makes a transaction of pgx known to the store.
func Tx(tx pgx.Tx) offstage.Tx { return pgxTx{tx} }

// SQLTx makes a transaction of database/sql known to the store, of pgx's or any
// other PostgreSQL driver.
func SQLTx(tx *sql.Tx) offstage.Tx { return sqlTx{tx} }

type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) StoreTx() any { return t.tx }

type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) StoreTx() any { return t.tx }
