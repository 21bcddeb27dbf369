package offstage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

// sights is a store that knows only where jobs stand.
type sights struct {
	offstage.Store
	looks atomic.Int64
	known func(offstage.ID) (offstage.JobInfo, bool)
	err   func() error
}

func (s *sights) Look(_ context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	s.looks.Add(1)
	if s.err != nil {
		if err := s.err(); err != nil {
			return nil, err
		}
	}
	var found []offstage.JobInfo
	for _, id := range ids {
		if info, ok := s.known(id); ok {
			info.ID = id
			found = append(found, info)
		}
	}
	return found, nil
}

// A thousand followers together cost one look per interval, and each hears every
// state of its job.
func TestFollowersShareTheirLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		store := &sights{known: func(offstage.ID) (offstage.JobInfo, bool) {
			passed := time.Since(start)
			switch {
			case passed < 10*time.Second:
				return offstage.JobInfo{State: offstage.Ready}, true
			case passed < 50*time.Second:
				done := int64(passed / (10 * time.Second))
				progress := &offstage.ProgressInfo{Run: 1, Done: done, At: start.Add(time.Duration(done))}
				return offstage.JobInfo{State: offstage.Running, Run: 1, Progress: progress}, true
			}
			return offstage.JobInfo{State: offstage.Completed, Run: 1}, true
		}}
		client := offstage.NewClient(store)
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				follower := client.Follow(offstage.ID(i/2 + 1))
				defer follower.Close()
				heard := 0
				for {
					info, err := follower.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if heard++; info.State.Terminal() {
						break
					}
				}
				if heard != 6 { // ready, four steps, completed
					t.Errorf("a follower heard of %d changes, want 6", heard)
				}
			})
		}
		group.Wait()
		// 50 s at 10 looks a second, and one for those who came first.
		if looks := store.looks.Load(); looks > 502 {
			t.Errorf("%d looks in 50 s for 1,000 followers", looks)
		}
		before := store.looks.Load()
		<-time.After(time.Minute)
		if looks := store.looks.Load(); looks != before {
			t.Errorf("%d looks while nobody follows", looks-before)
		}
	})
}

// A follower outlives failures of the store and the end of a context, and learns
// that its job is gone, or the store closed.
func TestFollowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var failing error
		exists := true
		set := func(err error, there bool) { mu.Lock(); failing, exists = err, there; mu.Unlock() }
		store := &sights{
			known: func(offstage.ID) (offstage.JobInfo, bool) {
				mu.Lock()
				defer mu.Unlock()
				return offstage.JobInfo{State: offstage.Ready}, exists
			},
			err: func() error { mu.Lock(); defer mu.Unlock(); return failing },
		}
		client := offstage.NewClient(store)
		follower := client.Follow(1)
		defer follower.Close()
		if info, err := follower.Next(t.Context()); err != nil || info.State != offstage.Ready {
			t.Errorf("at first: %v, %v", info.State, err)
		}
		set(&offstage.StoreError{Class: offstage.FaultDown, Op: "look", Err: errors.New("down")}, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := follower.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the store is down: %v", err)
		}
		set(nil, false)
		if _, err := follower.Next(t.Context()); !errors.Is(err, offstage.ErrNotFound) {
			t.Errorf("when the job is gone: %v", err)
		}
		set(offstage.ErrClosed, false)
		closed := client.Follow(2)
		defer closed.Close()
		if _, err := closed.Next(t.Context()); !errors.Is(err, offstage.ErrClosed) {
			t.Errorf("on a closed store: %v", err)
		}
		client.Follow(3).Close() // it never began
	})
}

// named is the simplest job.
type named struct{}

func (named) Kind() string { return "named" }

func ExampleClient_Follow() {
	ctx := context.Background()
	client := offstage.NewClient(offstagetest.NewStore())
	receipt, err := client.Enqueue(ctx, named{})
	if err != nil {
		panic(err)
	}
	follower := client.Follow(receipt.ID)
	defer follower.Close()
	for {
		job, err := follower.Next(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Println(job.State)
		if job.State.Terminal() {
			return
		}
		if _, err := client.Cancel(ctx, job.ID); err != nil { // whatever happens elsewhere
			panic(err)
		}
	}
	// Output:
	// ready
	// cancelled
}

func ExampleThen() {
	ctx := context.Background()
	client := offstage.NewClient(offstagetest.NewStore())
	receipt, err := client.Enqueue(ctx, named{}, offstage.Then(named{}, offstage.InQueue("mail")))
	if err != nil {
		panic(err)
	}
	show := func() {
		page, err := client.List(ctx, offstage.Filter{Queue: "mail"})
		if err != nil {
			panic(err)
		}
		job := page.Jobs[0]
		fmt.Println("the follower of job", offstage.Followed(job.Facts), "is", job.State)
	}
	show()
	if _, err := client.Cancel(ctx, receipt.ID); err != nil { // it may end in any way
		panic(err)
	}
	show()
	// Output:
	// the follower of job 1 is blocked
	// the follower of job 1 is ready
}
