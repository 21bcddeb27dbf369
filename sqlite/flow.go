package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	lib "modernc.org/sqlite/lib"
)

// flow moves the write-ahead log into the file. SQLite would do so within the
// commit that fills the log, and let it grow without bound while readers and
// writers overlap. Here a goroutine with a connection of its own does it, in one
// process at a time, in two steps: first beside the writer, which costs most of
// the work and delays nobody; then what has come meanwhile, in the writer's
// place, so that the next writer finds the log empty and starts it over.
type flow struct {
	store  *Store
	writes int           // of the writer's connection, at the last signal
	signal chan struct{} // enough was written for a look; holds one
	cancel context.CancelFunc
	group  sync.WaitGroup

	lock *os.File // these two are opened at the first look
	conn *conn
}

const (
	writesPerLook = 500    // statements between looks at the log's length
	fewFrames     = 1_000  // pages in the log that are not worth the work
	manyFrames    = 16_384 // 64 MiB: readers are asked to make way
)

func (f *flow) start(s *Store) {
	f.store = s
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	f.signal = make(chan struct{}, 1)
	if !s.at.memory {
		f.group.Go(func() { f.run(ctx) })
	}
}

// wrote notes what the writer has written; it is called by the writer.
func (f *flow) wrote(writes int) {
	if writes-f.writes < writesPerLook {
		return
	}
	f.writes = writes
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

func (f *flow) stop() {
	f.cancel()
	f.group.Wait()
}

func (f *flow) run(ctx context.Context) {
	defer f.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.signal:
		}
		// An error here hurts nobody: the log stays as it is, and the next look
		// tries again. Only a failed sync is the end.
		if err := f.look(ctx); lostWrites(err) {
			f.store.fail()
		}
	}
}

const (
	sqlLogLength  = `PRAGMA wal_checkpoint(NOOP)`
	sqlMoveLog    = `PRAGMA wal_checkpoint(PASSIVE)`
	sqlRestartLog = `PRAGMA wal_checkpoint(RESTART)`
	sqlLittleWait = `PRAGMA busy_timeout(100)`
)

// look moves the log if it is long and no other process is at it.
func (f *flow) look(ctx context.Context) error {
	if err := f.open(ctx); err != nil {
		return err
	}
	if alone, err := tryLock(f.lock, true); err != nil || !alone {
		return err
	}
	defer func() { _ = unlock(f.lock) }() // closing the file unlocks it too
	length, err := first(f.conn.rows(sqlLogLength))
	if err != nil || length.num(1) < fewFrames {
		return err
	}
	if _, err := first(f.conn.rows(sqlMoveLog)); err != nil {
		return err
	}
	if err := f.store.site.gate.lock(ctx); err != nil {
		return err
	}
	defer func() { _ = f.store.site.gate.unlock() }()
	moved, err := first(f.conn.rows(sqlMoveLog))
	if err != nil || moved.num(1) < manyFrames {
		return err
	}
	_, err = first(f.conn.rows(sqlRestartLog))
	if codeOf(err)&0xff == lib.SQLITE_BUSY {
		return nil
	}
	return err
}

func (f *flow) open(ctx context.Context) (err error) {
	if f.lock == nil {
		if f.lock, err = openLock(filepath.Join(f.store.at.side, checkpointFile)); err != nil {
			return err
		}
	}
	if f.conn == nil {
		if f.conn, err = f.store.dial(ctx, forCheckpoints); err != nil {
			return err
		}
		_, err = first(f.conn.rows(sqlLittleWait))
	}
	return err
}

// close ends what open began. Nothing that was written depends on it.
func (f *flow) close() {
	if f.conn != nil {
		_ = f.conn.Close()
	}
	if f.lock != nil {
		_ = f.lock.Close()
	}
}
