package offstage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
)

// endings is a store that knows only how jobs ended.
type endings struct {
	offstage.Store
	looks atomic.Int64
	known func(offstage.ID) (offstage.Ended, bool)
	err   error
}

func (s *endings) EndedOf(_ context.Context, ids []offstage.ID) ([]offstage.Ended, error) {
	s.looks.Add(1)
	var found []offstage.Ended
	for _, id := range ids {
		if ended, ok := s.known(id); ok {
			found = append(found, ended)
		}
	}
	return found, s.err
}

func TestWaitersShareTheirLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		store := &endings{known: func(id offstage.ID) (offstage.Ended, bool) {
			return offstage.Ended{ID: id, State: offstage.Completed, Result: []byte(`7`)}, time.Since(start) > time.Minute
		}}
		client := offstage.NewClient(store)
		const waiters = 1000
		results := make(chan int, waiters)
		for i := range waiters {
			go func() {
				n, err := offstage.Await[int](t.Context(), client.Receipt(offstage.ID(i/2+1)))
				if err != nil {
					t.Error(err)
				}
				results <- n
			}()
		}
		for range waiters {
			if n := <-results; n != 7 {
				t.Errorf("result %d; want 7", n)
			}
		}
		// A minute at 4 looks a second, and the quick ones at the beginning.
		if looks := store.looks.Load(); looks > 300 {
			t.Errorf("%d looks in a minute for %d waiters", looks, waiters)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &endings{known: func(id offstage.ID) (offstage.Ended, bool) {
			switch id {
			case 1:
				return offstage.Ended{ID: id, State: offstage.Failed, Error: "boom"}, true
			case 2:
				return offstage.Ended{ID: id}, true
			}
			return offstage.Ended{}, false
		}}
		client := offstage.NewClient(store)

		_, err := client.Receipt(1).Wait(t.Context())
		var ended *offstage.EndedError
		if !errors.As(err, &ended) || ended.State != offstage.Failed || ended.Message != "boom" {
			t.Errorf("waiting for a failed job: %v", err)
		}
		if _, err := client.Receipt(2).Wait(t.Context()); !errors.Is(err, offstage.ErrNotFound) {
			t.Errorf("waiting for no job: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := client.Receipt(3).Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting too long: %v", err)
		}
		store.err = offstage.ErrClosed
		if _, err := client.Receipt(3).Wait(t.Context()); !errors.Is(err, offstage.ErrClosed) {
			t.Errorf("waiting on a closed store: %v", err)
		}
	})
}

// telling is a store that also says when jobs have ended.
type telling struct {
	endings
	watches atomic.Int64
	fails   atomic.Int64 // so many watches to come fail
	bell    chan struct{}
}

func (s *telling) WatchEnds(ctx context.Context, ready, wake func()) error {
	s.watches.Add(1)
	if s.fails.Add(-1) >= 0 {
		return &offstage.StoreError{Class: offstage.FaultDown, Op: "watch", Err: errors.New("down")}
	}
	ready()
	for {
		select {
		case <-s.bell:
			wake()
		case <-ctx.Done():
			return nil
		}
	}
}

// Where the store tells of ends, a thousand waiters share one look when it does,
// which comes at once, and one a second besides; the watch ends with them.
func TestWaitersAreWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var over atomic.Bool
		store := &telling{bell: make(chan struct{})}
		store.known = func(id offstage.ID) (offstage.Ended, bool) {
			return offstage.Ended{ID: id, State: offstage.Completed}, over.Load()
		}
		store.fails.Store(1)
		client := offstage.NewClient(store)
		const waiters = 1000
		late := make(chan time.Duration, waiters)
		var end time.Time
		for i := range waiters {
			go func() {
				if _, err := client.Receipt(offstage.ID(i/2 + 1)).Wait(t.Context()); err != nil {
					t.Error(err)
				}
				late <- time.Since(end)
			}()
		}
		<-time.After(time.Minute + 123*time.Millisecond)
		looks := store.looks.Load()
		// While it cannot tell, 5 s at 4 looks a second; then one a second; and the
		// quick ones twice.
		if looks > 20+60+40 {
			t.Errorf("%d looks in a minute in which nothing has ended", looks)
		}
		end = time.Now()
		over.Store(true)
		store.bell <- struct{}{}
		for range waiters {
			if d := <-late; d > 5*time.Millisecond {
				t.Fatalf("told %v after the end", d)
			}
		}
		if more := store.looks.Load() - looks; more != 1 {
			t.Errorf("%d looks for one end", more)
		}
		synctest.Wait() // the bubble ends only when the watch has
		if watches := store.watches.Load(); watches != 2 {
			t.Errorf("%d watches, of which the first failed; want 2", watches)
		}
	})
}

// Who waits for little does not have the store watched.
func TestShortWaitsWatchNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		store := &telling{}
		store.known = func(id offstage.ID) (offstage.Ended, bool) {
			return offstage.Ended{ID: id, State: offstage.Completed}, time.Since(start) > 30*time.Millisecond
		}
		if _, err := offstage.NewClient(store).Receipt(1).Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if watches := store.watches.Load(); watches != 0 {
			t.Errorf("%d watches for a wait of 30 ms", watches)
		}
	})
}
