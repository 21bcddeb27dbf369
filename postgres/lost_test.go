package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgserver"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/internal/tcpproxy"
	"github.com/offstagehq/offstage/postgres"
)

// cutOff is a store whose connections go through a proxy.
type cutOff struct {
	*testing.T
	*postgres.Store
	proxy *tcpproxy.Proxy
}

func newCutOff(t *testing.T) *cutOff {
	t.Helper()
	db := pgtest.Open(t)
	proxy, err := tcpproxy.Start(db.Cluster.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	through, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	through.Host = proxy.Addr()
	return &cutOff{t, open(t, through.String()), proxy}
}

// open opens a store for the time of the test.
func open(t *testing.T, url string, options ...postgres.Option) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// lose keeps the answer to the next transaction with such a statement from the
// store, though the server commits it. The returned function makes sure that it
// struck.
func (c *cutOff) lose(statement string) (struck func()) {
	before := c.proxy.Struck()[tcpproxy.FaultCutAfter]
	var once sync.Once
	c.proxy.CutAfter(func(sql string) (hit bool) {
		if strings.Contains(sql, statement) {
			once.Do(func() { hit = true })
		}
		return hit
	})
	return func() {
		c.Helper()
		c.proxy.CutAfter(nil)
		if n := c.proxy.Struck()[tcpproxy.FaultCutAfter] - before; n != 1 {
			c.Errorf("%d answers were lost, want 1: the test proves nothing", n)
		}
	}
}

func (c *cutOff) jobs() int {
	c.Helper()
	page, err := c.List(c.Context(), offstage.Filter{Limit: 1000})
	if err != nil {
		c.Fatal(err)
	}
	return len(page.Jobs)
}

func echo() offstage.NewJob {
	return offstage.NewJob{Kind: "echo", Queue: "default", Priority: 5, Args: []byte(`{}`)}
}

func unique(key string, mode offstage.UniqueMode) offstage.NewJob {
	job := echo()
	job.Unique = &offstage.UniqueKey{Key: []byte(fmt.Sprintf("%16s", key)), Mode: mode}
	return job
}

// An enqueue whose answer is lost is asked about, and sent again where it was not
// done: its caller learns nothing of it, and there is one job.
func TestAnEnqueueWhoseAnswerIsLostIsOneJob(t *testing.T) {
	insert := func(jobs ...offstage.NewJob) func(*cutOff) (int, error) {
		return func(c *cutOff) (int, error) {
			inserted, err := c.Insert(c.Context(), jobs)
			for _, in := range inserted {
				if _, err := c.Get(c.Context(), in.ID); err != nil || in.Existed {
					c.Errorf("enqueued %+v, which is to be found: %v", in, err)
				}
			}
			return len(inserted), err
		}
	}
	ways := map[string]func(*cutOff) (int, error){
		"one":          insert(echo()),
		"several":      insert(echo(), echo(), echo()),
		"a large call": insert(slices.Repeat([]offstage.NewJob{echo()}, 600)...),
		"unique":       insert(unique("a", offstage.Skip)),
		"mixed":        insert(echo(), unique("b", offstage.Replace), unique("c", offstage.KeepLast)),
		"a group": func(c *cutOff) (int, error) {
			var all sync.WaitGroup
			errs := make([]error, 20)
			for i := range errs {
				all.Go(func() { _, errs[i] = insert(echo())(c) })
			}
			all.Wait()
			for _, err := range errs {
				if err != nil {
					return 0, err
				}
			}
			return len(errs), nil
		},
		"unique, a group": func(c *cutOff) (int, error) {
			var all sync.WaitGroup
			errs := make([]error, 20)
			for i := range errs {
				all.Go(func() { _, errs[i] = insert(unique(fmt.Sprint(i), offstage.Replace))(c) })
			}
			all.Wait()
			return len(errs), errors.Join(errs...)
		},
		"a sequence": func(c *cutOff) (int, error) {
			n, err := c.InsertSeq(c.Context(), func(yield func(offstage.NewJob, error) bool) {
				for range 1500 {
					if !yield(echo(), nil) {
						return
					}
				}
			})
			return int(n) / 3, err // of which the list shows so many
		},
	}
	for name, enqueue := range ways {
		t.Run(name, func(t *testing.T) {
			c := newCutOff(t)
			struck := c.lose("INSERT INTO offstage.job")
			n, err := enqueue(c)
			struck()
			if err != nil {
				t.Fatalf("the caller was told of it: %v", err)
			}
			if got := c.jobs(); name != "a sequence" && got != n || name == "a sequence" && got != 1000 {
				t.Errorf("there are %d jobs, %d were enqueued", got, n)
			}
		})
	}
}

// claimed registers a worker and lets it claim the ready jobs.
func (c *cutOff) claimed(seq int64) (offstage.WorkerID, []offstage.ClaimedJob, error) {
	c.Helper()
	worker, err := c.Register(c.Context(), offstage.WorkerInfo{Name: "test", Queues: []string{"default"}})
	if err != nil {
		c.Fatal(err)
	}
	claim, err := c.Claim(c.Context(), offstage.ClaimRequest{
		Worker: worker, Seq: seq, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 10}},
	})
	return worker, claim.Jobs, err
}

