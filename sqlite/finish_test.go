package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/sqlite"
)

// TestFinishTogether: results that are written by one statement count and are
// repeated as single ones do, wherever in a group the old ones stand.
func TestFinishTogether(t *testing.T) {
	const jobs = 100
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	work, err := store.Register(t.Context(), offstage.WorkerInfo{Name: "test", Queues: []string{"default"}})
	if err != nil {
		t.Fatal(err)
	}
	fresh := make([]offstage.NewJob, jobs)
	for i := range fresh {
		fresh[i] = offstage.NewJob{Kind: "echo", Queue: "default", Priority: 5, Args: []byte("{}")}
	}
	if _, err := store.Insert(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	claim, err := store.Claim(t.Context(), offstage.ClaimRequest{
		Worker: work, Seq: 1, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: jobs}},
	})
	if err != nil || len(claim.Jobs) != jobs {
		t.Fatalf("claimed %d jobs, %v", len(claim.Jobs), err)
	}
	results := make([]offstage.Result, jobs)
	for i, job := range claim.Jobs {
		results[i] = offstage.Result{
			Job: job.ID, Run: job.Run, Claim: 1, Outcome: offstage.OutcomeCompleted, Next: offstage.Completed, Started: true,
		}
	}
	results[70].Run++ // one that the claim does not hold
	early := []offstage.Result{results[3], results[20], results[21], results[63], results[99]}
	finish := func(results []offstage.Result) []offstage.Verdict {
		verdicts, err := store.Finish(t.Context(), offstage.FinishRequest{Worker: work, Results: results})
		if err != nil {
			t.Fatal(err)
		}
		return verdicts
	}
	finish(early)
	for repeat := range 2 {
		for i, verdict := range finish(results) {
			want := offstage.Counted
			switch {
			case i == 70:
				want = offstage.Refused
			case repeat == 1 || i == 3 || i == 20 || i == 21 || i == 63 || i == 99:
				want = offstage.Already
			}
			if verdict.Kind != want {
				t.Errorf("the verdict on result %d in turn %d is %v, want %v", i, repeat, verdict.Kind, want)
			}
		}
	}
	counted := 0
	for _, job := range claim.Jobs {
		details, err := store.Get(t.Context(), job.ID)
		if err != nil {
			t.Fatal(err)
		}
		if details.State == offstage.Completed && len(details.Attempts) == 1 {
			counted++
		}
	}
	if counted != jobs-1 {
		t.Errorf("%d jobs have one completed attempt, want %d", counted, jobs-1)
	}
}
