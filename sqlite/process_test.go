package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// leadTime is longer than any test takes.
const leadTime = 10 * time.Hour

func echo() offstage.NewJob {
	return offstage.NewJob{Kind: "echo", Queue: "default", Priority: 5, Args: []byte(`{}`)}
}

// insert stores n plain jobs.
func insert(tb testing.TB, store *sqlite.Store, n int) []offstage.ID {
	tb.Helper()
	inserted, err := store.Insert(tb.Context(), slices.Repeat([]offstage.NewJob{echo()}, n))
	if err != nil {
		tb.Fatal(err)
	}
	ids := make([]offstage.ID, n)
	for i := range ids {
		ids[i] = inserted[i].ID
	}
	return ids
}

func register(tb testing.TB, store *sqlite.Store) offstage.WorkerID {
	tb.Helper()
	id, err := store.Register(tb.Context(), offstage.WorkerInfo{Name: "test", Queues: []string{"default"}})
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// beat returns the one peer that a worker sees.
func onlyPeer(tb testing.TB, store *sqlite.Store, worker offstage.WorkerID) offstage.Peer {
	tb.Helper()
	beat, err := store.Beat(tb.Context(), worker)
	if err != nil {
		tb.Fatal(err)
	}
	if len(beat.Peers) != 1 {
		tb.Fatalf("%d peers, want 1", len(beat.Peers))
	}
	return beat.Peers[0]
}

// A worker lives exactly as long as its process, whatever its process does.
// Nobody commits when it is killed, so what is known by heart must not hide it.
func TestKilledWorkerIsDeadAtOnce(t *testing.T) {
	t.Run("without a watch", func(t *testing.T) { killedIsDead(t, false) })
	t.Run("watched", func(t *testing.T) { killedIsDead(t, true) })
}

func killedIsDead(t *testing.T, watched bool) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	store := open(t, path)
	if watched {
		watch(t, store)
	}
	ids := insert(t, store, 3)
	other := spawn(t, "hold", path)
	var worker offstage.WorkerID
	var held int
	if _, err := fmt.Sscan(other.hear(), &worker, &held); err != nil || held != 3 {
		t.Fatalf("the child holds %d jobs, %v; want 3", held, err)
	}
	me := register(t, store)
	before := onlyPeer(t, store, me)
	if before.Dead || before.ID != worker {
		t.Fatalf("saw %+v, want worker %d alive", before, worker)
	}
	if again := onlyPeer(t, store, me); again.Counter == before.Counter {
		t.Error("the counter of a living process does not change")
	}
	if rescued, more, err := store.Rescue(t.Context(), before, 10); rescued != 0 || more || err != nil {
		t.Errorf("a rescue of a living worker: %d, %v, %v", rescued, more, err)
	}
	if term, err := store.Lead(t.Context(), me, time.Hour); term != 0 || err != nil {
		t.Errorf("lead beside a living leader: term %d, %v", term, err)
	}
	other.kill()
	peer := onlyPeer(t, store, me)
	if !peer.Dead {
		t.Fatal("a killed worker is not seen as dead")
	}
	if rescued, more, err := store.Rescue(t.Context(), peer, 10); rescued != 3 || more || err != nil {
		t.Errorf("rescue: %d, %v, %v; want 3, false, nil", rescued, more, err)
	}
	for _, id := range ids {
		if got, err := store.Get(t.Context(), id); err != nil || got.State != offstage.Ready || got.Lost != 1 {
			t.Errorf("job %d: %s, lost %d, %v", id, got.State, got.Lost, err)
		}
	}
	if term, err := store.Lead(t.Context(), me, time.Hour); term != 2 || err != nil {
		t.Errorf("lead after a dead leader: term %d, %v; want 2", term, err)
	}
}

// What was acknowledged before a kill is there after it, and the file is sound.
func TestKilledWriterLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	var acked []offstage.ID
	for range 3 {
		writer := spawn(t, "insert", path)
		for range 40 {
			var a, b offstage.ID
			if _, err := fmt.Sscan(writer.hear(), &a, &b); err != nil {
				t.Fatal(err)
			}
			acked = append(acked, a, b)
		}
		writer.kill()
	}
	store := open(t, path)
	for _, id := range acked {
		if got, err := store.Get(t.Context(), id); err != nil || got.State != offstage.Ready {
			t.Errorf("acknowledged job %d: %s, %v", id, got.State, err)
		}
	}
	var verdict string
	if err := store.DB().QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %s, %v", verdict, err)
	}
	if n := count(t, store, offstage.Filter{Limit: 1000}); n%2 != 0 {
		t.Errorf("%d jobs: one of a pair is missing", n)
	}
}

func count(tb testing.TB, store *sqlite.Store, filter offstage.Filter) int {
	tb.Helper()
	page, err := store.List(tb.Context(), filter)
	if err != nil {
		tb.Fatal(err)
	}
	return len(page.Jobs)
}

// watch starts a watch and returns its news.
func watch(tb testing.TB, store *sqlite.Store) <-chan offstage.News {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	begun, ended, told := make(chan struct{}), make(chan error, 1), make(chan offstage.News, 100)
	go func() {
		ended <- store.Watch(ctx, func() { close(begun) }, func(n offstage.News) {
			select {
			case told <- n:
			default:
			}
		})
	}()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("watch: %v", err)
		}
	})
	<-begun
	return told
}

// Commits of other processes wake a worker without a poll.
func TestWatchSeesOtherProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	store := open(t, path)
	other := spawn(t, "insert when told", path)
	other.hear()
	news := watch(t, store)
	worker := register(t, store)
	for seq := range int64(20) {
		other.in("default")
		for claimed := 0; claimed == 0; {
			<-news
			claim, err := store.Claim(t.Context(), offstage.ClaimRequest{
				Worker: worker, Seq: seq + 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 1}},
			})
			if err != nil {
				t.Fatal(err)
			}
			claimed = len(claim.Jobs)
		}
	}
}

// Two processes that write all the time take turns: neither waits for long.
func TestWritersOfTwoProcessesTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	store := open(t, path)
	other := spawn(t, "insert", path)
	for range 50 {
		other.hear()
		insert(t, store, 2)
	}
}
