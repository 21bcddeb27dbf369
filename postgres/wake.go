package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offstagehq/offstage"
)

// What notifications say, on a channel named like the schema.
const (
	payloadReady  = "ready"
	payloadCancel = "cancel"
	payloadAny    = "any"
	payloadEnded  = "ended"
	payloadProbe  = "probe " // and a number: a watcher's word to itself
)

// probePatience is how long a notification to oneself may take before LISTEN is
// taken not to work here.
const probePatience = 3 * time.Second

// errDeaf says that LISTEN does not work, as through PgBouncer in transaction mode.
var errDeaf = errors.New("offstage: LISTEN brings no notifications on this connection (a pooler in transaction mode?); jobs are found by polling")

// Watch listens for news on a connection of its own; see [offstage.Waker]. An
// error that is no StoreError means that notifications do not come through here.
func (s *Store) Watch(ctx context.Context, ready func(), wake func(offstage.News)) error {
	return s.listenUntil(ctx, func(context.Context) error { ready(); return nil }, func(payload string) {
		switch payload {
		case payloadReady:
			wake(offstage.NewsReady)
		case payloadCancel:
			wake(offstage.NewsCancel)
		case payloadAny:
			wake(offstage.NewsAny)
		}
	})
}

// listenUntil hands over what is notified until ctx ends. begun is called once,
// when nothing will be missed any more.
func (s *Store) listenUntil(ctx context.Context, begun func(context.Context) error, heed func(payload string)) error {
	if err := s.usable(ctx, "watch"); err != nil {
		return err
	}
	listening, cancel := context.WithCancel(ctx)
	var ends sync.WaitGroup
	defer ends.Wait()
	defer cancel()
	ends.Go(func() {
		select {
		case <-s.closing:
			cancel()
		case <-listening.Done():
		}
	})
	err := s.watch(listening, begun, heed)
	switch {
	case ctx.Err() != nil:
		return nil
	case s.closed.Load():
		return closedError("watch")
	case errors.Is(err, errDeaf):
		return err
	}
	return fault(ctx, "watch for news", err, false)
}

// watch listens until ctx ends or something fails.
func (s *Store) watch(ctx context.Context, begun func(context.Context) error, heed func(payload string)) error {
	conn, err := pgx.ConnectConfig(ctx, s.listen)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(ctx) // whatever it says, the connection is gone
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.schema}.Sanitize()); err != nil {
		return err
	}
	if err := s.hears(ctx, conn); err != nil {
		return err
	}
	if err := begun(ctx); err != nil {
		return err
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		heed(n.Payload)
	}
}

// hears makes sure that notifications arrive, by one to itself. It is sent from
// another connection: a pooler may deliver what a session sends to itself.
func (s *Store) hears(ctx context.Context, conn *pgx.Conn) error {
	probe := fmt.Sprintf("%s%d-%d", payloadProbe, s.nonce, time.Now().UnixNano())
	if err := s.notify(ctx, probe); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(patient)
		switch {
		case err != nil && patient.Err() != nil && ctx.Err() == nil:
			return errDeaf
		case err != nil:
			return err
		case n.Payload == probe:
			return nil
		}
	}
}

// notifySQL sends $2 to all that listen to channel $1 when its transaction, which
// may be about more, has committed.
const notifySQL = `SELECT pg_notify($1::text, $2::text)`

func (s *Store) notify(ctx context.Context, payload string) error {
	return s.send(ctx, s.work, unit{op: "notify", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(notifySQL, s.schema, payload)
	}})
}

// sleepSQL notes that worker $1 is asleep: whoever commits a job after this has
// committed will see it and knock.
// $2 counts its naps.
const sleepSQL = `UPDATE offstage.beat SET asleep = true, nap = $2::bigint WHERE worker = $1::bigint AND NOT dead`

// numberSQL takes a transaction's number. All that have written by now have lower
// ones, which cannot be said of a snapshot's xmax: it is below the numbers of
// transactions that are open while no later one has ended.
const numberSQL = `SELECT set_config('synchronous_commit', 'off', true), pg_current_xact_id()`

