package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

var leadCases = []Case{
	{"lead/one leads", "Lead answers a term to the one that leads and 0 to all others, on every handle.", leadOne},
	{"lead/renew", "The leader renews its term and keeps it.", leadRenew},
	{"lead/expiry", "When a leader does not renew in time, another gets a greater term.", leadExpiry},
	{"lead/resign", "A leader that resigns is followed at once; somebody else's resignation changes nothing.", leadResign},
	{"lead/term over", "A chore under a term that is over does nothing and answers ErrNotLeading.", leadTermOver},
	{"lead/race", "Of many that ask at once, one leads.", leadRace},
}

func leadOne(r *rig) {
	w, other := r.worker(), r.workerOn(r.peer(), offstage.WorkerInfo{})
	if term := w.lead(time.Minute); term <= 0 {
		r.Errorf("the first leader's term is %d", term)
	}
	same(r, "another's term", other.lead(time.Minute), 0)
}

func leadRenew(r *rig) {
	w, other := r.worker(), r.worker()
	term := w.lead(10 * time.Second)
	for range 5 {
		r.pass(8 * time.Second)
		same(r, "term", w.lead(10*time.Second), term)
		same(r, "another's term", other.lead(10*time.Second), 0)
	}
}

func leadExpiry(r *rig) {
	w, other := r.worker(), r.worker()
	term := w.lead(10 * time.Second)
	r.pass(11 * time.Second)
	next := other.lead(time.Minute)
	if next <= term {
		r.Errorf("the term after %d is %d", term, next)
	}
	same(r, "the first leader's term", w.lead(10*time.Second), 0)
	r.pass(61 * time.Second)
	if last := w.lead(10 * time.Second); last <= next {
		r.Errorf("the term after %d is %d", next, last)
	}
}

func leadResign(r *rig) {
	w, other := r.worker(), r.worker()
	term := w.lead(time.Hour)
	other.lead(0)
	same(r, "another's term while one leads", other.lead(time.Hour), 0)
	w.lead(0)
	if next := other.lead(time.Hour); next <= term {
		r.Errorf("the term after %d is %d", term, next)
	}
}

func leadTermOver(r *rig) {
	id := r.insertOne(echoAfter(time.Second))
	w, other := r.worker(), r.worker()
	old := w.lead(10 * time.Second)
	r.pass(11 * time.Second)
	if _, err := w.store.Chore(r.Context(), old, offstage.Promote, 10); !errors.Is(err, offstage.ErrNotLeading) {
		r.Errorf("promote after its time, with nobody else leading: got %v, want ErrNotLeading", err)
	}
	term := other.lead(time.Hour)
	for _, over := range []int64{old, 0, term + 1} {
		for chore := offstage.Promote; chore <= offstage.Count; chore++ {
			report, err := w.store.Chore(r.Context(), over, chore, 10)
			if !errors.Is(err, offstage.ErrNotLeading) {
				r.Errorf("%s under term %d of %d: got %+v, %v, want ErrNotLeading", chore, over, term, report, err)
			}
		}
	}
	r.wantState(offstage.Scheduled, id)
	report, err := other.store.Chore(r.Context(), term, offstage.Promote, 10)
	r.must(err, "promote under the present term")
	same(r, "promoted", report.Done, 1)
}

func leadRace(r *rig) {
	workers := make([]*worker, 8)
	stores := []offstage.Store{r.store, r.peer()}
	for i := range workers {
		workers[i] = r.workerOn(stores[i%2], offstage.WorkerInfo{})
	}
	var mu sync.Mutex
	leaders := 0
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() {
			term, err := w.store.Lead(r.Context(), w.id, time.Hour)
			if err != nil && offstage.ClassOf(err) != offstage.FaultBusy {
				r.Errorf("lead: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if term > 0 {
				leaders++
			}
		})
	}
	group.Wait()
	same(r, "leaders", leaders, 1)
}
