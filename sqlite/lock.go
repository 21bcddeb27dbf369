package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Side files carry the locks that processes on one database share. A lock
// belongs to the open file, not to the process, so two stores in one process
// exclude each other like two processes do; and the system lets go of it when
// the process ends, however it ends. The database file itself is never opened
// by this package: closing any descriptor of it would drop SQLite's own locks.
const (
	turnFile       = "turn.lock"
	writerFile     = "writer.lock"
	checkpointFile = "checkpoint.lock"
)

// patience is how long a writer waits for others before it gives up as busy.
const patience = 5 * time.Second

var errGateBusy = errors.New("another writer has held the database for 5 s")

// gate is where all who write to one file queue before they begin: those of
// this process by a channel, which is fair and passes the turn on at once, and
// the processes by two locks. Who waits for the writer's lock holds the turn's,
// so a process that has just committed cannot pass by the one that waits.
// SQLite's own lock, which is polled with growing pauses, would let one of two
// busy writers starve. A nil gate lets everybody through.
type gate struct {
	mine         chan struct{} // full while somebody of this process is in
	turn, writer *os.File
}

func openGate(dir string) (*gate, error) {
	turn, err := openLock(filepath.Join(dir, turnFile))
	if err != nil {
		return nil, err
	}
	writer, err := openLock(filepath.Join(dir, writerFile))
	if err != nil {
		return nil, errors.Join(err, turn.Close())
	}
	return &gate{make(chan struct{}, 1), turn, writer}, nil
}

func (g *gate) close() error { return errors.Join(g.turn.Close(), g.writer.Close()) }

// lock waits for the right to write, until ctx ends or patience does.
func (g *gate) lock(ctx context.Context) error {
	if g == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errGateBusy)
	defer cancel()
	select {
	case g.mine <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := waitLock(ctx, g.turn, 200*time.Microsecond)
	if err == nil {
		err = errors.Join(waitLock(ctx, g.writer, 50*time.Microsecond), unlock(g.turn))
	}
	if err != nil {
		<-g.mine
	}
	return err
}

func (g *gate) unlock() error {
	if g == nil {
		return nil
	}
	err := unlock(g.writer)
	<-g.mine
	return err
}

// waitLock polls: a wait inside the system could not be called off. The pauses
// grow twentyfold at most.
func waitLock(ctx context.Context, f *os.File, pause time.Duration) error {
	for limit := 20 * pause; ; pause = min(pause*9/8, limit) {
		switch ok, err := tryLock(f, true); {
		case err != nil:
			return err
		case ok:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		time.Sleep(pause)
	}
}

// openLock opens a lock file, and makes it if need be.
func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

// newHeldLock makes a lock file and locks it.
func newHeldLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := tryLock(f, true)
	if err == nil && !ok {
		err = errors.New("a new lock file is locked already: " + path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// heldByAnybody reports whether some open file holds the lock at path. A file
// that is gone is not held.
func heldByAnybody(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	free, err := tryLock(f, false) // shared: two that ask at once do not see each other
	return !free, err
}
