package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// effort is what a plan did, summed over its nodes: rows that were looked at, and
// pages that were read.
type effort struct{ rows, pages float64 }

// planNode is a node of an explained plan.
type planNode struct {
	Rows    float64    `json:"Actual Rows"`
	Loops   float64    `json:"Actual Loops"`
	Dropped float64    `json:"Rows Removed by Filter"`
	Unequal float64    `json:"Rows Removed by Join Filter"`
	Hit     float64    `json:"Shared Hit Blocks"` // with those of the nodes below it
	Read    float64    `json:"Shared Read Blocks"`
	Plans   []planNode `json:"Plans"`
}

func (p *planNode) rows() float64 {
	sum := (p.Rows + p.Dropped + p.Unequal) * p.Loops
	for i := range p.Plans {
		sum += p.Plans[i].rows()
	}
	return sum
}

// effortOf runs a query as the store's sessions do, by a plan that is the same
// for all arguments.
func (s *stand) effortOf(query string, args ...any) effort {
	s.Helper()
	defer s.prepare(query)()
	return s.effort(args...)
}

// prepare makes a plan for what effort executes, until it is forgotten.
func (s *stand) prepare(query string) (forget func()) {
	s.Helper()
	ctx := s.Context()
	for name, value := range settings {
		if _, err := s.other.Exec(ctx, "SELECT set_config($1, $2, false)", name, value); err != nil {
			s.Fatal(err)
		}
	}
	if _, err := s.other.Prepare(ctx, "explained", s.sql(query)); err != nil {
		s.Fatalf("%v in %s", err, query)
	}
	return func() {
		s.Helper()
		if err := s.other.Deallocate(ctx, "explained"); err != nil {
			s.Fatal(err)
		}
	}
}

// effort executes what is prepared.
func (s *stand) effort(args ...any) effort {
	s.Helper()
	ctx := s.Context()
	places := make([]string, len(args))
	for i := range args {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	rows, err := s.other.Query(ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) EXECUTE explained ("+strings.Join(places, ", ")+")",
		append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	if err != nil {
		s.Fatal(err)
	}
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		s.Fatal(err)
	}
	var explained []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(text), &explained); err != nil {
		s.Fatal(err)
	}
	root := explained[0].Plan
	return effort{root.rows(), root.Hit + root.Read}
}

// A look at many running jobs does as much for each as a look at few.
func TestLooksGrowWithTheirJobs(t *testing.T) {
	s := newStand(t)
	var ids []offstage.ID
	for range 400 {
		s.insert(plain())
		ids = append(ids, s.claim(false)...)
	}
	few := s.effortOf(lookSQL, s.now, numbers(ids[:100]))
	many := s.effortOf(lookSQL, s.now, numbers(ids))
	if many.rows > 6*few.rows || many.pages > 6*few.pages {
		t.Errorf("a look at 4 times as many jobs costs %.0f rows for %.0f, and %.0f pages for %.0f", many.rows, few.rows, many.pages, few.pages)
	}
}

