package postgres

import (
	"fmt"
	"testing"

	"github.com/offstagehq/offstage"
)

// bidsOf makes a group of unique jobs.
func (s *stand) bidsOf(jobs ...offstage.NewJob) []*bid {
	s.Helper()
	rows, err := s.rows(s.Context(), jobs, s.newIDs)
	if err != nil {
		s.Fatal(err)
	}
	group := make([]*bid, len(rows))
	for i := range rows {
		group[i] = &bid{row: rows[i], done: make(chan error, 1)}
	}
	return group
}

// Of a group, whoever has a free key is stored, and others learn of the holder or go
// alone, as their modes say.
func TestAGroupOfUniqueJobsIsStoredWhereKeysAreFree(t *testing.T) {
	s := newStand(t)
	holder := s.insert(keyed("held", offstage.Skip))
	group := s.bidsOf(keyed("b", offstage.Replace), keyed("held", offstage.Skip), keyed("a", offstage.Skip),
		keyed("held", offstage.KeepLast), keyed("a", offstage.Skip), keyed("a", offstage.Debounce))
	s.storeBids(t.Context(), group)()
	own := func(i int) offstage.Inserted { return offstage.Inserted{ID: offstage.ID(group[i].row.id)} }
	want := []offstage.Inserted{own(0), {ID: holder, Existed: true}, own(2), {}, {ID: own(2).ID, Existed: true}, {}}
	for i, b := range group {
		if err := <-b.done; err != nil {
			t.Errorf("member %d: %v", i, err)
		}
		if b.inserted != want[i] || b.settled == (want[i] == offstage.Inserted{}) {
			t.Errorf("member %d: %+v, settled %t; want %+v", i, b.inserted, b.settled, want[i])
		}
	}
	if _, err := s.Get(t.Context(), own(2).ID); err != nil {
		t.Error(err)
	}
}

// A caller's open transaction that has taken a key holds up nobody with another one.
func TestAnOpenTransactionHoldsUpNoOtherKeys(t *testing.T) {
	s := newStandOf(t, 4)
	holder, commit := s.begin(keyed("a", offstage.Skip))
	group := s.bidsOf(keyed("a", offstage.Skip), keyed("b", offstage.Skip))
	s.storeBids(t.Context(), group)()
	for i, b := range group {
		if err := <-b.done; err != nil || b.settled {
			t.Errorf("member %d: %v, settled %t; want that each goes alone", i, err, b.settled)
		}
	}
	done := make(chan offstage.Inserted)
	go func() {
		inserted, err := s.Insert(t.Context(), []offstage.NewJob{keyed("a", offstage.Skip)})
		if err != nil {
			t.Error(err)
			inserted = make([]offstage.Inserted, 1)
		}
		done <- inserted[0]
	}()
	s.awaitLock()
	s.insert(keyed("b", offstage.Skip))
	commit()
	if got := <-done; got.ID != holder || !got.Existed {
		t.Errorf("got %+v; want job %d, which existed", got, holder)
	}
	if s.contended.has("a") {
		t.Error("a key is contended though nobody looks at it alone")
	}
}

// A large group looks each key up; it compares no lists with each other.
func TestUniqueGroupsGrowWithTheirJobs(t *testing.T) {
	s := newStand(t)
	effortFor := func(n int) (sum effort) {
		rows := make([]row, n)
		for i, b := range s.bidsOf(keyed("", offstage.Skip)) {
			for j := range rows {
				rows[j] = b.row
				rows[j].id += int64(i + 1 + j)
				key := *b.row.unique
				key.Key = fmt.Appendf(nil, "%d of %d", j, n)
				rows[j].unique = &key
			}
		}
		take, insert := s.freshStatements(rows)
		for _, st := range []statement{take, insert} {
			e := s.effortOf(st.text, st.args...)
			sum.rows, sum.pages = sum.rows+e.rows, sum.pages+e.pages
		}
		return sum
	}
	few := effortFor(100)
	if _, err := s.newIDs(t.Context(), 2000); err != nil {
		t.Fatal(err)
	}
	many := effortFor(1000)
	if many.rows > 15*few.rows || many.pages > 15*few.pages {
		t.Errorf("ten times as many jobs cost %.0f rows for %.0f, and %.0f pages for %.0f", many.rows, few.rows, many.pages, few.pages)
	}
}

// After a failover the sequence may give numbers that others have.
func TestTakenNumbersAreGivenUp(t *testing.T) {
	for name, jobs := range map[string][]offstage.NewJob{
		"plain":   {plain(), plain()},
		"unique":  {keyed("a", offstage.Skip)},
		"several": {keyed("a", offstage.KeepLast), plain(), keyed("b", offstage.Skip)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			s.insert(plain())
			if _, err := s.other.Exec(t.Context(), "ALTER SEQUENCE offstage.job_id RESTART"); err != nil {
				t.Fatal(err)
			}
			peer := newStandOn(t, s)
			peer.nonce++
			inserted, err := peer.Insert(t.Context(), jobs)
			if err != nil {
				t.Fatal(err)
			}
			for i, in := range inserted {
				details, err := peer.Get(t.Context(), in.ID)
				if err != nil || in.Existed || in.ID <= blockSize || (details.UniqueKey != nil) != (jobs[i].Unique != nil) {
					t.Errorf("job %d: %+v, %+v, %v; want a new one with a number of its own", i, in, details.UniqueKey, err)
				}
			}
		})
	}
}
