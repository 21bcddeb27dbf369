package sqlite

import (
	"context"

	"github.com/offstagehq/offstage"
)

const (
	sqlPauseQueue = `UPDATE offstage_queue SET paused = ? WHERE id = ?`
	sqlPauseKind  = `UPDATE offstage_kind SET paused = ? WHERE id = ?`
)

// Pause stops or resumes a queue or a kind. Jobs that waited for a kind become
// ready at once if a live worker handles it.
func (s *Store) Pause(ctx context.Context, target offstage.PauseTarget, paused bool) error {
	if (target.Queue == "") == (target.Kind == "") {
		return &offstage.InvalidError{Field: "target", Problem: "name either a queue or a kind"}
	}
	return s.write(ctx, "pause", func(t *tx) error {
		if target.Queue != "" {
			return t.pauseQueue(target.Queue, paused)
		}
		return t.pauseKind(target.Kind, paused)
	})
}

func (t *tx) pauseQueue(name string, paused bool) error {
	queue, err := t.queue(name)
	if err != nil || queue.paused == paused {
		return err
	}
	if _, err := t.exec(sqlPauseQueue, paused, queue.id); err != nil {
		return err
	}
	t.tell(offstage.NewsReady)
	changed := *queue
	changed.paused = paused
	return t.rename(func(n *names) { n.queues.add(&changed) })
}

func (t *tx) pauseKind(name string, paused bool) error {
	kind, err := t.kind(name)
	if err != nil || kind.paused == paused {
		return err
	}
	if _, err := t.exec(sqlPauseKind, paused, kind.id); err != nil {
		return err
	}
	changed := *kind
	changed.paused = paused
	if err := t.rename(func(n *names) { n.kinds.add(&changed) }); err != nil || paused {
		return err
	}
	live, err := t.liveKinds()
	if err != nil || !live[name] {
		return err
	}
	_, _, err = t.unblockKind(kind.id, unblockPage)
	return err
}
