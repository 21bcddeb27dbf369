package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/offstagehq/offstage"
)

// knocks knows whether the store wakes this process.
type knocks struct{ on atomic.Bool }

func (k *knocks) working() bool { return k.on.Load() }

// keepWatching lets the store wake this process, until ctx ends. Where that does
// not work, it says so once, and the process polls.
func (e *engine) keepWatching(ctx context.Context) {
	if e.waker == nil {
		return
	}
	wait := backoff{first: 100 * time.Millisecond, last: 5 * time.Second}
	trouble := trouble{log: e.log, what: "watch the store for news"}
	for ctx.Err() == nil {
		err := e.waker.Watch(ctx, func() {
			trouble.note(nil)
			wait.reset()
			e.knocks.on.Store(true)
			e.look()
		}, e.heed)
		e.knocks.on.Store(false)
		e.look()
		if ctx.Err() != nil {
			return
		}
		var fault *offstage.StoreError
		if !errors.As(err, &fault) {
			e.log.Info("offstage: the store cannot wake this worker; it looks every "+lastPoll.String(), "reason", err)
			return
		}
		trouble.note(err)
		pause(ctx, wait.next(), nil)
	}
}

// heed takes in a store's knock.
func (e *engine) heed(news offstage.News) {
	if news != offstage.NewsReady {
		e.beatNow.set()
	}
	if news == offstage.NewsAny {
		e.fireNow.set()
		e.alarm.ring()
	}
	if news != offstage.NewsCancel {
		e.look()
	}
}
