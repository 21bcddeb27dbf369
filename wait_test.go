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
