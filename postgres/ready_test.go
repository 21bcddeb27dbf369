package postgres

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/pgtest"
)

// olderInsert makes ready jobs of two ids as programs did before migration 7.
const olderInsert = `WITH j AS (
	INSERT INTO offstage.job (id, created_at, run_at, timeout, nonce, kind, queue, max_attempts, priority, args)
	SELECT id, now(), now(), 0, 1, 1, 1, 0, 5, '{}' FROM unnest(ARRAY[%d, %d]) id RETURNING id
)
INSERT INTO offstage.ready (queue, lane, job, since, run) SELECT 1, 11, id, now(), 1 FROM j`

// Ready jobs that an older program left, or still makes beside this one, are seen,
// changed and claimed like all others, each at its turn.
func TestReadyJobsOfAnOlderProgram(t *testing.T) {
	db := pgtest.Open(t)
	older, err := pgx.Connect(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	script := ledger("offstage")
	for _, migration := range migrations("offstage")[:6] {
		script += migration
	}
	script += `
INSERT INTO offstage.migration (version) SELECT generate_series(1, 6);
INSERT INTO offstage.queue (name) VALUES ('default');
INSERT INTO offstage.kind (name) VALUES ('echo');
SELECT nextval('offstage.job_id');` + fmt.Sprintf(olderInsert, 1, 2)
	if _, err := older.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
		t.Fatal(err)
	}
	if err := older.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	s := standOn(t, db.URL, 1)
	mine := s.insert(plain())
	if _, err := s.other.Exec(t.Context(), fmt.Sprintf(olderInsert, 3, 4)); err != nil {
		t.Fatal(err)
	}
	page, err := s.List(t.Context(), offstage.Filter{State: offstage.Ready})
	if err != nil {
		t.Fatal(err)
	}
	want := []offstage.ID{1, 2, mine, 3, 4}
	var listed []offstage.ID
	for i, job := range page.Jobs {
		listed = append(listed, job.ID)
		if place, err := s.Place(t.Context(), job.ID, 10); err != nil || !place.Ready || place.Ahead != i {
			t.Errorf("job %d has the place %+v, %v; want %d before it", job.ID, place, err, i)
		}
	}
	if !slices.Equal(listed, want) {
		t.Errorf("ready are %v, want %v", listed, want)
	}
	for _, id := range []offstage.ID{2, 4} {
		if state, err := s.Apply(t.Context(), offstage.Change{Verb: offstage.VerbCancel, Job: id}); state != offstage.Cancelled {
			t.Errorf("job %d is %v, %v; want it cancelled", id, state, err)
		}
	}
	if got, want := s.claim(false), []offstage.ID{1, mine, 3}; !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
}

// A ready job is found by a few pages, however many others are ready, whether it has
// been so since its insert or came to it later.
func TestAReadyJobIsNotSearched(t *testing.T) {
	s := newStand(t)
	var ids [2]offstage.ID
	find := func(which int) [4]float64 {
		id := int64(ids[which])
		return [4]float64{
			s.effortOf(stateSQL, id, s.now).pages, s.effortOf(aheadSQL, id, 1).pages,
			s.effortOf(lookSQL, s.now, numbers([]int64{id})).pages, s.effortOf(takeWaitingSQL, id, s.now).pages,
		}
	}
	for i := range ids {
		ids[i] = s.insert(plain())
	}
	if _, err := s.Apply(t.Context(), offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[1], Priority: 6}); err != nil {
		t.Fatal(err)
	}
	few := [2][4]float64{find(0), find(1)}
	for i := range ids {
		ids[i] = s.insert(plain())
	}
	if _, err := s.Apply(t.Context(), offstage.Change{Verb: offstage.VerbPrioritize, Job: ids[1], Priority: 6}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Insert(t.Context(), slices.Repeat([]offstage.NewJob{plain()}, 10_000)); err != nil {
		t.Fatal(err)
	}
	staged := offstage.NewJob{Kind: "echo", Queue: "default", Priority: 6, Args: []byte(`{}`)}
	if _, err := s.InsertSeq(t.Context(), func(yield func(offstage.NewJob, error) bool) {
		for n := 0; n < 10_000 && yield(staged, nil); n++ {
		}
	}); err != nil {
		t.Fatal(err)
	}
	for which, came := range []string{"by its insert", "later"} {
		for i, pages := range find(which) {
			if pages > few[which][i]+12 { // indexes have grown by a level or two
				t.Errorf("beside 20,000 others, to find a job that became ready %s reads %.0f pages, not %.0f: statement %d", came, pages, few[which][i], i)
			}
		}
	}
}
