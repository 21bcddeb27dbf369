package faultstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/faultstore"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

// httpMethods are called for users who ask for jobs and follow them.
var httpMethods = []string{"InsertFlow", "Requested", "Setting", "Get", "Look", "Line", "Place", "Stats"}

// site is an application with one route, whose users ask again until they get an
// answer.
type site struct {
	*testing.T
	http.Handler
	flows *status.Flows
}

// order is what a user asks for.
const order = "order"

func newSite(t *testing.T, client *offstage.Client) *site {
	s := &site{T: t}
	insist(t, "open the flows", func() (err error) {
		s.flows, err = status.New(t.Context(), client, status.Config{
			Logger: discard, Limits: map[string]status.Limit{offstage.DefaultQueue: {Depth: 3}},
		})
		return err
	})
	mux := http.NewServeMux()
	mux.Handle("/status/", s.flows)
	mux.Handle("POST /orders", s.flows.Once(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.flows.Accept(w, r, offstage.Named(order, r.FormValue("n")))
	})))
	s.Handler = mux
	return s
}

// send sends a request and returns the answer; what is not one is an error.
func (s *site) send(method, path, form, key string) (*httptest.ResponseRecorder, error) {
	r := httptest.NewRequestWithContext(s.Context(), method, path, strings.NewReader(form))
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code >= 300 {
		return w, fmt.Errorf("%d: %s", w.Code, w.Body)
	}
	return w, nil
}

// order orders under a key and follows its job to the end; it answers the
// address of the job's status.
func (s *site) order(n int) (location string) {
	form, key := fmt.Sprint("n=", n), fmt.Sprint("key-", n)
	insist(s.T, "order", func() error {
		w, err := s.send(http.MethodPost, "/orders", form, key)
		location = w.Header().Get("Location")
		return err
	})
	insist(s.T, "see the order's end", func() error {
		w, err := s.send(http.MethodGet, location, "", "")
		if err != nil {
			return err
		}
		var seen status.Status
		if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil {
			s.Error(err)
		}
		if seen.State != offstage.Completed {
			return fmt.Errorf("it is %s", seen.State)
		}
		return nil
	})
	return location
}

// repeat orders again what was ordered, and expects the same job.
func (s *site) repeat(n int, location string) {
	insist(s.T, "order again", func() error {
		w, err := s.send(http.MethodPost, "/orders", fmt.Sprint("n=", n), fmt.Sprint("key-", n))
		if err == nil && w.Header().Get("Location") != location {
			s.Errorf("order %d was answered with %s, and then with %s", n, location, w.Header().Get("Location"))
		}
		return err
	})
}

// playHTTP has users whose orders fill the queue, and a page of figures.
func playHTTP(t *testing.T, fault faultstore.Fault) {
	store := offstagetest.NewStore()
	faulty := faultstore.Wrap(store)
	client := offstage.NewClient(faulty)
	end := run(t, worker.Config{Pools: []worker.Pool{{Queues: []string{offstage.DefaultQueue}, Slots: 1}}}, func(w *worker.Worker) {
		worker.HandleNamed(w, order, func(ctx context.Context, _ *offstage.Job[string]) error {
			select {
			case <-time.After(2 * time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}, every(time.Second))
	}, store)
	faulty.Break(fault)
	healed := make(chan int)
	go func() {
		pass(lasts)
		healed <- faulty.Heal()
	}()
	s := newSite(t, client)
	var users sync.WaitGroup
	const orders = 8
	for n := range orders {
		users.Go(func() {
			location := s.order(n)
			s.repeat(n, location)
		})
		users.Go(func() { s.repeatWhileFull(n) })
	}
	users.Go(func() { s.follow(client, store) })
	users.Wait()
	if struck := <-healed; struck == 0 {
		t.Error("the fault never struck")
	}
	end()
	counts := map[string]int{}
	eachJob(t, offstage.NewClient(store), func(job offstage.JobInfo) { counts[string(job.Facts.Args)]++ })
	for n := range orders {
		if got := counts[fmt.Sprintf("%q", fmt.Sprint(n))]; got != 1 {
			t.Errorf("order %d has %d jobs", n, got)
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// repeatWhileFull sends an order twice at once, whatever the answer: a key that
// has its job is answered with it though the queue is full.
func (s *site) repeatWhileFull(n int) {
	for range 10 {
		_, _ = s.send(http.MethodPost, "/orders", fmt.Sprint("n=", n), fmt.Sprint("key-", n)) // whoever orders looks at the answer
		pass(time.Second)
	}
}

// follow looks at everything that a page of figures shows, and follows one job.
func (s *site) follow(client *offstage.Client, store offstage.Store) {
	var seen offstage.JobInfo
	insist(s.T, "find an order", func() error {
		page, err := offstage.NewClient(store).List(s.Context(), offstage.Filter{Limit: 1})
		if err != nil || len(page.Jobs) == 0 {
			return errors.Join(err, errors.New("there is none yet"))
		}
		seen = page.Jobs[0]
		return nil
	})
	follower := client.Follow(seen.ID)
	defer follower.Close()
	for !seen.State.Terminal() {
		var err error
		if seen, err = follower.Next(s.Context()); err != nil {
			s.Errorf("follow job %d: %v", seen.ID, err)
			return
		}
	}
	for range int(lasts / time.Second) {
		stats, err := client.Stats(s.Context())
		if err == nil && len(stats.Workers) != 1 {
			s.Errorf("there are %d workers", len(stats.Workers))
		}
		pass(time.Second)
	}
}
