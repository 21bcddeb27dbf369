package status_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/status"
	"github.com/offstagehq/offstage/worker"
)

// How much goes on in BenchmarkStreams.
const (
	streams = 1000 // each of a job of its own that runs
	perSec  = 100  // reports of progress, by one job after the other
)

// counted counts what the web process asks of the store.
type counted struct {
	offstage.Store
	looks, gets atomic.Int64
}

func (c *counted) Look(ctx context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	c.looks.Add(1)
	return c.Store.Look(ctx, ids)
}

func (c *counted) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, id)
}

// placed counts how often each job's place is looked at.
type placed struct {
	offstage.Store
	mu    sync.Mutex
	times map[offstage.ID]int
}

func (p *placed) Place(ctx context.Context, id offstage.ID, limit int) (offstage.Place, error) {
	p.mu.Lock()
	p.times[id]++
	p.mu.Unlock()
	return p.Store.Place(ctx, id, limit)
}

// However many wait for their turn on streams, a process looks at about ten places
// a second, and at each of them again and again; all are told when they may start.
func TestStreamsShareTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &placed{Store: offstagetest.NewStore(), times: map[offstage.ID]int{}}
		r := newRig(t, store, status.Config{})
		const streams, leaving = 400, 100
		var jobs []offstage.ID
		var told []*recorder
		var leave []func()
		for range streams {
			path := r.accepted("nothing")
			jobs = append(jobs, r.status(path).ID)
			c, _, over := r.stream(path)
			told, leave = append(told, c), append(leave, over)
			pass(10 * time.Millisecond)
		}
		for _, job := range jobs[:leaving] {
			pass(time.Second)
			if _, err := r.client.Cancel(r.Context(), job); err != nil {
				t.Fatal(err)
			}
		}
		pass(20 * time.Second)
		for _, over := range leave {
			over()
		}
		looks := -2 * streams // by r.status, and when they begin
		for _, times := range store.times {
			looks += times
		}
		for _, job := range jobs[leaving:] {
			if times := store.times[job] - 2; times < 2 {
				t.Errorf("job %d, which waits, was looked at %d times in two minutes", job, times)
			}
		}
		if looks > 1200 {
			t.Errorf("%d looks at places in two minutes", looks)
		}
		for i, c := range told[leaving:] {
			events := c.events()
			if !slices.ContainsFunc(events, func(e sent) bool { return strings.Contains(e.data, `"starts_at":"`) }) {
				t.Errorf("stream %d is not told when its job may start: %v", leaving+i, events)
			}
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkStreams measures how long a report of progress takes from the handler
// to the browser, over HTTP and between two handles on the store, as of two
// processes. An operation is one report: -benchtime 2000x is 20 s.
func BenchmarkStreams(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "jobs.db")
		open := func() offstage.Store {
			store, err := sqlite.Open(b.Context(), path)
			if err != nil {
				b.Fatal(err)
			}
			return store
		}
		benchStreams(b, open(), open())
	})
	b.Run("postgres", func(b *testing.B) {
		db := pgtest.Open(b)
		open := func() offstage.Store {
			store, err := postgres.Open(b.Context(), db.URL)
			if err != nil {
				b.Fatal(err)
			}
			return store
		}
		benchStreams(b, open(), open())
	})
}

func benchStreams(b *testing.B, webStore, workStore offstage.Store) {
	web := &counted{Store: webStore}
	running, release := runningJobs(b, workStore)
	client := offstage.NewClient(web)
	flows, err := status.New(b.Context(), client, status.Config{})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(flows)
	ids, contexts := startJobs(b, offstage.NewClient(workStore), running)
	var mu sync.Mutex
	var late []time.Duration
	saw := func(d time.Duration) { mu.Lock(); late = append(late, d); mu.Unlock() }
	ctx, leave := context.WithCancel(context.Background())
	var group sync.WaitGroup
	connected := make(chan bool, streams)
	for _, id := range ids {
		path := flows.Link(httptest.NewRequest("GET", "/", nil), id)
		group.Go(func() { listen(ctx, b, server.URL+path+"/events", connected, saw) })
	}
	for range ids {
		<-connected
	}
	looks, gets, cpu, began := web.looks.Load(), web.gets.Load(), cpuTime(), time.Now()
	pace := time.NewTicker(time.Second / perSec)
	for n := 0; b.Loop(); n++ {
		<-pace.C
		offstage.Progress(contexts[n%streams], int64(n), 0, strconv.FormatInt(time.Now().UnixNano(), 10))
	}
	pace.Stop()
	took := time.Since(began).Seconds()
	b.ReportMetric(float64(web.looks.Load()-looks)/took, "looks/s")
	b.ReportMetric(float64(web.gets.Load()-gets)/took, "gets/s")
	b.ReportMetric((cpuTime()-cpu).Seconds()/took, "cpus")
	leave()
	group.Wait()
	release()
	server.Close()
	for _, store := range []offstage.Store{webStore, workStore} {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	}
	slices.Sort(late)
	if len(late) > 0 {
		b.ReportMetric(float64(late[len(late)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(late[len(late)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(len(late))/float64(b.N), "seen/report")
	}
}

// runningJobs runs a worker whose jobs hand over their contexts and wait.
func runningJobs(b *testing.B, store offstage.Store) (running chan context.Context, release func()) {
	running = make(chan context.Context, streams)
	w, err := worker.New(store, worker.Config{
		Logger: slog.New(slog.DiscardHandler),
		Pools:  []worker.Pool{{Name: "all", Queues: []string{offstage.DefaultQueue}, Slots: streams}},
	})
	if err != nil {
		b.Fatal(err)
	}
	free := make(chan struct{})
	worker.Handle(w, func(ctx context.Context, _ *offstage.Job[build]) error {
		running <- ctx
		<-free
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return running, func() {
		close(free)
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// startJobs starts the jobs one by one, so that each context belongs to its id.
func startJobs(b *testing.B, client *offstage.Client, running chan context.Context) ([]offstage.ID, []context.Context) {
	var ids []offstage.ID
	var contexts []context.Context
	for range streams {
		receipt, err := client.Enqueue(context.Background(), build{})
		if err != nil {
			b.Fatal(err)
		}
		ids, contexts = append(ids, receipt.ID), append(contexts, <-running)
	}
	return ids, contexts
}

// listen is a browser: it reads a stream until ctx ends.
func listen(ctx context.Context, b *testing.B, url string, connected chan bool, saw func(time.Duration)) {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		b.Error(err)
		return
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(req)
	if err != nil {
		b.Error(err)
		connected <- false
		return
	}
	defer func() { _ = answer.Body.Close() }() // it ends with ctx
	first := true
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if first {
			first = false
			connected <- true
			continue
		}
		var event struct{ Progress struct{ Message string } }
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			b.Error(fmt.Errorf("%s: %w", data, err))
			return
		}
		if at, err := strconv.ParseInt(event.Progress.Message, 10, 64); err == nil {
			saw(time.Since(time.Unix(0, at)))
		}
	}
}
