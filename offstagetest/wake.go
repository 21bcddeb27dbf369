package offstagetest

import (
	"context"

	"github.com/offstagehq/offstage"
)

// watcher is one call of Watch.
type watcher struct {
	news   chan offstage.News // holds at most one of each kind
	closed chan struct{}
}

// Watch calls wake whenever something may be new, until ctx ends, and then
// returns nil; see [offstage.Waker].
func (s *Store) Watch(ctx context.Context, ready func(), wake func(offstage.News)) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	w := &watcher{news: make(chan offstage.News, 1), closed: make(chan struct{})}
	s.watchers[w] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}()
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.closed:
			return offstage.ErrClosed
		case news := <-w.news:
			wake(news)
		}
	}
}

// WatchEnds calls wake whenever jobs may have ended, until ctx ends, and then
// returns nil; see [offstage.Herald].
func (s *Store) WatchEnds(ctx context.Context, ready, wake func()) error {
	return s.Watch(ctx, ready, func(news offstage.News) {
		if news == offstage.NewsAny {
			wake()
		}
	})
}

// Sleep does nothing: everybody who watches is told of everything.
func (s *Store) Sleep(ctx context.Context, _ offstage.WorkerID, _ bool) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return nil
}

// tell wakes those who watch, or leaves a note for them if they are awake. News
// of two kinds are told as any.
func (s *Store) tell(news offstage.News) {
	if s.undo != nil {
		return // told at the commit
	}
	for w := range s.watchers {
		told := news
		select {
		case waiting := <-w.news:
			if waiting != news {
				told = offstage.NewsAny
			}
		default:
		}
		w.news <- told // only this function sends, under mu: there is room
	}
}
