package postgres

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/offstagehq/offstage"
)

// runs claims n new jobs and returns the holds of their first runs, each of which
// has remembered a step.
func (s *stand) runs(n int) []offstage.Hold {
	s.Helper()
	for range n {
		s.insert(plain())
	}
	s.seq++
	claim, err := s.Claim(s.Context(), offstage.ClaimRequest{Worker: s.worker, Seq: s.seq, Pools: []offstage.PoolRequest{{Queues: []string{"default"}, Slots: n}}})
	if err != nil || len(claim.Jobs) != n {
		s.Fatalf("claimed %d jobs of %d: %v", len(claim.Jobs), n, err)
	}
	holds := make([]offstage.Hold, n)
	for i, job := range claim.Jobs {
		holds[i] = offstage.Hold{Worker: s.worker, Claim: s.seq, Job: job.ID, Run: job.Run}
		if err := s.Remember(s.Context(), holds[i], step("first"), true); err != nil {
			s.Fatal(err)
		}
	}
	return holds
}

func step(name string) offstage.NewStep {
	return offstage.NewStep{Name: name, Kind: offstage.StepDone, Tries: 1, Value: []byte(`1`)}
}

// Steps of many jobs are committed together, and yet nobody waits for a transaction
// that holds up another's.
func TestAStepThatIsHeldUpHoldsUpNoOther(t *testing.T) {
	s := newStandOf(t, 4)
	holds := s.runs(6)
	held := holds[0]
	tx, err := s.other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), s.sql(`SELECT FROM offstage.epoch WHERE job = $1 FOR UPDATE`), int64(held.Job)); err != nil {
		t.Fatal(err)
	}
	late := make(chan error, 1)
	go func() { late <- s.Remember(t.Context(), held, step("second"), false) }()
	var group sync.WaitGroup
	for _, hold := range holds[1:] {
		group.Go(func() {
			for n := range 20 {
				if err := s.Remember(t.Context(), hold, step(fmt.Sprint("step ", n)), false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-late:
		t.Errorf("the step of the job that is locked was answered: %v", err)
	default:
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-late; err != nil {
		t.Errorf("the step of the job that was locked: %v", err)
	}
}

// What PostgreSQL refuses of one job's fails alone.
func TestAStepThatCannotBeStoredSpoilsNoOther(t *testing.T) {
	s := newStandOf(t, 4)
	holds := s.runs(8)
	var group sync.WaitGroup
	for i, hold := range holds {
		group.Go(func() {
			for n := range 20 {
				name := fmt.Sprint("step ", n)
				if i == 0 {
					name += "\x00"
				}
				err := s.Remember(t.Context(), hold, step(name), false)
				var fault *offstage.StoreError
				if refused := errors.As(err, &fault) && fault.Class == offstage.FaultData; refused != (i == 0) {
					t.Errorf("job %d, step %d: %v", i, n, err)
				}
			}
		})
	}
	group.Wait()
}
