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

// newsEnded is for those who wait for the ends of jobs; workers need not know.
const newsEnded news = 1 << 7

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
	return s.watchFor(ctx, ready, func(unread news) {
		for _, n := range []offstage.News{offstage.NewsCancel, offstage.NewsReady, offstage.NewsAny} {
			if unread&newsOf(n) != 0 {
				wake(n)
			}
		}
	})
}

// WatchEnds calls wake after commits that may have ended jobs, through this store
// or any other connection to the file, until ctx ends; see [offstage.Herald] and,
// for what is seen, [Store.Watch].
func (s *Store) WatchEnds(ctx context.Context, ready, wake func()) error {
	return s.watchFor(ctx, ready, func(unread news) {
		if unread&(newsEnded|newsOf(offstage.NewsAny)) != 0 {
			wake()
		}
	})
}

// watchFor has a reader take the news until ctx ends.
func (s *Store) watchFor(ctx context.Context, ready func(), take func(news)) error {
	if s.isClosing() {
		return offstage.ErrClosed
	}
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
		take(s.site.news.take(reader))
	}
}

// Sleep does nothing: enqueuers do not knock, their commits are seen.
func (s *Store) Sleep(context.Context, offstage.WorkerID, bool) error { return nil }

// watchLog watches the write-ahead log, and has the writer look for commits of
// others when anybody writes to it. The log is there as long as a connection is
// open. The function that it returns ends the watch.
func (s *Store) watchLog(broken chan<- error) (stop func(), err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := watcher.Add(s.at.wal()); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	done := make(chan struct{})
	s.watching.Add(1)
	go func() {
		defer close(done)
		defer s.watching.Add(-1)
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
	l := looks{store: s, timer: time.NewTimer(0)}
	<-l.timer.C
	defer l.timer.Stop()
	for {
		select {
		case event, open := <-watcher.Events:
			if !open {
				return nil
			}
			if event.Op.Has(fsnotify.Remove | fsnotify.Rename) {
				return errors.New("the write-ahead log was taken away")
			}
			l.written()
		case err, open := <-watcher.Errors:
			if !open {
				return nil
			}
			return err
		case <-l.timer.C:
			l.look()
		}
	}
}
