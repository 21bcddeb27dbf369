package faultstore

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/offstagehq/offstage"
)

// Insert is the contract's.
func (s *Store) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	return call(ctx, s, "Insert", func() ([]offstage.Inserted, error) { return s.under.Insert(ctx, jobs) })
}

// InsertSeq is the contract's.
func (s *Store) InsertSeq(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	return call(ctx, s, "InsertSeq", func() (int64, error) { return s.under.InsertSeq(ctx, jobs) })
}

// InsertFlow is the contract's.
func (s *Store) InsertFlow(ctx context.Context, job offstage.NewJob) (offstage.Inserted, error) {
	return call(ctx, s, "InsertFlow", func() (offstage.Inserted, error) { return s.under.InsertFlow(ctx, job) })
}

// Requested is the contract's.
func (s *Store) Requested(ctx context.Context, request offstage.Request) (offstage.Inserted, error) {
	return call(ctx, s, "Requested", func() (offstage.Inserted, error) { return s.under.Requested(ctx, request) })
}

// Claim is the contract's.
func (s *Store) Claim(ctx context.Context, req offstage.ClaimRequest) (offstage.Claim, error) {
	return call(ctx, s, "Claim", func() (offstage.Claim, error) { return s.under.Claim(ctx, req) })
}

// Finish is the contract's.
func (s *Store) Finish(ctx context.Context, req offstage.FinishRequest) ([]offstage.Verdict, error) {
	return call(ctx, s, "Finish", func() ([]offstage.Verdict, error) { return s.under.Finish(ctx, req) })
}

// Claims is the contract's.
func (s *Store) Claims(ctx context.Context, worker offstage.WorkerID) ([]offstage.HeldClaim, error) {
	return call(ctx, s, "Claims", func() ([]offstage.HeldClaim, error) { return s.under.Claims(ctx, worker) })
}

// Ended is the contract's.
func (s *Store) Ended(ctx context.Context, job offstage.ID, run int) (bool, error) {
	return call(ctx, s, "Ended", func() (bool, error) { return s.under.Ended(ctx, job, run) })
}

// LoadArgs is the contract's.
func (s *Store) LoadArgs(ctx context.Context, job offstage.ID) ([]byte, error) {
	return call(ctx, s, "LoadArgs", func() ([]byte, error) { return s.under.LoadArgs(ctx, job) })
}

// SaveProgress is the contract's.
func (s *Store) SaveProgress(ctx context.Context, reports []offstage.JobProgress) error {
	return act(ctx, s, "SaveProgress", func() error { return s.under.SaveProgress(ctx, reports) })
}

// Recall is the contract's.
func (s *Store) Recall(ctx context.Context, hold offstage.Hold) ([]offstage.StepInfo, error) {
	return call(ctx, s, "Recall", func() ([]offstage.StepInfo, error) { return s.under.Recall(ctx, hold) })
}

// Remember is the contract's.
func (s *Store) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep, raise bool) error {
	return act(ctx, s, "Remember", func() error { return s.under.Remember(ctx, hold, step, raise) })
}

// Signal is the contract's.
func (s *Store) Signal(ctx context.Context, name string, payload []byte) (offstage.SignalReport, error) {
	return call(ctx, s, "Signal", func() (offstage.SignalReport, error) { return s.under.Signal(ctx, name, payload) })
}

// FindSignal is the contract's.
func (s *Store) FindSignal(ctx context.Context, name string) ([]byte, bool, error) {
	return call2(ctx, s, "FindSignal", func() ([]byte, bool, error) { return s.under.FindSignal(ctx, name) })
}

// RememberChild is the contract's.
func (s *Store) RememberChild(ctx context.Context, hold offstage.Hold, name string, job offstage.NewJob, raise bool) (offstage.ID, error) {
	return call(ctx, s, "RememberChild", func() (offstage.ID, error) { return s.under.RememberChild(ctx, hold, name, job, raise) })
}

// Register is the contract's.
func (s *Store) Register(ctx context.Context, info offstage.WorkerInfo) (offstage.WorkerID, error) {
	return call(ctx, s, "Register", func() (offstage.WorkerID, error) { return s.under.Register(ctx, info) })
}

