package sqlite

import (
	"context"
	"encoding/json"
	"os"
	"slices"

	"github.com/offstagehq/offstage"
)

// One row into the worker table.
const sqlAddWorker = `INSERT INTO offstage_worker (id, info, started_at) VALUES (?, ?, ?)`

// Register gives the worker an id, takes its lock, and then makes it known: a
// worker that others see always holds its lock. Blocked jobs of its kinds
// become ready, a page of each kind at once and the rest by the chore.
func (s *Store) Register(ctx context.Context, info offstage.WorkerInfo) (offstage.WorkerID, error) {
	text, err := json.Marshal(info)
	if err != nil {
		return 0, err
	}
	var id offstage.WorkerID
	err = s.write(ctx, "register a worker", func(t *tx) error {
		n, err := t.next(&t.count.worker)
		id = offstage.WorkerID(n)
		return err
	})
	if err != nil {
		return 0, err
	}
	var lock *os.File
	if !s.at.memory {
		if lock, err = newHeldLock(s.lockPath(id)); err != nil {
			return 0, fault("register a worker", err)
		}
	}
	s.locals.add(id, lock)
	err = s.write(ctx, "register a worker", func(t *tx) error {
		if _, err := t.exec(sqlAddWorker, id, string(text), t.now); err != nil {
			return err
		}
		return t.introduce(info)
	})
	if err != nil {
		s.forget(id)
		return 0, err
	}
	return id, nil
}

const sqlKeep = `UPDATE offstage_kind SET keep_completed = ?, keep_failed = ? WHERE id = ?`

// introduce makes a worker's queues and kinds known, and unblocks jobs of these.
func (t *tx) introduce(info offstage.WorkerInfo) error {
	for _, name := range info.Queues {
		if _, err := t.queue(name); err != nil {
			return err
		}
	}
	for _, k := range info.Kinds {
		kind, err := t.kind(k.Name)
		if err != nil {
			return err
		}
		if kind.keep != k.Retention {
			if _, err := t.exec(sqlKeep, k.Retention.Completed, k.Retention.Failed, kind.id); err != nil {
				return err
			}
			changed := *kind
			changed.keep = k.Retention
			if err := t.rename(func(n *names) { n.kinds.add(&changed) }); err != nil {
				return err
			}
		}
		if kind.paused {
			continue
		}
		if _, _, err := t.unblockKind(kind.id, unblockPage); err != nil {
			return err
		}
	}
	return nil
}

// All that a heartbeat asks, in one statement: the workers, the claims of one by
// the primary key, the cancels. All three tables are small.
const sqlBeat = `SELECT 0, id, dead FROM offstage_worker
UNION ALL SELECT 1, seq, 0 FROM offstage_claim WHERE worker = ?
UNION ALL SELECT 2, job, 0 FROM offstage_cancel`

// Beat reads what the worker should know and writes nothing; while nobody commits
// it even knows that by heart. A peer is dead when its lock is free. The counter of
// a peer of this very store is the number of its beats; that of another process is
// as alive as its lock, so it changes with each look.
func (s *Store) Beat(ctx context.Context, worker offstage.WorkerID) (offstage.Beat, error) {
	if s.watching.Load() == 0 {
		s.poke() // for want of a watch, others' commits are heard with each beat
	}
	var beat offstage.Beat
	if s.isClosing() {
		return beat, offstage.ErrClosed
	}
	if answer, _, known := s.recall(question{sqlBeat, worker}, believeBeat); known {
		beat = answer.(offstage.Beat)
	} else {
		commits, _ := s.stamp()
		registered, err := false, error(nil)
		if beat, registered, err = s.askForBeat(ctx, worker); err != nil {
			return offstage.Beat{}, err
		}
		if !registered {
			s.forget(worker)
			return offstage.Beat{}, offstage.ErrGone
		}
		s.remember(question{sqlBeat, worker}, commits, beat)
	}
	s.locals.beat(worker)
	// What is remembered stays as it is.
	beat.Held, beat.Cancels, beat.Peers = slices.Clone(beat.Held), slices.Clone(beat.Cancels), slices.Clone(beat.Peers)
	return beat, s.lookAfter(beat.Peers)
}

// askForBeat reads all of a beat but whether the peers live, and whether the worker
// is registered, and not dead.
func (s *Store) askForBeat(ctx context.Context, worker offstage.WorkerID) (beat offstage.Beat, registered bool, err error) {
	err = s.glance(ctx, "beat", func(ses session) error {
		for r, err := range ses.rows(sqlBeat, worker) {
			if err != nil {
				return err
			}
			switch r.int(0) {
			case 1:
				beat.Held = append(beat.Held, r.num(1))
			case 2:
				beat.Cancels = append(beat.Cancels, r.id(1))
			default:
				if id := offstage.WorkerID(r.num(1)); id != worker {
					beat.Peers = append(beat.Peers, offstage.Peer{ID: id, Dead: r.yes(2)})
				} else {
					registered = !r.yes(2)
				}
			}
		}
		return nil
	})
	return beat, registered, err
}

// lookAfter fills in whether the peers live.
func (s *Store) lookAfter(peers []offstage.Peer) error {
	for i := range peers {
		peer := &peers[i]
		beats, mine := s.locals.beats(peer.ID)
		if !mine {
			beats = s.looks.Add(1)
		}
		peer.Counter = beats
		if mine || peer.Dead {
			continue
		}
		lives, err := s.lives(peer.ID)
		if err != nil {
			return fault("look after workers", err)
		}
		peer.Dead = !lives
	}
	return nil
}

// One worker and its claims, by the primary keys.
const (
	sqlDropWorker = `DELETE FROM offstage_worker WHERE id = ?`
	sqlCondemn    = `UPDATE offstage_worker SET dead = 1 WHERE id = ?`
	sqlHolds      = `SELECT 1 FROM offstage_claim WHERE worker = ? LIMIT 1`
)

// Unregister forgets a worker. One that still has claims is marked as dead, so
// that its peers rescue them at once.
func (s *Store) Unregister(ctx context.Context, worker offstage.WorkerID) error {
	err := s.write(ctx, "unregister a worker", func(t *tx) error {
		holds, err := first(t.rows(sqlHolds, worker))
		if err != nil {
			return err
		}
		query := sqlDropWorker
		if holds != nil {
			query = sqlCondemn
		}
		_, err = t.exec(query, worker)
		return err
	})
	if err == nil {
		s.forget(worker)
	}
	return err
}
