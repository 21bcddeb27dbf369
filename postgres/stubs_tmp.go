package postgres

import (
	"context"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/offstagehq/offstage"
)

var errStub = errors.New("stub")

type promoter struct{}
type pruner struct{}
type counter struct{}

func (s *Store) queueFree(b *pgx.Batch, keys []heldKey, ready func(offstage.ID)) {}
func (s *Store) unblockKinds(ctx context.Context, kinds []int32) error           { return nil }
func (s *Store) insertUnique(ctx context.Context, rows []row) ([]offstage.Inserted, error) {
	return nil, errStub
}
func (s *Store) InsertSeq(ctx context.Context, jobs iter.Seq2[offstage.NewJob, error]) (int64, error) {
	return 0, errStub
}
func (s *Store) Within(tx offstage.Tx) (offstage.TxStore, error) { return nil, errStub }
func (s *Store) Rescue(ctx context.Context, peer offstage.Peer, limit int) (int, bool, error) {
	return 0, false, errStub
}
func (s *Store) Chore(ctx context.Context, term int64, chore offstage.Chore, limit int) (offstage.ChoreReport, error) {
	return offstage.ChoreReport{}, nil
}
func (s *Store) Get(ctx context.Context, id offstage.ID) (offstage.Details, error) {
	return offstage.Details{}, errStub
}
func (s *Store) List(ctx context.Context, filter offstage.Filter) (offstage.Page, error) {
	return offstage.Page{}, errStub
}
func (s *Store) EndedOf(ctx context.Context, ids []offstage.ID) ([]offstage.Ended, error) {
	return nil, errStub
}
func (s *Store) Stats(ctx context.Context) (offstage.Stats, error) { return offstage.Stats{}, errStub }
func (s *Store) Setting(ctx context.Context, name string, value []byte) ([]byte, error) {
	return nil, errStub
}
func (s *Store) Apply(ctx context.Context, change offstage.Change) (offstage.State, error) {
	return 0, errStub
}
func (s *Store) Pause(ctx context.Context, target offstage.PauseTarget, paused bool) error {
	return errStub
}
