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

// looks are the times at which the writer looks for commits of others. A
// transaction is written to the log, then synced, and only then can others see
// it; this last step takes place in shared memory and raises no event. So one
// look is not enough after the log was written to.
type looks struct {
	store  *Store
	timer  *time.Timer     // runs while there are pauses
	at     time.Time       // when it ends
	pauses []time.Duration // the one under way, and those that are still to come
	quiet  int             // looks since the log was last written to
	heard  int64           // changes heard of before the latest look
}

var (
	othersPauses = []time.Duration{
		0, 1500 * time.Microsecond, 1500 * time.Microsecond, 2 * time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond,
		8 * time.Millisecond, 12 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond,
		160 * time.Millisecond, 320 * time.Millisecond,
	}
	// When this store itself has just written, it is hardly another's doing.
	ownPauses = []time.Duration{10 * time.Millisecond, 30 * time.Millisecond}
)

// written is called for each event; those of one transaction come as one burst.
// A look that is due soon anyway stays where it is, so that a steady stream of
// events neither puts it off nor hurries it.
func (l *looks) written() {
	pauses := othersPauses
	if l.store.wroteLately() {
		pauses = ownPauses
	}
	l.quiet = 0
	switch {
	case len(l.pauses) == 0:
		l.pauses = pauses
		l.pause(pauses[0])
	case len(l.pauses) < len(pauses):
		l.pauses = pauses
		if soon := pauses[1]; time.Until(l.at) > soon {
			l.pause(soon)
		}
	}
}

func (l *looks) pause(d time.Duration) {
	l.at = time.Now().Add(d)
	l.timer.Reset(d)
}

// look has the writer look, unless the look before has found what was written:
// that is so if it found something new and no event has come since the look
// before that.
func (l *looks) look() {
	heard := l.store.changes.Load()
	if l.quiet >= 2 && heard != l.heard {
		l.pauses = nil
		return
	}
	l.heard = heard
	l.quiet++
	l.store.poke()
	if l.pauses = l.pauses[1:]; len(l.pauses) > 0 {
		l.pause(l.pauses[0])
	}
}

// wroteLately reports whether this store is writing or has done so in the last
// milliseconds.
func (s *Store) wroteLately() bool {
	return s.writing.Load() || time.Now().UnixNano()-s.wroteAt.Load() < int64(5*time.Millisecond)
}