// Sleep tells enqueuers whether a worker must be knocked up; see
// [offstage.Waker]. That it is awake is written with its next heartbeat: until
// then it is knocked up in vain, which costs less than a write for each nap.
func (s *Store) Sleep(ctx context.Context, worker offstage.WorkerID, asleep bool) error {
	if !asleep {
		s.sleepers.wake(worker)
		return nil
	}
	nap, known := s.sleepers.sleep(worker)
	if known {
		return nil
	}
	err := s.send(ctx, s.work, unit{op: "go to sleep", repeatable: true, build: func(b *pgx.Batch) {
		b.Queue(s.sql(sleepSQL), int64(worker), nap)
	}})
	var horizon uint64
	if err == nil {
		err = s.send(ctx, s.work, unit{op: "go to sleep", repeatable: true, build: func(b *pgx.Batch) {
			b.Queue(numberSQL).QueryRow(func(row pgx.Row) error { return row.Scan(nil, &horizon) })
		}})
	}
	if err != nil {
		s.sleepers.unknown(worker)
		return err
	}
	s.sleepers.fell(worker, nap, horizon)
	return nil
}

// sleepers remembers what enqueuers know of this process's workers.
type sleepers struct {
	mu      sync.Mutex // guards the rest
	workers map[offstage.WorkerID]*sleeper
}

type sleeper struct {
	asleep bool  // as the worker says
	stored bool  // enqueuers see it asleep
	nap    int64 // counts its naps, from 1
	// horizon bounds the transactions that matter to a worker that is asleep:
	// those that wrote before it fell asleep found it awake, perhaps, and will
	// not knock.
	horizon uint64
}

func (sl *sleepers) of(worker offstage.WorkerID) *sleeper {
	if sl.workers == nil {
		sl.workers = map[offstage.WorkerID]*sleeper{}
	}
	w := sl.workers[worker]
	if w == nil {
		w = &sleeper{}
		sl.workers[worker] = w
	}
	return w
}

// sleep notes a nap and reports whether enqueuers know of it already.
func (sl *sleepers) sleep(worker offstage.WorkerID) (nap int64, known bool) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	w := sl.of(worker)
	known = w.stored
	if !known {
		w.nap++
	}
	w.asleep, w.stored = true, true
	return w.nap, known
}

// fell notes that a nap has begun for everybody whose transaction's number is not
// below horizon.
func (sl *sleepers) fell(worker offstage.WorkerID, nap int64, horizon uint64) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if w := sl.of(worker); w.nap == nap {
		w.horizon = horizon
	}
}

func (sl *sleepers) wake(worker offstage.WorkerID) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.of(worker).asleep = false
}

func (sl *sleepers) unknown(worker offstage.WorkerID) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	sl.of(worker).stored = false
}

func (sl *sleepers) forget(worker offstage.WorkerID) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	delete(sl.workers, worker)
}

// settle returns the latest nap that is over, for a heartbeat to store; 0 while
// the worker is asleep. From then on enqueuers may see it awake, whether or not
// the heartbeat's answer arrives.
func (sl *sleepers) settle(worker offstage.WorkerID) (over int64) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	w := sl.of(worker)
	if w.asleep {
		return 0
	}
	w.stored = false
	return w.nap
}

// mark is called before a look; pending wants it back after.
func (sl *sleepers) mark(worker offstage.WorkerID) (nap int64) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if w := sl.of(worker); w.asleep && w.stored {
		return w.nap
	}
	return 0
}

// pending reports whether transactions were open at a look that may have added
// jobs which nobody will announce to this worker. While it is awake that is any;
// while it is asleep it is those that had written before: later ones see it asleep.
func (sl *sleepers) pending(worker offstage.WorkerID, nap int64, sn snapshot) bool {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	w := sl.of(worker)
	if nap == 0 || nap != w.nap {
		return len(sn.open) > 0
	}
	return len(sn.open) > 0 && sn.open[0] < w.horizon
}
