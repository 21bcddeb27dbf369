//go:build unix

package demo

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the invoices' table

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/demo/device"
	"github.com/offstagehq/offstage/internal/pgtest"
	"github.com/offstagehq/offstage/postgres"
	"github.com/offstagehq/offstage/sqlite"
	"github.com/offstagehq/offstage/worker"
)

// The environment of a child process that bills, and the number of kills.
const (
	billStore   = "OFFSTAGE_TEST_BILL_STORE"   // a path or postgres://
	billControl = "OFFSTAGE_TEST_BILL_CONTROL" // the parent's URL
	billKills   = "OFFSTAGE_BILLING_KILLS"
)

// billSites opens the store and the tables of one place.
func billSites(ctx context.Context, place string) (offstage.Store, *Tables, error) {
	if !strings.Contains(place, "://") {
		store, err := sqlite.Open(ctx, place)
		if err != nil {
			return nil, nil, err
		}
		tables, err := SQLiteTables(ctx, store.DB())
		return store, tables, err
	}
	store, err := postgres.Open(ctx, place)
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("pgx", place)
	if err != nil {
		return nil, nil, err
	}
	tables, err := PostgresTables(ctx, db)
	return store, tables, err
}

func init() {
	childMain = func() bool {
		place := os.Getenv(billStore)
		if place != "" {
			fmt.Fprintln(os.Stderr, billChild(place))
		}
		return place != ""
	}
}

// billLease is short, so that a dead child's job runs again soon, and long enough for
// a child to live on a machine that does other things as well.
const billLease = 500 * time.Millisecond

// billChild is a worker that bills until it is killed. It tells its parent where
// it is, and goes on when it is answered.
func billChild(place string) error {
	ctx := context.Background()
	store, tables, err := billSites(ctx, place)
	if err != nil {
		return err
	}
	control := os.Getenv(billControl)
	tell := func(job offstage.ID, point string) {
		response, err := http.Get(fmt.Sprintf("%s/at?job=%d&point=%s", control, job, url.QueryEscape(point)))
		if err == nil {
			err = response.Body.Close()
		}
		if err != nil {
			panic(err)
		}
	}
	b := biller{tables: tables, url: control, at: tell}
	w, err := worker.New(store, worker.Config{
		Lease: billLease, Pools: []worker.Pool{{Queues: []string{"billing"}, Slots: 1}},
	})
	if err != nil {
		return err
	}
	worker.Handle(w, b.bill, worker.Retry(billRetry))
	return w.Run(ctx)
}

// killer is the parent: it is the services, hears where the child is, and kills
// it there.
type killer struct {
	*testing.T
	place  string
	store  offstage.Store
	tables *Tables
	fleet  *device.Fleet
	url    string

	mu     sync.Mutex
	child  *os.Process    // guarded by mu: nil while none lives
	most   int            // kills at one point in one mode
	left   int            // guarded by mu: kills to come
	counts map[string]int // guarded by mu: kills by point and mode
	steps  map[string]int // guarded by mu: how often each step of each job was begun
}

// at hears that a job has come to a point, and reports whether the child was
// killed there.
func (k *killer) at(id offstage.ID, point string) bool {
	k.check(id, point)
	lost, others := k.deaths(id)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 || lost >= offstage.MaxLost || k.child == nil {
		return false
	}
	for _, mode := range modes {
		key := mode + " " + point
		if mode == "after" && others >= offstage.MaxLost || k.counts[key] >= k.most || k.counts[key] > k.least(point) {
			continue
		}
		k.counts[key]++
		k.left--
		k.kill(mode)
		return mode == "at"
	}
	return false
}

