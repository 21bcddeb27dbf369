package worker_test

import (
	"context"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
)

// tap is the store in memory with a meter on it: it counts calls, and lets a
// test look at each before it is made.
type tap struct {
	*offstagetest.Store

	mu    sync.Mutex
	calls map[string]int                                       // guarded by mu
	on    func(ctx context.Context, call string, in any) error // guarded by mu; an error is the call's answer
}

func newTap() *tap { return &tap{Store: offstagetest.NewStore(), calls: map[string]int{}} }

// before sets what is asked before each call.
func (s *tap) before(on func(ctx context.Context, call string, in any) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

// count returns how often a call was made; "" is all calls together.
func (s *tap) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call != "" {
		return s.calls[call]
	}
	total := 0
	for _, n := range s.calls {
		total += n
	}
	return total
}

func (s *tap) note(ctx context.Context, call string, in any) error {
	s.mu.Lock()
	s.calls[call]++
	on := s.on
	s.mu.Unlock()
	if on == nil {
		return nil
	}
	return on(ctx, call, in)
}

func (s *tap) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	if err := s.note(ctx, "Claim", req); err != nil {
		return offstage.Claim{}, err
	}
	return s.Store.Claim(ctx, req)
}

func (s *tap) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	if err := s.note(ctx, "Finish", req); err != nil {
		return nil, err
	}
	return s.Store.Finish(ctx, req)
}

func (s *tap) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	if err := s.note(ctx, "Beat", worker); err != nil {
		return offstage.Beat{}, err
	}
	return s.Store.Beat(ctx, worker)
}

func (s *tap) SaveProgress(ctx context.Context, reports []offstage.JobProgress) error {
	if err := s.note(ctx, "SaveProgress", reports); err != nil {
		return err
	}
	return s.Store.SaveProgress(ctx, reports)
}

func (s *tap) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	if err := s.note(ctx, "Chore", chore); err != nil {
		return offstage.ChoreReport{}, err
	}
	return s.Store.Chore(ctx, term, chore, limit)
}

func (s *tap) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	if err := s.note(ctx, "Lead", ttl); err != nil {
		return 0, err
	}
	return s.Store.Lead(ctx, worker, ttl)
}

func (s *tap) Sleep(ctx context.Context, worker offstage.WorkerID, asleep bool) error {
	if err := s.note(ctx, "Sleep", asleep); err != nil {
		return err
	}
	return s.Store.Sleep(ctx, worker, asleep)
}

func (s *tap) Register(ctx context.Context, info offstage.WorkerInfo) (offstage.WorkerID, error) {
	if err := s.note(ctx, "Register", info); err != nil {
		return 0, err
	}
	return s.Store.Register(ctx, info)
}

func (s *tap) Unregister(ctx context.Context, worker offstage.WorkerID) error {
	if err := s.note(ctx, "Unregister", worker); err != nil {
		return err
	}
	return s.Store.Unregister(ctx, worker)
}

func (s *tap) Rescue(ctx context.Context, peer offstage.Peer, limit int) (int, bool, error) {
	if err := s.note(ctx, "Rescue", peer); err != nil {
		return 0, false, err
	}
	return s.Store.Rescue(ctx, peer, limit)
}

func (s *tap) Ended(ctx context.Context, job offstage.ID, run int) (bool, error) {
	if err := s.note(ctx, "Ended", job); err != nil {
		return false, err
	}
	return s.Store.Ended(ctx, job, run)
}

func (s *tap) Claims(ctx context.Context, worker offstage.WorkerID) ([]offstage.HeldClaim, error) {
	if err := s.note(ctx, "Claims", worker); err != nil {
		return nil, err
	}
	return s.Store.Claims(ctx, worker)
}

// down is what a server answers that does not serve, and lost what is heard of
// one that cannot be reached.
var (
	down = &offstage.StoreError{Class: offstage.FaultDown, Op: "test", Err: context.Canceled}
	lost = &offstage.StoreError{Class: offstage.FaultUnknown, Op: "test", Err: context.Canceled}
)

func (s *tap) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	if err := s.note(ctx, "Suspect", job); err != nil {
		return err
	}
	return s.Store.Suspect(ctx, worker, job, run)
}
