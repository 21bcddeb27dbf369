package postgres_test

import (
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/storetest"
)

// clock is one that the cases set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// stage is what a store of the harness was opened with.
type stage struct {
	url    string
	schema string
	clock  *clock
}

// harness runs storetest's cases on one database, each in a schema of its own.
type harness struct {
	deaf  bool   // LISTEN does not work on url: the stores are no Wakers
	url   string // the store's connections
	admin string // a direct connection, for what the harness itself does
	mu    sync.Mutex
	by    map[offstage.Store]*stage
}

var schemas atomic.Int64

func newHarness(url, admin string) storetest.Harness {
	h := &harness{deaf: url != admin, url: url, admin: admin, by: map[offstage.Store]*stage{}}
	begin := h.begin
	if h.deaf {
		begin = h.beginSQL // what the store sends is the same
	}
	return storetest.Harness{Open: h.open, Peer: h.peer, Begin: begin, Advance: h.advance}
}

func (h *harness) open(tb testing.TB) offstage.Store {
	st := &stage{
		url: h.url, schema: fmt.Sprintf("case %d", schemas.Add(1)),
		clock: &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
	}
	tb.Cleanup(func() { drop(tb, h.admin, st.schema) })
	return h.handle(tb, st)
}

func (h *harness) handle(tb testing.TB, st *stage, options ...postgres.Option) offstage.Store {
	tb.Helper()
	options = append(options, postgres.WithSchema(st.schema), postgres.WithClock(st.clock.time))
	opened, err := postgres.Open(tb.Context(), st.url, options...)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() {
		if err := opened.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	var store offstage.Store = opened
	if h.deaf {
		store = struct{ offstage.Store }{opened}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[store] = st
	return store
}

func (h *harness) stage(store offstage.Store) *stage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.by[store]
}

// peer opens a store on a pool of the application's.
func (h *harness) peer(tb testing.TB, store offstage.Store) offstage.Store {
	tb.Helper()
	st := h.stage(store)
	url := st.url
	if h.deaf {
		url += "&default_query_exec_mode=exec" // as PgBouncer asks of applications
	}
	pool, err := pgxpool.New(contextOf(tb), url)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(pool.Close)
	return h.handle(tb, st, postgres.WithPool(pool))
}

func (h *harness) begin(tb testing.TB, _ offstage.Store) (offstage.Tx, func() error, func() error) {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), h.admin)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(func() { conn.Close(tb.Context()) })
	tx, err := conn.Begin(tb.Context())
	if err != nil {
		tb.Fatalf("begin: %v", err)
	}
	return postgres.Tx(tx), func() error { return tx.Commit(tb.Context()) }, func() error { return tx.Rollback(tb.Context()) }
}

// beginSQL begins a transaction of database/sql.
func (h *harness) beginSQL(tb testing.TB, _ offstage.Store) (offstage.Tx, func() error, func() error) {
	tb.Helper()
	db, err := sql.Open("pgx", h.admin)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("disconnect: %v", err)
		}
	})
	tx, err := db.BeginTx(contextOf(tb), nil) // it must not end with the case's context
	if err != nil {
		tb.Fatalf("begin: %v", err)
	}
	return postgres.SQLTx(tx), tx.Commit, tx.Rollback
}

func (h *harness) advance(_ testing.TB, store offstage.Store, d time.Duration) {
	h.stage(store).clock.advance(d)
}

// drop removes a schema and all that is in it.
func drop(tb testing.TB, url, schema string) {
	tb.Helper()
	ctx := contextOf(tb)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Errorf("connect: %v", err)
		return
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE"); err != nil {
		tb.Errorf("drop schema: %v", err)
	}
}