// deaths returns what would be the number of deaths in a row of this job if the
// child died now, and the largest of those to which the child may come before it
// is dead. One more is poison.
func (k *killer) deaths(id offstage.ID) (lost, others int) {
	ctx := context.Background()
	job, err := k.store.Get(ctx, id)
	if err != nil {
		k.Errorf("get job %d: %v", id, err)
	}
	lost = job.Lost + 1
	if slices.ContainsFunc(job.Steps, func(step offstage.StepInfo) bool { return step.Run == job.Run }) {
		lost = 1
	}
	page, err := k.store.List(ctx, offstage.Filter{Limit: 1000})
	if err != nil {
		k.Errorf("list jobs: %v", err)
	}
	for _, other := range page.Jobs {
		if other.ID != id && !other.State.Terminal() {
			others = max(others, other.Lost+1)
		}
	}
	return lost, others
}

// modes are how a child dies at a point: there, or a moment later, perhaps while
// the store writes.
var modes = []string{"at", "after"}

// maxLate bounds that moment.
const maxLate = 3 * time.Millisecond

// points are where a child is killed, by step: between the steps, inside them, and
// in the service that they call.
var points = map[string]string{
	"invoice": "next begun written remembered committed",
	"charge":  "next begun received acted answered",
	"mail":    "next begun received acted answered end",
}

// least is the smallest number of kills at any point of the same step, so that all
// get as many.
func (k *killer) least(point string) int {
	step, _, _ := strings.Cut(point, ":")
	least := 1 << 30
	for _, other := range strings.Fields(points[step]) {
		for _, mode := range modes {
			least = min(least, k.counts[mode+" "+step+": "+other])
		}
	}
	return least
}

// kill is called with mu held.
func (k *killer) kill(mode string) {
	child := k.child
	k.child = nil
	die := func() { _ = child.Signal(syscall.SIGKILL) }
	if mode == "at" {
		die()
		return
	}
	time.AfterFunc(rand.N(maxLate), die)
}

// check finds a step that is begun though its result is stored.
func (k *killer) check(job offstage.ID, point string) {
	step, begun := strings.CutSuffix(point, ": begun")
	if step == "invoice" || point == "invoice: written" {
		step, begun = "invoice", point == "invoice: written"
	}
	if !begun {
		return
	}
	k.mu.Lock()
	k.steps[step]++
	k.mu.Unlock()
	info, err := k.store.Get(context.Background(), job)
	if err != nil {
		k.Errorf("get job %d: %v", job, err)
	}
	for _, stored := range info.Steps {
		if stored.Name == step {
			k.Errorf("step %s of job %d is done again by attempt %d, though attempt %d stored its result", step, job, info.Run, stored.Run)
		}
	}
}

// ServeHTTP is the control and the services, whose moments are points as well.
func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/at" {
		id, err := strconv.ParseInt(r.URL.Query().Get("job"), 10, 64)
		if err != nil || k.at(offstage.ID(id), r.URL.Query().Get("point")) {
			<-r.Context().Done() // who asked is dead
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // who asked is dead
	}
	var job offstage.ID
	if _, err := fmt.Sscanf(string(body), `{"command":"bill %d:`, &job); err != nil {
		k.Errorf("a service was sent %s: %v", body, err)
	}
	step := "charge"
	if strings.Contains(r.URL.Path, postOffice) {
		step = "mail"
	}
	if k.at(job, step+": received") {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	k.fleet.ServeHTTP(answer, r)
	if k.at(job, step+": acted") {
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // who asked may be dead
}

// work keeps a child alive until all jobs have ended.
func (k *killer) work() (children int) {
	for !k.ended() {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), billStore+"="+k.place, billControl+"="+k.url)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			k.Fatal(err)
		}
		children++
		k.mu.Lock()
		k.child = child.Process
		k.mu.Unlock()
		died := make(chan error, 1)
		go func() { died <- child.Wait() }()
		k.watch(child.Process, died)
		k.mu.Lock()
		k.child = nil
		k.mu.Unlock()
	}
	return children
}

