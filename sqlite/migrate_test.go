package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// do runs a script on a file.
func do(t *testing.T, db *sql.DB, script string) {
	t.Helper()
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
}

// oldFile makes a file as a program that knew some migrations left it.
func oldFile(t *testing.T, known int, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jobs.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for version := range known {
		files, err := filepath.Glob(fmt.Sprintf("migrations/%04d_*.sql", version+1))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		migration, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		do(t, db, string(migration))
	}
	do(t, db, `CREATE TABLE offstage_schema (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT`)
	do(t, db, fmt.Sprintf(`INSERT INTO offstage_schema VALUES (1, %d)`, known))
	do(t, db, script)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Ready jobs of a file in which their places were counted apart from their ids, and
// the order in which they are claimed. The seq of job 3 is the id of job 5.
const oldReady = `
INSERT INTO offstage_queue (id, name) VALUES (1, 'default');
INSERT INTO offstage_kind (id, name) VALUES (1, 'echo');
INSERT INTO offstage_job
SELECT column1, 1, 1, column2, '{}', 3, 0, 1, 1, NULL, NULL, NULL
FROM (VALUES (1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (6, 5), (7, 2), (8, 2), (9, 2));
INSERT INTO offstage_ready VALUES
(1, 2, 0, 7, 7, 2, 0, 0, 1),  -- in front, its seq the same as its id by chance
(1, 2, 0, 9, 9, 2, 0, 0, 1),
(1, 2, 1, 3, 8, 1, 0, 0, 1),  -- since its insert, its seq another
(1, 5, 0, 8, 2, 2, 0, 0, 1),  -- in front
(1, 5, 1, 1, 1, 1, 0, 0, 1),  -- since its insert, its seq the same
(1, 5, 1, 2, 5, 1, 0, 0, 1),
(1, 5, 1, 4, 4, 2, 1, 0, 1),  -- promoted, its seq the same by chance
(1, 5, 1, 5, 3, 2, 1, 0, 1),  -- promoted
(1, 5, 1, 6, 6, 1, 0, 0, 1);`

var oldOrder = []offstage.ID{7, 9, 8, 2, 1, 5, 4, 3, 6}

// isReadyInOrder looks at each ready job by its id, and at all of them in their order.
func isReadyInOrder(t *testing.T, store *sqlite.Store, want []offstage.ID) {
	t.Helper()
	for i, id := range want {
		job, err := store.Get(t.Context(), id)
		if err != nil || job.State != offstage.Ready {
			t.Errorf("job %d is %v, %v; want it ready", id, job.State, err)
		}
		place, err := store.Place(t.Context(), id, len(want))
		if err != nil || place != (offstage.Place{Ready: true, Ahead: i}) {
			t.Errorf("the place of job %d is %+v, %v; want %d before it", id, place, err, i)
		}
	}
	page, err := store.List(t.Context(), offstage.Filter{State: offstage.Ready})
	if err != nil {
		t.Fatal(err)
	}
	var listed []offstage.ID
	for _, job := range page.Jobs {
		listed = append(listed, job.ID)
	}
	if !slices.Equal(listed, want) {
		t.Errorf("%v are ready, want %v", listed, want)
	}
}

// isClaimedInOrder claims all that is ready.
func isClaimedInOrder(t *testing.T, store *sqlite.Store, want []offstage.ID) {
	t.Helper()
	claim, err := store.Claim(t.Context(), offstage.ClaimRequest{
		Worker: register(t, store), Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{offstage.DefaultQueue}, Slots: 100}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var claimed []offstage.ID
	for _, job := range claim.Jobs {
		claimed = append(claimed, job.ID)
	}
	if !slices.Equal(claimed, want) {
		t.Errorf("%v were claimed, want %v", claimed, want)
	}
}

func apply(t *testing.T, store *sqlite.Store, change offstage.Change) {
	t.Helper()
	if _, err := store.Apply(t.Context(), change); err != nil {
		t.Errorf("%s job %d: %v", change.Verb, change.Job, err)
	}
}

func TestMigratedJobsAreFound(t *testing.T) {
	for _, counters := range []struct{ job, seq, next int }{{9, 10, 11}, {10, 9, 11}, {30, 9, 31}, {9, 30, 31}} {
		migrated := func(t *testing.T) *sqlite.Store {
			script := fmt.Sprintf(`UPDATE offstage_counter SET job = %d, seq = %d;`, counters.job, counters.seq)
			store := open(t, oldFile(t, 5, oldReady+script))
			isReadyInOrder(t, store, oldOrder)
			return store
		}
		t.Run(fmt.Sprintf("%+v", counters), func(t *testing.T) {
			t.Run("claim", func(t *testing.T) {
				store := migrated(t)
				first := offstage.ID(counters.next)
				ids := insert(t, store, 2)
				if want := []offstage.ID{first, first + 1}; !slices.Equal(ids, want) {
					t.Errorf("the next jobs are %v, want %v", ids, want)
				}
				want := append(slices.Clone(oldOrder), ids...)
				isReadyInOrder(t, store, want)
				isClaimedInOrder(t, store, want)
			})
			t.Run("cancel", func(t *testing.T) {
				store := migrated(t)
				for i, id := range oldOrder {
					apply(t, store, offstage.Change{Verb: offstage.VerbCancel, Job: id})
					isReadyInOrder(t, store, oldOrder[i+1:])
				}
				isClaimedInOrder(t, store, nil)
			})
			t.Run("move", func(t *testing.T) {
				store := migrated(t)
				want := slices.Clone(oldOrder)
				slices.Reverse(want)
				for _, id := range want {
					apply(t, store, offstage.Change{Verb: offstage.VerbReschedule, Job: id}) // due now: no longer in front
					apply(t, store, offstage.Change{Verb: offstage.VerbPrioritize, Job: id, Priority: 9})
				}
				isReadyInOrder(t, store, want)
				isClaimedInOrder(t, store, want)
			})
		})
	}
}

// During a deploy a program of the version before may have the file open and write to
// it. It counts ids and places apart, so that any seq may come: that of a job's own id
// where it did not come with it, and that of another's.
func TestAnEarlierVersionWritesToo(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "jobs.db"))
	want := insert(t, store, 1)
	add := func(script string) { do(t, store.DB(), script) }
	job := func(ids ...int) {
		for _, id := range ids {
			add(fmt.Sprintf(`INSERT INTO offstage_job
				SELECT %d, kind, queue, priority, args, max_attempts, timeout, created_at, run_at, NULL, NULL, NULL FROM offstage_job WHERE id = 1`, id))
		}
	}
	ready := func(band, seq, id int) {
		add(fmt.Sprintf(`INSERT INTO offstage_ready SELECT queue, priority, %d, %d, id, 1, 0, 0, 1 FROM offstage_job WHERE id = %d`, band, seq, id))
	}
	job(2, 3, 4, 5, 6, 7)
	ready(0, 2, 2) // scheduled, and asked for by hand
	ready(1, 3, 3) // promoted
	ready(1, 4, 5) // ready since its insert, after these two
	ready(1, 5, 4) // promoted behind it
	ready(1, 6, 7)
	add(`INSERT INTO offstage_parked (job, kind, reason, run, errors, lost) SELECT id, kind, 'unique', 1, 0, 0 FROM offstage_job WHERE id = 6`)
	add(`UPDATE offstage_counter SET job = 7, seq = 6`)
	want = append([]offstage.ID{2}, append(want, 3, 5, 4, 7)...)
	want = append(want, insert(t, store, 1)...)
	isReadyInOrder(t, store, want)

	// Job 7 lies where 6 would have come: what is done to 6 does nothing to it.
	apply(t, store, offstage.Change{Verb: offstage.VerbPrioritize, Job: 6, Priority: 5})
	if job, err := store.Get(t.Context(), 6); err != nil || job.State != offstage.Blocked {
		t.Errorf("job 6 is %v, %v; want it blocked", job.State, err)
	}
	apply(t, store, offstage.Change{Verb: offstage.VerbCancel, Job: 6})
	isReadyInOrder(t, store, want)

	// Now more places than jobs.
	add(`UPDATE offstage_counter SET seq = 20`)
	want = append(want, insert(t, store, 2)...)
	if last := want[len(want)-1]; last != 22 {
		t.Errorf("the last job is %d, want 22: no number comes twice", last)
	}
	isReadyInOrder(t, store, want)
	var ids, places int
	if err := store.DB().QueryRow(`SELECT job, seq FROM offstage_counter`).Scan(&ids, &places); err != nil || ids != 22 || places != 22 {
		t.Errorf("the counters are %d and %d, %v; want both at 22", ids, places, err)
	}
	for _, id := range want {
		apply(t, store, offstage.Change{Verb: offstage.VerbRunNow, Job: id})
	}
	isClaimedInOrder(t, store, want)
}
