package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A transaction that wrote while the worker was falling asleep has seen it awake,
// and knocks nobody up. The worker looks again until it has ended, even where its
// number is above all that have ended, and so in no snapshot's list.
func TestASleeperWaitsForWhoSawItAwake(t *testing.T) {
	s := newStand(t)
	s.insert(plain())
	s.claim(false)
	holder, err := pgx.ConnectConfig(t.Context(), s.other.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.WithoutCancel(t.Context()))
	hold, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Exec(t.Context(), `SELECT FROM offstage.beat FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	slept := make(chan error, 1)
	go func() { slept <- s.Sleep(t.Context(), s.worker, true) }()
	for waiting := false; !waiting; { // it has a number by now, and waits for the row
		err := hold.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	id, commit := s.begin(plain())
	if err := errors.Join(hold.Commit(t.Context()), <-slept); err != nil {
		t.Fatal(err)
	}
	claim, err := s.Store.Claim(t.Context(), s.request(false))
	if err != nil {
		t.Fatal(err)
	}
	if len(claim.Jobs) > 0 || !claim.Pending {
		t.Errorf("the last look found %d jobs, pending %t; want none, and to look again", len(claim.Jobs), claim.Pending)
	}
	commit()
	s.wantWithin(1, id)
	claim, err = s.Store.Claim(t.Context(), s.request(false))
	if err != nil {
		t.Fatal(err)
	}
	if claim.Pending {
		t.Error("it would look again, though everybody who saw it awake has ended")
	}
}