// watch returns when the child has died, of whatever; when nothing is left to do
// it kills it.
func (k *killer) watch(child *os.Process, died <-chan error) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	patience := time.NewTimer(3 * patient)
	defer patience.Stop()
	for {
		select {
		case <-died:
			return
		case <-look.C:
			if k.ended() {
				_ = child.Signal(syscall.SIGKILL)
			}
		case <-patience.C:
			_ = child.Signal(syscall.SIGKILL)
			<-died
			k.Fatal("a child neither died nor finished the bills")
		}
	}
}

// ended reports whether all bills have.
func (k *killer) ended() bool {
	page, err := k.store.List(context.Background(), offstage.Filter{Kind: BillCustomer{}.Kind(), Limit: 1000})
	if err != nil {
		k.Fatal(err)
	}
	return !slices.ContainsFunc(page.Jobs, func(job offstage.JobInfo) bool { return !job.State.Terminal() })
}

// audit holds the invoices and what the services did against the bills.
func (k *killer) audit(ids []offstage.ID) {
	ctx := context.Background()
	invoices, err := k.tables.countInvoices(ctx, 0)
	if err != nil {
		k.Fatal(err)
	}
	var client device.Client
	orders := map[string]map[offstage.ID]int{}
	for _, service := range []string{cardProvider, postOffice} {
		server := httptest.NewServer(k.fleet)
		state, err := client.State(ctx, server.URL, service)
		server.Close()
		if err != nil {
			k.Fatal(err)
		}
		orders[service] = ordersIn(state)
	}
	for _, id := range ids {
		job, err := k.store.Get(ctx, id)
		if err != nil {
			k.Fatal(err)
		}
		if n := [3]int{invoices[id], orders[cardProvider][id], orders[postOffice][id]}; n != [3]int{1, 1, 1} || job.State != offstage.Completed || len(job.Steps) != 3 {
			k.Errorf("job %d is %s with %d steps; invoices, charges and mails: %v", id, job.State, len(job.Steps), n)
		}
	}
}

// allPoints is how many kills it takes to kill at each point in both modes.
const allPoints = 2 * (5 + 5 + 6)

// killBilling bills customers while the worker is killed again and again, at every
// point between and inside the steps.
func killBilling(t *testing.T, place string, kills int) {
	if text := os.Getenv(billKills); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", billKills, err)
		}
	}
	k := &killer{T: t, place: place, left: kills, most: (kills + allPoints - 1) / allPoints, counts: map[string]int{}, steps: map[string]int{}}
	var err error
	if k.store, k.tables, err = billSites(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(k.tables.db.Close(), k.store.Close()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	if k.fleet, err = device.New(device.Options{Dir: t.TempDir(), Seed: 1}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(k)
	defer server.Close()
	k.url = server.URL
	client := offstage.NewClient(k.store)
	var ids []offstage.ID
	for n := range kills + 2 { // a third death in a row without progress would be poison, so each is killed a few times only
		receipt, err := client.Enqueue(t.Context(), BillCustomer{Customer: fmt.Sprint("customer-", n), Cents: 100})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipt.ID)
	}
	children := k.work()
	k.audit(ids)
	if k.left > 0 {
		t.Errorf("only %d of %d kills were made", kills-k.left, kills)
	}
	for step := range points {
		if k.least(step+":") == 0 && kills >= allPoints {
			t.Errorf("there are points in step %s at which nothing was killed: %v", step, k.counts)
		}
	}
	t.Logf("%d bills, %d kills, %d child processes; steps begun: %v", len(ids), kills-k.left, children, k.steps)
	for _, point := range slices.Sorted(maps.Keys(k.counts)) {
		t.Logf("%3d kills %s", k.counts[point], point)
	}
	if err := k.fleet.Close(); err != nil {
		t.Error(err)
	}
}

func TestBillingKilledEverywhere(t *testing.T) {
	killBilling(t, filepath.Join(t.TempDir(), "bills.db"), allPoints)
}

func TestBillingKilledEverywhereOnPostgres(t *testing.T) {
	killBilling(t, pgtest.Open(t).URL, allPoints/2)
}
