package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/offstagehq/offstage"
)

// news is a set of kinds of news.
type news uint8

func newsOf(n offstage.News) news { return 1 << n }

// newsroom passes news of commits to those who watch in this process.
type newsroom struct {
	mu      sync.Mutex
	readers map[*newsReader]bool // guarded by mu, like what they have
}

type newsReader struct {
	unread news
	signal chan struct{} // there is something unread; holds one
}

func (r *newsroom) publish(n news) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for reader := range r.readers {
		reader.unread |= n
		select {
		case reader.signal <- struct{}{}:
		default:
		}
	}
}

func (r *newsroom) enter() *newsReader {
	r.mu.Lock()
	defer r.mu.Unlock()
	reader := &newsReader{signal: make(chan struct{}, 1)}
	if r.readers == nil {
		r.readers = map[*newsReader]bool{}
	}
	r.readers[reader] = true
	return reader
}

func (r *newsroom) leave(reader *newsReader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.readers, reader)
}

// take returns what a reader has not read yet.
func (r *newsroom) take(reader *newsReader) news {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := reader.unread
	reader.unread = 0
	return n
}

// Watch calls wake after commits that may bring news, through this store or
// through any other connection to the file, until ctx ends; then it returns
// nil. News that comes while wake runs is told once. With [WithoutWatch], and in
// memory, only this store's own commits and those by [Store.DB] in memory are
// seen.
func (s *Store) Watch(ctx context.Context, ready func(), wake func(offstage.News)) error {
	reader := s.site.news.enter()
	defer s.site.news.leave(reader)
	broken := make(chan error, 1)
	if s.watches {
		stop, err := s.watchLog(broken)
		if err != nil {
			return fault("watch the database", err)
		}
		defer stop()
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closing:
			return offstage.ErrClosed
		case err := <-broken:
			return fault("watch the database", err)
		case <-reader.signal:
		}
		unread := s.site.news.take(reader)
		for _, n := range []offstage.News{offstage.NewsCancel, offstage.NewsReady, offstage.NewsAny} {
			if unread&newsOf(n) != 0 {
				wake(n)
			}
		}
	}
}

// Sleep does nothing: enqueuers do not knock, their commits are seen.
func (s *Store) Sleep(context.Context, offstage.WorkerID, bool) error { return nil }

// A transaction is written to the log first, then synced, and only then can
// others see it; the last step is in shared memory and raises no event. So the
// log is looked at again for a while after it was written to.
const (
	firstLook = time.Millisecond
	lastLook  = 20 * time.Millisecond // between looks, at last
	lookFor   = 400 * time.Millisecond
)

// watchLog watches the write-ahead log, and has the writer look for commits of
// others whenever anybody writes to it. The log is there as long as a connection
// is open. The function that it returns ends the watch.
func (s *Store) watchLog(broken chan<- error) (stop func(), err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := watcher.Add(s.at.wal()); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.followLog(watcher); err != nil {
			broken <- err
		}
	}()
	return func() {
		_ = watcher.Close() // it ends the goroutine; what it says no longer matters
		<-done
	}, nil
}

// followLog returns nil when the watcher is closed.
func (s *Store) followLog(watcher *fsnotify.Watcher) error {
	look := time.NewTimer(0)
	defer look.Stop()
	<-look.C
	var pause, spent time.Duration
	for {
		select {
		case event, open := <-watcher.Events:
			if !open {
				return nil
			}
			if event.Op.Has(fsnotify.Remove | fsnotify.Rename) {
				return errors.New("the write-ahead log was taken away")
			}
			if pause == 0 || spent > 0 {
				pause, spent = firstLook, 0
				look.Reset(pause)
			}
		case err, open := <-watcher.Errors:
			if !open {
				return nil
			}
			return err
		case <-look.C:
			s.poke()
			if spent += pause; spent > lookFor {
				pause = 0
				continue
			}
			pause = min(pause*3/2, lastLook)
			look.Reset(pause)
		}
	}
}