// Beat is the contract's.
func (s *Store) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	return call(ctx, s, "Beat", func() (offstage.Beat, error) { return s.under.Beat(ctx, worker) })
}

// Rescue is the contract's.
func (s *Store) Rescue(ctx context.Context, peer offstage.Peer, limit int) (int, bool, error) {
	return call2(ctx, s, "Rescue", func() (int, bool, error) { return s.under.Rescue(ctx, peer, limit) })
}

// Suspect is the contract's.
func (s *Store) Suspect(ctx context.Context, worker offstage.WorkerID, job offstage.ID, run int) error {
	return act(ctx, s, "Suspect", func() error { return s.under.Suspect(ctx, worker, job, run) })
}

// Unregister is the contract's.
func (s *Store) Unregister(ctx context.Context, worker offstage.WorkerID) error {
	return act(ctx, s, "Unregister", func() error { return s.under.Unregister(ctx, worker) })
}

// Lead is the contract's.
func (s *Store) Lead(ctx context.Context, worker offstage.WorkerID, ttl time.Duration) (int64, error) {
	return call(ctx, s, "Lead", func() (int64, error) { return s.under.Lead(ctx, worker, ttl) })
}

// Chore is the contract's.
func (s *Store) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	return call(ctx, s, "Chore", func() (offstage.ChoreReport, error) { return s.under.Chore(ctx, term, chore, limit) })
}

// Get is the contract's.
func (s *Store) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	return call(ctx, s, "Get", func() (offstage.Details, error) { return s.under.Get(ctx, id) })
}

// List is the contract's.
func (s *Store) List(ctx context.Context, filter offstage.Filter) (offstage.Page, error) {
	return call(ctx, s, "List", func() (offstage.Page, error) { return s.under.List(ctx, filter) })
}

// EndedOf is the contract's.
func (s *Store) EndedOf(ctx context.Context, ids []offstage.ID) ([]offstage.Ended, error) {
	return call(ctx, s, "EndedOf", func() ([]offstage.Ended, error) { return s.under.EndedOf(ctx, ids) })
}

// Stats is the contract's.
func (s *Store) Stats(ctx context.Context) (offstage.Stats, error) {
	return call(ctx, s, "Stats", func() (offstage.Stats, error) { return s.under.Stats(ctx) })
}

// Setting is the contract's.
func (s *Store) Setting(ctx context.Context, name string, value []byte) ([]byte, error) {
	return call(ctx, s, "Setting", func() ([]byte, error) { return s.under.Setting(ctx, name, value) })
}

// Look is the contract's.
func (s *Store) Look(ctx context.Context, ids []offstage.ID) ([]offstage.JobInfo, error) {
	return call(ctx, s, "Look", func() ([]offstage.JobInfo, error) { return s.under.Look(ctx, ids) })
}

// Place is the contract's.
func (s *Store) Place(ctx context.Context, id offstage.ID, limit int) (offstage.Place, error) {
	return call(ctx, s, "Place", func() (offstage.Place, error) { return s.under.Place(ctx, id, limit) })
}

// Line is the contract's.
func (s *Store) Line(ctx context.Context, queue string, limit int) (offstage.Line, error) {
	return call(ctx, s, "Line", func() (offstage.Line, error) { return s.under.Line(ctx, queue, limit) })
}

// Apply is the contract's.
func (s *Store) Apply(ctx context.Context, change offstage.Change) (offstage.State, error) {
	return call(ctx, s, "Apply", func() (offstage.State, error) { return s.under.Apply(ctx, change) })
}

// Pause is the contract's.
func (s *Store) Pause(ctx context.Context, target offstage.PauseTarget, paused bool) error {
	return act(ctx, s, "Pause", func() error { return s.under.Pause(ctx, target, paused) })
}

// FindSchedules is the contract's.
func (s *Store) FindSchedules(ctx context.Context, query offstage.ScheduleQuery) (offstage.SchedulePage, error) {
	return call(ctx, s, "FindSchedules", func() (offstage.SchedulePage, error) { return s.under.FindSchedules(ctx, query) })
}

// ChangeSchedules is the contract's.
func (s *Store) ChangeSchedules(ctx context.Context, changes []offstage.ScheduleChange) ([]offstage.ScheduleChanged, error) {
	return call(ctx, s, "ChangeSchedules", func() ([]offstage.ScheduleChanged, error) { return s.under.ChangeSchedules(ctx, changes) })
}

