package offstagetest_test

import (
	"errors"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

// The contract's cases leave a store alone while a transaction is open. This
// store has no locks, so here others write meanwhile.

func TestTransactionOfAnotherStore(t *testing.T) {
	store, other := offstagetest.NewStore(), offstagetest.NewStore()
	if _, err := store.Within(offstagetest.Tx(other.Begin())); !errors.Is(err, offstage.ErrForeignTx) {
		t.Errorf("another store's transaction: got %v, want ErrForeignTx", err)
	}
	if _, err := store.Within(nil); !errors.Is(err, offstage.ErrForeignTx) {
		t.Errorf("nil: got %v, want ErrForeignTx", err)
	}
}

func TestTransactionAfterItsEnd(t *testing.T) {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	for name, end := range map[string]func(*offstagetest.Transaction) error{
		"commit": (*offstagetest.Transaction).Commit, "rollback": (*offstagetest.Transaction).Rollback,
	} {
		tx := store.Begin()
		if err := end(tx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := tx.Commit(); err == nil {
			t.Errorf("after a %s the transaction can be committed", name)
		}
		if err := tx.Rollback(); err == nil {
			t.Errorf("after a %s the transaction can be rolled back", name)
		}
		if _, err := client.In(offstagetest.Tx(tx)).Enqueue(t.Context(), mail{"late"}); err == nil {
			t.Errorf("after a %s the transaction takes jobs", name)
		}
	}
	offstagetest.RequireNotEnqueued[mail](t, store)
}

func TestTransactionBesideOthers(t *testing.T) {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	tx := store.Begin()
	if _, err := client.In(offstagetest.Tx(tx)).Enqueue(t.Context(), mail{"inside"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Enqueue(t.Context(), mail{"outside"}); err != nil {
		t.Fatal(err)
	}
	if got := len(offstagetest.Enqueued[mail](t, store)); got != 1 {
		t.Errorf("%d jobs before the commit, want 1", got)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	offstagetest.RequireEnqueued(t, store, mail{"inside"})
	offstagetest.RequireEnqueued(t, store, mail{"outside"})
}

func TestTransactionMeetsTakenKey(t *testing.T) {
	store := offstagetest.NewStore()
	client := offstage.NewClient(store)
	once := offstage.Unique(offstage.UniqueRule{Mode: offstage.Skip, Key: "once"})
	tx := store.Begin()
	inside := client.In(offstagetest.Tx(tx))
	for _, options := range [][]offstage.Option{nil, {once}, {once}, nil} {
		if _, err := inside.Enqueue(t.Context(), mail{"inside"}, options...); err != nil {
			t.Fatal(err)
		}
	}
	outside, err := client.Enqueue(t.Context(), mail{"outside"}, once)
	if err != nil || outside.Existed {
		t.Fatalf("outside: existed %t, %v; nobody sees what the transaction did", outside.Existed, err)
	}
	if err := tx.Commit(); offstage.ClassOf(err) != offstage.FaultBusy {
		t.Errorf("commit: got %v, want a StoreError of class FaultBusy", err)
	}
	if got := len(offstagetest.Enqueued[mail](t, store)); got != 1 {
		t.Errorf("%d jobs after the failed commit, want only the one from outside", got)
	}
}

func TestTransactionLosesItsClaim(t *testing.T) {
	store, ctx := offstagetest.NewStore(), t.Context()
	client := offstage.NewClient(store)
	receipt, err := client.Enqueue(ctx, mail{"a"})
	if err != nil {
		t.Fatal(err)
	}
	worker, err := store.Register(ctx, offstage.WorkerInfo{Queues: []string{offstage.DefaultQueue}})
	if err != nil {
		t.Fatal(err)
	}
	pools := []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: 1}}
	claim, err := store.Claim(ctx, offstage.ClaimRequest{Worker: worker, Seq: 1, Pools: pools})
	if err != nil || len(claim.Jobs) != 1 {
		t.Fatalf("claim: %d jobs, %v", len(claim.Jobs), err)
	}
	tx := store.Begin()
	within, err := store.Within(offstagetest.Tx(tx))
	if err != nil {
		t.Fatal(err)
	}
	result := offstage.Result{Job: receipt.ID, Run: 1, Claim: 1, Outcome: offstage.OutcomeCompleted, Next: offstage.Completed}
	if err := within.Complete(ctx, worker, result); err != nil {
		t.Fatal(err)
	}
	if _, err := client.In(offstagetest.Tx(tx)).Enqueue(ctx, report{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Rescue(ctx, offstage.Peer{ID: worker, Dead: true}, 10); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); !errors.Is(err, offstage.ErrLeaseLost) {
		t.Errorf("commit: got %v, want ErrLeaseLost", err)
	}
	offstagetest.RequireNotEnqueued[report](t, store)
	if got := offstagetest.RequireEnqueued(t, store, mail{"a"}); got.State != offstage.Ready || got.Lost != 1 {
		t.Errorf("the job is %s, lost %d", got.State, got.Lost)
	}
}
