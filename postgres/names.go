package postgres

import (
	"context"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// names knows the small numbers that stand for queues and kinds in hot tables.
// Rows are never removed or renamed, so what was read stays right, except that a
// failover may undo the latest: a new connection starts anew.
type names struct {
	mu     sync.RWMutex // guards the rest
	epoch  int64
	queues interned
	kinds  interned
}

type interned struct {
	byName map[string]int32
	byID   map[int32]string
}

func newInterned() interned { return interned{map[string]int32{}, map[int32]string{}} }

func (in *interned) add(id int32, name string) { in.byName[name], in.byID[id] = id, name }

func (in *interned) ids(names []string) (ids []int32, missing []string) {
	ids = make([]int32, len(names))
	for i, name := range names {
		id, known := in.byName[name]
		if !known && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		ids[i] = id
	}
	return ids, missing
}

// intern returns the numbers of queues and kinds, after making rows for the
// names that have none: in a transaction of its own, on the connection for
// heartbeats, so that it works while the caller's transactions hold all others.
func (s *Store) intern(ctx context.Context, queues, kinds []string) (queueIDs, kindIDs []int32, err error) {
	for {
		queueIDs, kindIDs, q, k := s.known(queues, kinds)
		if len(q)+len(k) == 0 {
			return queueIDs, kindIDs, nil
		}
		if err := s.createNames(ctx, q, k); err != nil {
			return nil, nil, err
		}
	}
}

func (s *Store) known(queues, kinds []string) (queueIDs, kindIDs []int32, missingQueues, missingKinds []string) {
	s.names.mu.RLock()
	defer s.names.mu.RUnlock()
	queueIDs, missingQueues = s.names.queues.ids(queues)
	kindIDs, missingKinds = s.names.kinds.ids(kinds)
	return queueIDs, kindIDs, missingQueues, missingKinds
}

// The rows are looked for first: a conflict would use up a number. Those that
// are made meanwhile by others are conflicts, and found by the next statement.
const (
	createQueuesSQL = `INSERT INTO offstage.queue (name)
SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM offstage.queue q WHERE q.name = n)
ORDER BY n ON CONFLICT (name) DO NOTHING`
	createKindsSQL = `INSERT INTO offstage.kind (name)
SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM offstage.kind k WHERE k.name = n)
ORDER BY n ON CONFLICT (name) DO NOTHING`
	findQueuesSQL = `SELECT id, name FROM offstage.queue WHERE name = ANY($1::text[])`
	findKindsSQL  = `SELECT id, name FROM offstage.kind WHERE name = ANY($1::text[])`
	allQueuesSQL  = `SELECT id, name FROM offstage.queue`
	allKindsSQL   = `SELECT id, name FROM offstage.kind`
)

func (s *Store) createNames(ctx context.Context, queues, kinds []string) error {
	return s.send(ctx, s.pulse, unit{op: "register queue and kind names", repeatable: true, build: func(b *pgx.Batch) {
		if len(queues) > 0 {
			b.Queue(s.sql(createQueuesSQL), strs(queues))
			b.Queue(s.sql(findQueuesSQL), strs(queues)).Query(s.learn(&s.names.queues))
		}
		if len(kinds) > 0 {
			b.Queue(s.sql(createKindsSQL), strs(kinds))
			b.Queue(s.sql(findKindsSQL), strs(kinds)).Query(s.learn(&s.names.kinds))
		}
	}})
}

// loadNames reads all names, when a number was met that is not known.
func (s *Store) loadNames(ctx context.Context) error {
	return s.send(ctx, s.pulse, unit{op: "read queue and kind names", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(allQueuesSQL)).Query(s.learn(&s.names.queues))
		b.Queue(s.sql(allKindsSQL)).Query(s.learn(&s.names.kinds))
	}})
}

// learn returns what takes rows of id and name into one of the two tables.
func (s *Store) learn(table *interned) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		s.names.mu.Lock()
		defer s.names.mu.Unlock()
		if epoch := s.epoch.Load(); s.names.epoch != epoch || s.names.queues.byName == nil {
			s.names.epoch, s.names.queues, s.names.kinds = epoch, newInterned(), newInterned()
		}
		var id int32
		var name string
		_, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
			table.add(id, name)
			return nil
		})
		return err
	}
}

// queueNames and kindNames translate back. A number without a name is looked up
// by the caller with loadNames.
func (s *Store) queueName(id int32) (string, bool) { return s.nameOf(&s.names.queues, id) }

func (s *Store) kindName(id int32) (string, bool) { return s.nameOf(&s.names.kinds, id) }

func (s *Store) nameOf(table *interned, id int32) (string, bool) {
	s.names.mu.RLock()
	defer s.names.mu.RUnlock()
	name, known := table.byID[id]
	return name, known
}
