package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// locals are the workers that were registered through this store: their locks,
// and the beats that they have sent.
type locals struct {
	mu   sync.Mutex
	held map[offstage.WorkerID]*local // guarded by mu, like what is in it
}

type local struct {
	lock  *os.File // nil in memory
	beats int64
}

func (l *locals) add(id offstage.WorkerID, lock *os.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[offstage.WorkerID]*local{}
	}
	l.held[id] = &local{lock: lock}
}

// beat counts a beat.
func (l *locals) beat(id offstage.WorkerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.held[id]; w != nil {
		w.beats++
	}
}

// beats returns how often a worker of this store has beaten.
func (l *locals) beats(id offstage.WorkerID) (n int64, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.held[id]; w != nil {
		return w.beats, true
	}
	return 0, false
}

// drop lets go of a worker's lock.
func (l *locals) drop(id offstage.WorkerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.held[id]; w != nil && w.lock != nil {
		_ = w.lock.Close() // it was never written to
	}
	delete(l.held, id)
}

func (l *locals) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, w := range l.held {
		if w.lock != nil {
			errs = append(errs, w.lock.Close())
		}
	}
	l.held = nil
	return errors.Join(errs...)
}

const lockPattern = "worker-%d.lock"

// lockPath is the file that a worker holds locked for as long as it lives.
func (s *Store) lockPath(id offstage.WorkerID) string {
	return filepath.Join(s.at.side, fmt.Sprintf(lockPattern, id))
}

// lives reports whether a worker's process does.
func (s *Store) lives(id offstage.WorkerID) (bool, error) {
	if _, mine := s.locals.beats(id); mine || s.at.memory {
		return mine, nil
	}
	return heldByAnybody(s.lockPath(id))
}

// forget removes what a worker leaves in the side folder. What cannot be
// removed now is swept away when a store is opened.
func (s *Store) forget(id offstage.WorkerID) {
	s.locals.drop(id)
	s.unlearn(id)
	if !s.at.memory {
		_ = os.Remove(s.lockPath(id))
	}
}

// sweepLocks removes lock files of workers that are not registered any more.
// Those of the last minute are left: their rows may be about to come.
func (s *Store) sweepLocks(ctx context.Context) error {
	if s.at.memory {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(s.at.side), "worker-*.lock"))
	if err != nil || len(files) == 0 {
		return err
	}
	return s.read(ctx, "look for left locks", func(ses session) error {
		for _, file := range files {
			var id offstage.WorkerID
			if _, err := fmt.Sscanf(filepath.Base(file), lockPattern, &id); err != nil {
				continue
			}
			known, err := first(ses.rows(sqlLive, id))
			if err != nil {
				return err
			}
			info, err := os.Stat(file)
			if known != nil || err != nil || time.Since(info.ModTime()) < time.Minute {
				continue
			}
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