// Ticks is the contract's.
func (s *Store) Ticks(ctx context.Context, schedule int64, before time.Time, limit int) ([]offstage.TickInfo, error) {
	return call(ctx, s, "Ticks", func() ([]offstage.TickInfo, error) { return s.under.Ticks(ctx, schedule, before, limit) })
}

// Migrate is the contract's.
func (s *Store) Migrate(ctx context.Context) error {
	return act(ctx, s, "Migrate", func() error { return s.under.Migrate(ctx) })
}

// Close is the contract's.
func (s *Store) Close() error {
	return act(context.Background(), s, "Close", s.under.Close)
}

// errAsleep says that the store beneath wakes nobody.
var errAsleep = errors.New("the store beneath cannot wake anybody")

// Watch is the contract's of a Waker. A fault that begins while it lasts cuts it
// off; with the mode After it is cut off when it has begun.
func (s *Store) Watch(ctx context.Context, ready func(), wake func(offstage.News)) error {
	waker, ok := s.under.(offstage.Waker)
	if !ok {
		return errAsleep
	}
	return act(ctx, s, "Watch", func() error {
		watching, cut := context.WithCancelCause(ctx)
		defer cut(nil)
		forget := s.keep(cut)
		defer forget()
		err := waker.Watch(watching, func() {
			ready()
			s.cutBegun()
		}, wake)
		if cause := context.Cause(watching); cause != nil && ctx.Err() == nil {
			return &offstage.StoreError{Op: "Watch", Err: cause}
		}
		return err
	})
}

// Sleep is the contract's of a Waker.
func (s *Store) Sleep(ctx context.Context, worker offstage.WorkerID, asleep bool) error {
	waker, ok := s.under.(offstage.Waker)
	if !ok {
		return errAsleep
	}
	return act(ctx, s, "Sleep", func() error { return waker.Sleep(ctx, worker, asleep) })
}

// Within is the contract's; the methods of what it answers are those with Tx.
// before their names.
func (s *Store) Within(tx offstage.Tx) (offstage.TxStore, error) {
	return call(context.Background(), s, "Within", func() (offstage.TxStore, error) {
		under, err := s.under.Within(tx)
		if err != nil {
			return nil, err
		}
		return &txStore{under, s}, nil
	})
}

type txStore struct {
	under offstage.TxStore
	outer *Store
}

// Insert is the contract's.
func (s *txStore) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	return call(ctx, s.outer, "Tx.Insert", func() ([]offstage.Inserted, error) { return s.under.Insert(ctx, jobs) })
}

// InsertFlow is the contract's.
func (s *txStore) InsertFlow(ctx context.Context, job offstage.NewJob) (offstage.Inserted, error) {
	return call(ctx, s.outer, "Tx.InsertFlow", func() (offstage.Inserted, error) { return s.under.InsertFlow(ctx, job) })
}

// Complete is the contract's.
func (s *txStore) Complete(ctx context.Context, worker offstage.WorkerID, result offstage.Result) error {
	return act(ctx, s.outer, "Tx.Complete", func() error { return s.under.Complete(ctx, worker, result) })
}

// Recall is the contract's.
func (s *txStore) Recall(ctx context.Context, hold offstage.Hold, name string) (*offstage.StepInfo, error) {
	return call(ctx, s.outer, "Tx.Recall", func() (*offstage.StepInfo, error) { return s.under.Recall(ctx, hold, name) })
}

// Remember is the contract's.
func (s *txStore) Remember(ctx context.Context, hold offstage.Hold, step offstage.NewStep) error {
	return act(ctx, s.outer, "Tx.Remember", func() error { return s.under.Remember(ctx, hold, step) })
}

// Once is the contract's.
func (s *txStore) Once(ctx context.Context, key string) (bool, error) {
	return call(ctx, s.outer, "Tx.Once", func() (bool, error) { return s.under.Once(ctx, key) })
}

// Signal is the contract's.
func (s *txStore) Signal(ctx context.Context, name string, payload []byte) (offstage.SignalReport, error) {
	return call(ctx, s.outer, "Tx.Signal", func() (offstage.SignalReport, error) { return s.under.Signal(ctx, name, payload) })
}