// Jobs that are being staged are in nobody's way.
func TestStagedJobsAreNotSearched(t *testing.T) {
	s := newStand(t)
	var ids []offstage.ID
	for range 100 {
		ids = append(ids, s.insert(plain()))
	}
	measured := func() (look, list, state effort) {
		return s.effortOf(lookSQL, s.now, numbers(ids)),
			s.effortOf(listAll, nil, nil, nil, nil, nil, fmt.Sprintf("{%d}", ids[len(ids)-1]+1), offstage.MaxLooked, 100),
			s.effortOf(stateSQL, int64(ids[0]), s.now)
	}
	look, list, state := measured()
	enough := errors.New("enough")
	_, err := s.InsertSeq(t.Context(), func(yield func(offstage.NewJob, error) bool) {
		for range 20000 {
			if !yield(plain(), nil) {
				return
			}
		}
		look2, list2, state2 := measured()
		for name, pages := range map[string]float64{
			"look": (look2.pages - look.pages) / 100, "list": (list2.pages - list.pages) / 100, "state": state2.pages - state.pages,
		} {
			if pages > 10 { // the batch, and an index of up to four levels
				t.Errorf("with 20,000 jobs staged a %s reads %.0f more pages for each job", name, pages)
			}
		}
		yield(offstage.NewJob{}, enough)
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

// While a snapshot is held, no claim that has ended is removed; results, releases
// and counts do not walk through those, nor through jobs that are gone.
func TestWhatASnapshotKeepsIsNotSearched(t *testing.T) {
	s := newStand(t)
	holder, err := pgx.ConnectConfig(t.Context(), s.other.Config().Copy())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close(t.Context()) }() // and with it the snapshot
	if _, err := holder.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"); err != nil {
		t.Fatal(err)
	}
	term, err := s.Lead(t.Context(), s.worker, 10*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Chore(t.Context(), term, offstage.Count, 1); err != nil { // and found nothing
		t.Fatal(err)
	}
	measured := func() map[string]effort {
		stretches, _ := s.hints.plan(1, s.epoch.Load())
		return map[string]effort{
			"lock":    s.effortOf(lockClaimsSQL, nil, int64(s.worker), "{1000000}"),
			"release": s.effortOf(releaseSQL, int64(s.worker), "{1000000}"),
			"record": s.effortOf(recordSQL, nil, int64(s.worker), "{1000000}", "{1}", "{}", "{}", "{}", "{}", "{}", "{}", "{1}",
				"{}", "{}", "{}", 1, "{}"),
			"look whether to count": s.effortOf(changedSQL, append(append([]any{nil, term}, s.hinted()...), "{}")...),
			"note that none came":   s.effortOf(ageSQL, append([]any{nil, term}, s.hinted()...)...),
			"count":                 s.effortOf(countReadySQL, append([]any{nil, 1, 0, 10, false}, bounds(stretches)...)...),
		}
	}
	cycles := func(n int) {
		for range n {
			s.insert(plain())
			if _, err := s.Finish(t.Context(), s.completed(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cycles(10)
	few := measured()
	cycles(500)
	for name, many := range measured() {
		if many.pages > few[name].pages+5 { // an index may have grown by a level
			t.Errorf("with 500 ended claims and jobs more, a %s reads %.0f pages, not %.0f", name, many.pages, few[name].pages)
		}
	}
}

// A plan that was made while a queue was empty, as it mostly is, serves when many
// jobs have gone that are still in its indexes.
func TestAPlanForAnEmptyQueueServes(t *testing.T) {
	s := newStand(t)
	if _, err := s.other.Exec(t.Context(), s.sql("VACUUM ANALYZE offstage.ready")); err != nil {
		t.Fatal(err)
	}
	defer s.prepare(moveLateSQL)()
	few := s.effort("{1}", "{11}", "{1}")
	for range 3000 {
		s.insert(plain())
	}
	if _, err := s.other.Exec(t.Context(), s.sql("DELETE FROM offstage.ready")); err != nil {
		t.Fatal(err)
	}
	if many := s.effort("{1}", "{11}", "{1}"); many.pages > few.pages+5 {
		t.Errorf("with 3,000 jobs gone, a move of what came late reads %.0f pages, not %.0f", many.pages, few.pages)
	}
}

// Pruning does not walk through the history that stays, and finds what was left of
// jobs that were deleted before it.
func TestPruningWalksOverNothingThatStays(t *testing.T) {
	s := newStand(t)
	var first offstage.ID
	for n := range 201 {
		if id := s.insert(plain()); n == 0 {
			first = id
		}
		if _, err := s.Finish(t.Context(), s.completed(1)); err != nil {
			t.Fatal(err)
		}
	}
	if few := s.effortOf(pruneOrphansSQL, int64(0), int64(0)); few.rows > 20 {
		t.Errorf("with 201 jobs that stay, the end of a pass looks at %.0f rows", few.rows)
	}

	attempts := func() (n int) {
		t.Helper()
		if err := s.other.QueryRow(t.Context(), s.sql("SELECT count(*) FROM offstage.attempt")).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	prune := func(jobs string, args ...any) {
		t.Helper()
		if _, err := s.other.Exec(t.Context(), s.sql("DELETE FROM offstage.job "+jobs), args...); err != nil {
			t.Fatal(err)
		}
		term, err := s.Lead(t.Context(), s.worker, time.Hour)
		if err != nil || term == 0 {
			t.Fatalf("term %d, %v", term, err)
		}
		if _, err := s.Chore(t.Context(), term, offstage.Prune, 100); err != nil {
			t.Fatal(err)
		}
	}
	prune("WHERE id = $1", int64(first))
	if n := attempts(); n != 200 {
		t.Errorf("%d attempts are left, want those of 200 jobs", n)
	}
	prune("")
	if n := attempts(); n != 0 {
		t.Errorf("%d attempts are left, though no job is", n)
	}
}
