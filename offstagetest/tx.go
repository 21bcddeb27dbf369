package offstagetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
)

// Transaction is a transaction of the store's own, which stands in tests for
// that of a database: what is done in it happens when it commits, and nobody
// sees it before. It holds no lock. It is for one goroutine.
type Transaction struct {
	store *Store
	steps []step
	done  bool
}

// step is one call in a transaction. It is carried out at the call, to know its
// answer, and undone; and once more at the commit, where it fails unless its
// answer is the same.
type step func() error

// undoLog holds what takes changes back, to be called from the last to the
// first.
type undoLog struct {
	changes []func()
}

var errTxDone = errors.New("offstagetest: the transaction has been committed or rolled back")

// Begin starts a transaction. It costs nothing to leave it unfinished.
func (s *Store) Begin() *Transaction { return &Transaction{store: s} }

// Tx makes a transaction known as that of a caller, as in
// client.In(offstagetest.Tx(tx)).
func Tx(tx *Transaction) offstage.Tx { return storeTx{tx} }

type storeTx struct{ tx *Transaction }

// StoreTx returns the transaction.
func (t storeTx) StoreTx() any { return t.tx }

// Within returns the store as seen from inside a transaction of this store;
// see [offstage.Store].
func (s *Store) Within(tx offstage.Tx) (offstage.TxStore, error) {
	if tx == nil {
		return nil, offstage.ErrForeignTx
	}
	t, mine := tx.StoreTx().(*Transaction)
	if !mine || t == nil || t.store != s {
		return nil, offstage.ErrForeignTx
	}
	return txStore{t}, nil
}

// Commit carries out what was done in the transaction, all of it or nothing. If
// others have changed meanwhile what it rests on, the error is one of class
// [offstage.FaultBusy], or [offstage.ErrLeaseLost] for a completion.
func (t *Transaction) Commit() error {
	if t.done {
		return errTxDone
	}
	t.done = true
	s := t.store
	if err := s.lock(context.Background()); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.undo = &undoLog{}
	for _, step := range t.steps {
		if err := step(); err != nil {
			s.takeBack()
			return err
		}
	}
	s.undo = nil
	if len(t.steps) > 0 {
		s.tell(offstage.NewsAny)
	}
	return nil
}

// Rollback forgets what was done in the transaction.
func (t *Transaction) Rollback() error {
	if t.done {
		return errTxDone
	}
	t.done, t.steps = true, nil
	return nil
}

// try carries out a step after all earlier ones and takes everything back. If it
// did not fail, it is one of the transaction's.
func (t *Transaction) try(ctx context.Context, next step) error {
	if t.done {
		return errTxDone
	}
	s := t.store
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.undo = &undoLog{}
	defer s.takeBack()
	steps := append(t.steps, next)
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	t.steps = steps
	return nil
}

// takeBack undoes all changes since the undo log was begun.
func (s *Store) takeBack() {
	for _, change := range slices.Backward(s.undo.changes) {
		change()
	}
	s.undo = nil
}

// undoing notes what takes the present change back, inside a transaction.
func (s *Store) undoing(change func()) {
	if s.undo != nil {
		s.undo.changes = append(s.undo.changes, change)
	}
}

// edit returns the job's record for changing: inside a transaction it is a copy,
// which takes the record's place.
func (s *Store) edit(j *job) *job {
	if s.undo == nil {
		return j
	}
	changed := *j
	changed.attempts = slices.Clip(changed.attempts)
	s.jobs[j.ID] = &changed
	s.undoing(func() { s.jobs[j.ID] = j })
	return &changed
}

// txStore is the store inside a transaction.
type txStore struct{ tx *Transaction }

// Insert stores jobs if the transaction commits; see [offstage.TxStore].
func (t txStore) Insert(ctx context.Context, jobs []offstage.NewJob) ([]offstage.Inserted, error) {
	s, now := t.tx.store, time.Now()
	jobs, before := cloneJobs(jobs), s.reserveAlone(len(jobs))
	var answer []offstage.Inserted
	err := t.tx.try(ctx, func() error {
		inserted := s.insertAll(jobs, before, now)
		if answer == nil {
			answer = slices.Clone(inserted)
		}
		if slices.Equal(inserted, answer) {
			return nil
		}
		return busy("a unique key that the transaction met has changed hands")
	})
	if err != nil {
		return nil, err
	}
	return slices.Clone(answer), nil
}

// busy is the failure of a commit that others have made impossible.
func busy(why string) error {
	return &offstage.StoreError{Class: offstage.FaultBusy, Op: "commit", Err: errors.New(why)}
}

// reserveAlone takes n ids outside any other call.
func (s *Store) reserveAlone(n int) offstage.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserve(n)
}

// Complete ends a running attempt as completed if the transaction commits; see
// [offstage.TxStore].
func (t txStore) Complete(ctx context.Context, worker offstage.WorkerID, result offstage.Result) error {
	if result.Outcome != offstage.OutcomeCompleted {
		return &offstage.InvalidError{Field: "outcome", Problem: "a transaction can only complete an attempt, not end it as " + result.Outcome.String()}
	}
	result.Next = offstage.Completed
	result.Value, result.Log = bytes.Clone(result.Value), bytes.Clone(result.Log)
	return t.tx.try(ctx, func() error {
		if t.tx.store.finish(worker, &result, time.Now()).Kind != offstage.Counted {
			return offstage.ErrLeaseLost
		}
		return nil
	})
}