// A completion whose answer is lost is sent again, by the store or by its
// worker, and is known for what it is.
func TestACompletionWhoseAnswerIsLostCounts(t *testing.T) {
	for name, job := range map[string]offstage.NewJob{"at once": echo(), "in steps": unique("a", offstage.Skip)} {
		t.Run(name, func(t *testing.T) {
			c := newCutOff(t)
			if _, err := c.Insert(t.Context(), []offstage.NewJob{job}); err != nil {
				t.Fatal(err)
			}
			worker, jobs, err := c.claimed(1)
			if err != nil || len(jobs) != 1 {
				t.Fatalf("claimed %d jobs, %v", len(jobs), err)
			}
			request := offstage.FinishRequest{Worker: worker, Release: []int64{1}, Results: []offstage.Result{{
				Job: jobs[0].ID, Run: 1, Claim: 1, Outcome: offstage.OutcomeCompleted, Next: offstage.Completed,
				UniqueKey: jobs[0].UniqueKey, Started: true,
			}}}
			struck := c.lose("INSERT INTO offstage.attempt")
			verdicts, err := c.Finish(t.Context(), request)
			if offstage.ClassOf(err) == offstage.FaultUnknown && err != nil {
				verdicts, err = c.Finish(t.Context(), request)
			}
			struck()
			if err != nil || verdicts[0].Kind != offstage.Already {
				t.Errorf("the verdict is %v, %v; want Already", verdicts, err)
			}
			details, err := c.Get(t.Context(), jobs[0].ID)
			if err != nil || details.State != offstage.Completed || len(details.Attempts) != 1 {
				t.Errorf("it is %s with %d attempts, %v", details.State, len(details.Attempts), err)
			}
		})
	}
}

// A claim whose answer is lost is an error, is not sent again, and can be found.
func TestAClaimWhoseAnswerIsLostIsHeld(t *testing.T) {
	c := newCutOff(t)
	if _, err := c.Insert(t.Context(), []offstage.NewJob{echo(), echo()}); err != nil {
		t.Fatal(err)
	}
	struck := c.lose("INSERT INTO offstage.claim")
	worker, _, err := c.claimed(7)
	struck()
	if err == nil || offstage.ClassOf(err) != offstage.FaultUnknown {
		t.Fatalf("the claim answered %v; want a FaultUnknown", err)
	}
	beat, err := c.Beat(t.Context(), worker)
	if err != nil || !slices.Equal(beat.Held, []int64{7}) {
		t.Errorf("a beat shows claims %v, %v; want 7", beat.Held, err)
	}
	held, err := c.Claims(t.Context(), worker)
	if err != nil || len(held) != 1 || len(held[0].Jobs) != 2 {
		t.Errorf("held: %v, %v; want two jobs of one claim", held, err)
	}
}

// What was acknowledged just before the server was killed is there afterwards.
func TestAcknowledgedInsertsOutliveAKill(t *testing.T) {
	cluster := pgtest.Start(t, pgserver.Options{})
	if err := cluster.CreateDatabase(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	store := open(t, cluster.URL("test"))
	var acked []offstage.ID
	for range 3 {
		for range 20 {
			inserted, err := store.Insert(t.Context(), []offstage.NewJob{echo()})
			if err != nil {
				t.Fatal(err)
			}
			acked = append(acked, inserted[0].ID)
		}
		if err := cluster.Kill9(); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, id := range acked {
			if got, err := get(t, store, id); err != nil || got.State != offstage.Ready {
				t.Errorf("acknowledged job %d: %s, %v", id, got.State, err)
			}
		}
	}
}

// get looks at a job, again where the server had ended the connection.
func get(t *testing.T, store *postgres.Store, id offstage.ID) (offstage.Details, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		details, err := store.Get(ctx, id)
		if err == nil || ctx.Err() != nil || errors.Is(err, offstage.ErrNotFound) {
			return details, err
		}
	}
}
