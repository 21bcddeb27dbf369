package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/offstagehq/offstage"
)

// Connections that died while nobody used them, as all do when the server is
// restarted, cost a repeatable call one more try, however many they are.
func TestDeadConnectionsAreReplacedUnseen(t *testing.T) {
	const connections = 4
	s := newStandOf(t, connections)
	for round := range 3 {
		var held []*pgxpool.Conn
		var pids []int32
		for range connections {
			conn, err := s.work.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held, pids = append(held, conn), append(pids, int32(conn.Conn().PgConn().PID()))
		}
		for _, conn := range held {
			conn.Release()
		}
		var ended int
		const end = `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 10000)) FROM unnest($1::int[]) pid`
		if err := s.other.QueryRow(t.Context(), end, pids).Scan(&ended); err != nil || ended != connections {
			t.Fatalf("%d of %d sessions ended, %v", ended, connections, err)
		}
		if _, err := s.List(t.Context(), offstage.Filter{Limit: 1}); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
}

func TestWhichConnectionsAreAskedFirst(t *testing.T) {
	for name, test := range map[string]struct {
		trusting          any
		fresh, old, older bool
	}{
		"what is repeatable": {trustAny, false, false, false},
		"what is sent once":  {trustFresh, false, false, true},
		"a transaction":      {nil, false, false, true},
		"one was found dead": {trustNone, true, true, true},
	} {
		ctx := context.WithValue(t.Context(), trustKey{}, test.trusting)
		for idle, want := range map[time.Duration]bool{0: test.fresh, time.Second: test.old, time.Hour: test.older} {
			if got := mustPing(ctx, pgxpool.ShouldPingParams{IdleDuration: idle}); got != want {
				t.Errorf("%s, a connection that was not used for %v: asked %v, want %v", name, idle, got, want)
			}
		}
	}
	s := newStand(t)
	for name, pool := range map[string]*pgxpool.Pool{"work": s.work.Pool, "pulse": s.pulse.Pool} {
		ctx := context.WithValue(t.Context(), trustKey{}, trustAny)
		if ask := pool.Config().ShouldPing; ask == nil || ask(ctx, pgxpool.ShouldPingParams{IdleDuration: time.Hour}) {
			t.Errorf("connections for %s are asked before what is repeatable", name)
		}
	}
}
