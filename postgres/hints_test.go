package postgres

import (
	"context"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// stand is a store with one worker, and a connection of somebody else's.
type stand struct {
	*testing.T
	*Store
	url    string
	other  *pgx.Conn
	worker offstage.WorkerID
	seq    int64
	now    time.Time
}

// newStand opens a store with one connection for work: each new one would have
// it forget its hints.
func newStand(t *testing.T) *stand {
	t.Helper()
	return newStandOf(t, 1)
}

func newStandOf(t *testing.T, connections int) *stand {
	t.Helper()
	return standOn(t, pgtest.Open(t).URL, connections)
}

// newStandOn opens another store on the same database.
func newStandOn(t *testing.T, s *stand) *stand {
	t.Helper()
	return standOn(t, s.url, 1)
}

func standOn(t *testing.T, place string, connections int) *stand {
	t.Helper()
	address, err := url.Parse(place)
	if err != nil {
		t.Fatal(err)
	}
	query := address.Query()
	query.Set("pool_max_conns", strconv.Itoa(connections))
	address.RawQuery = query.Encode()
	s := &stand{T: t, url: place, now: time.Now()}
	if s.Store, err = Open(t.Context(), address.String(), WithClock(func() time.Time { return s.now })); err != nil {
		t.Fatal(err)
	}
	if s.other, err = pgx.Connect(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.other.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.worker, err = s.Register(t.Context(), offstage.WorkerInfo{Name: "test", Queues: []string{"default"}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func plain() offstage.NewJob {
	return offstage.NewJob{Kind: "echo", Queue: "default", Priority: 5, Args: []byte(`{}`)}
}

func (s *stand) insert(job offstage.NewJob) offstage.ID {
	s.Helper()
	inserted, err := s.Insert(s.Context(), []offstage.NewJob{job})
	if err != nil {
		s.Fatal(err)
	}
	return inserted[0].ID
}

// begin inserts a job in a transaction that stays open until commit is called.
func (s *stand) begin(job offstage.NewJob) (id offstage.ID, commit func()) {
	s.Helper()
	tx, err := s.other.Begin(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	within, err := s.Within(Tx(tx))
	if err != nil {
		s.Fatal(err)
	}
	inserted, err := within.Insert(s.Context(), []offstage.NewJob{job})
	if err != nil {
		s.Fatal(err)
	}
	return inserted[0].ID, func() {
		s.Helper()
		if err := tx.Commit(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *stand) request(sweep bool) offstage.ClaimRequest {
	s.seq++
	return offstage.ClaimRequest{
		Worker: s.worker, Seq: s.seq, Sweep: sweep,
		Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: 10}},
	}
}

// claim returns the ids of what a claim brings.
func (s *stand) claim(sweep bool) (ids []offstage.ID) {
	s.Helper()
	claim, err := s.Store.Claim(s.Context(), s.request(sweep))
	if err != nil {
		s.Fatal(err)
	}
	for _, job := range claim.Jobs {
		ids = append(ids, job.ID)
	}
	return ids
}

// wantWithin claims up to n times and wants the job to be among what comes.
func (s *stand) wantWithin(n int, id offstage.ID) {
	s.Helper()
	for range n {
		for _, got := range s.claim(false) {
			if got == id {
				return
			}
		}
	}
	s.Errorf("job %d is ready and was not found by %d claims", id, n)
}

// passed reports whether hints have passed a transaction that is still open.
func (s *stand) passed() bool {
	s.hints.mu.Lock()
	defer s.hints.mu.Unlock()
	for _, q := range s.hints.queues {
		if len(q.long) > 0 {
			return true
		}
		for _, l := range q.lanes {
			if l.key.xid > 0 && len(s.hints.marks) > 1 && l.key.xid >= s.hints.marks[len(s.hints.marks)-1].xmax {
				return true // or was watched by nobody
			}
		}
	}
	return false
}

// A transaction that stays open for long does not keep the hints back; when it
// has committed, the claim after the next one finds its job without a sweep.
func TestAJobThatIsCommittedLateIsFound(t *testing.T) {
	s := newStand(t)
	s.insert(plain())
	s.claim(false)
	late, commit := s.begin(plain())
	for !s.passed() { // they wait for it a quarter of a second
		s.insert(plain())
		s.claim(false)
	}
	commit()
	s.wantWithin(2, late)
}

// A transaction that has just begun keeps the hints back: its job has lost
// nothing by being committed later than others.
func TestAJobThatIsCommittedSoonIsFoundInItsPlace(t *testing.T) {
	s := newStand(t)
	s.insert(plain())
	s.claim(false)
	late, commit := s.begin(plain())
	s.insert(plain())
	s.claim(false)
	commit()
	s.wantWithin(1, late)
}

// hide makes a job that the store's hints hide: another fetch had it locked at
// the look that moved them, and failed then.
func (s *stand) hide() offstage.ID {
	s.Helper()
	s.insert(plain())
	s.claim(false)
	id := s.insert(plain())
	tx, err := s.other.Begin(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	if _, err := tx.Exec(s.Context(), `SELECT job FROM offstage.ready WHERE job = $1 FOR UPDATE`, int64(id)); err != nil {
		s.Fatal(err)
	}
	for range 2 {
		if got := s.claim(false); len(got) > 0 {
			s.Fatalf("claimed %v, which others have locked", got)
		}
	}
	if err := tx.Rollback(s.Context()); err != nil {
		s.Fatal(err)
	}
	if got := s.claim(false); len(got) > 0 {
		s.Fatalf("job %d is not hidden: the test proves nothing", id)
	}
	return id
}

func TestASweepFindsWhatAFailedFetchHid(t *testing.T) {
	s := newStand(t)
	id := s.hide()
	if got := s.claim(true); len(got) != 1 || got[0] != id {
		t.Errorf("a sweep found %v; want %d", got, id)
	}
}

// What others' hints hide is moved when it has been ready for long, by whoever sweeps;
// what has not is left where it is.
func TestASweepMovesWhatHasWaitedForLong(t *testing.T) {
	s := newStand(t)
	sweeper := newStandOn(t, s)
	id := s.hide()
	sweep := func() {
		t.Helper()
		request := sweeper.request(true)
		request.Pools[0].Slots = 0
		if _, err := sweeper.Store.Claim(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if got := s.claim(false); len(got) > 0 {
		t.Errorf("job %d was moved in its first seconds", id)
	}
	sweeper.now = sweeper.now.Add(time.Minute)
	sweep()
	s.wantWithin(1, id)
}

func TestAFailedClaimForgetsTheHints(t *testing.T) {
	s := newStand(t)
	id := s.hide()
	s.insert(plain())
	twice := s.request(false)
	twice.Seq = 1 // which is open
	if _, err := s.Store.Claim(t.Context(), twice); err == nil {
		t.Fatal("a seq was used twice")
	}
	s.wantWithin(1, id)
}

// After a failover the numbers of transactions may begin anew.
func TestHintsEndWithTheirConnections(t *testing.T) {
	s := newStand(t)
	id := s.hide()
	s.work.Reset()
	s.wantWithin(2, id)
}

// promoting takes the leadership, and returns a function that does what the leader
// does in a second.
func (s *stand) promoting() (promote func()) {
	s.Helper()
	term, err := s.Lead(s.Context(), s.worker, 10*time.Hour)
	if err != nil {
		s.Fatal(err)
	}
	return func() {
		s.Helper()
		s.now = s.now.Add(time.Second)
		if _, err := s.Chore(s.Context(), term, offstage.Promote, 100); err != nil {
			s.Fatal(err)
		}
	}
}

// A heartbeat says what is due while a look from the hint finds all there is.
func TestAHeartbeatKnowsWhatIsDue(t *testing.T) {
	s := newStand(t)
	promote := s.promoting()
	due := func(when string, want time.Duration) {
		t.Helper()
		beat, err := s.Beat(t.Context(), s.worker)
		if err != nil {
			t.Fatal(err)
		}
		if beat.Due != want {
			t.Errorf("%s: a job is due in %v; want %v", when, beat.Due, want)
		}
	}
	promote()
	due("after one look", 0)
	for range 4 {
		promote()
	}
	due("with nothing scheduled", time.Hour)
	job := plain()
	job.Delay = time.Minute
	if _, err := s.Insert(t.Context(), []offstage.NewJob{job}); err != nil {
		t.Fatal(err)
	}
	due("a minute before", time.Minute)
	s.now = s.now.Add(30 * time.Second)
	due("half a minute before", 30*time.Second)
	for range 4 {
		promote()
	}
	s.now = s.now.Add(30 * time.Second)
	due("when it is due", time.Millisecond)
	promote()
	due("when it was promoted", 0)
	for range 4 {
		promote()
	}
	due("some seconds later", time.Hour)
	_, commit := s.begin(job)
	for range 5 {
		promote()
	}
	due("while a transaction is open that began before the hint", 0)
	commit()
	for range 5 {
		promote()
	}
	due("after its end", 50*time.Second)
	s.now = s.now.Add(2 * time.Minute)
	due("when nobody has promoted for long", 0)
	s.now = s.now.Add(-2 * time.Minute)
	s.work.Reset()
	s.claim(false)
	due("on a new connection", 0)
}

// The same for jobs that wait for their time.
func TestAScheduledJobThatIsCommittedLateIsPromoted(t *testing.T) {
	s := newStand(t)
	promote := s.promoting()
	promote()
	soon := plain()
	soon.Delay = time.Second
	late, commit := s.begin(soon)
	for range 10 {
		promote()
	}
	commit()
	for range 2 {
		promote()
	}
	s.wantWithin(1, late)
}
