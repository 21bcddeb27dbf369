package offstagetest

import (
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
)

// holder is who holds a unique key.
type holder struct {
	job    offstage.ID
	queued offstage.ID // KeepLast's follower; 0: none
	until  time.Time   // the key is held at least until then
	live   bool        // the holder has not ended
	first  time.Time   // when the first of a burst of enqueues came
}

// insertUnique inserts a unique job, or does to the holder of its key what its
// mode says.
func (s *Store) insertUnique(given *offstage.NewJob, id offstage.ID, now time.Time) offstage.Inserted {
	key := string(given.Unique.Key)
	h := s.unique[key]
	if h == nil || !h.live && !h.until.After(now) {
		s.setHolder(key, &holder{job: id, live: true, until: now.Add(given.Unique.Period), first: now})
		s.scheduleUnique(s.add(given, id, now), given, now, now)
		return offstage.Inserted{ID: id}
	}
	existed := offstage.Inserted{ID: h.job, Existed: true}
	switch mode := given.Unique.Mode; {
	case !h.live || mode == offstage.Skip:
		return existed
	case mode == offstage.KeepLast:
		return s.follow(key, h, given, id, now)
	}
	if j := s.find(h.job); j.state.Waiting() {
		j = s.edit(j)
		s.set(j, given)
		s.scheduleUnique(j, given, h.first, now)
		return existed
	}
	next := *h
	next.job, next.first, next.until = id, now, later(h.until, now.Add(given.Unique.Period))
	s.setHolder(key, &next)
	s.scheduleUnique(s.add(given, id, now), given, now, now)
	return offstage.Inserted{ID: id}
}

// scheduleUnique lets a holder wait for its time: that of its options, or with
// Debounce the end of the quiet since now, no later than the longest wait since
// the first of the burst.
func (s *Store) scheduleUnique(j *job, given *offstage.NewJob, first, now time.Time) {
	u := given.Unique
	if u.Mode != offstage.Debounce {
		s.schedule(j, given, now)
		return
	}
	longest := u.MaxWait
	if longest == 0 {
		longest = 10 * u.Wait
	}
	at := now.Add(u.Wait)
	if last := first.Add(longest); last.Before(at) {
		at = last
	}
	s.makeDue(j, offstage.Scheduled, at, now)
}

// follow makes the job the follower of the key's holder, or gives what it brings
// to the follower that there is.
func (s *Store) follow(key string, h *holder, given *offstage.NewJob, id offstage.ID, now time.Time) offstage.Inserted {
	next := *h
	next.until = later(h.until, now.Add(given.Unique.Period))
	inserted := offstage.Inserted{ID: h.queued, Existed: true}
	var j *job
	if h.queued == 0 {
		inserted = offstage.Inserted{ID: id}
		next.queued = id
		j = s.add(given, id, now)
	} else {
		j = s.edit(s.find(h.queued))
		s.set(j, given)
	}
	s.setHolder(key, &next)
	j.dueAt = dueTime(given, now)
	s.makeBlocked(j, offstage.WaitsUnique)
	return inserted
}

// release does what follows for a job's unique key when it ends or goes: its
// follower takes over, or the key is held until its time, or it is free. A
// follower that goes leaves the key to its holder.
func (s *Store) release(j *job, now time.Time) {
	key := string(j.UniqueKey)
	h := s.unique[key]
	if j.UniqueKey == nil || h == nil {
		return
	}
	next := *h
	switch {
	case h.queued == j.ID:
		next.queued = 0
	case h.job != j.ID:
		return // a later enqueue took the key
	case h.queued != 0:
		next = holder{job: h.queued, live: true, until: h.until, first: now}
		follower := s.edit(s.find(h.queued))
		s.makeDue(follower, offstage.Scheduled, follower.dueAt, now)
	case h.until.After(now):
		next.live = false
	default:
		s.setHolder(key, nil)
		return
	}
	s.setHolder(key, &next)
}

// retake gives an ended job its key back, for an operator's retry.
func (s *Store) retake(j *job, now time.Time) error {
	if j.UniqueKey == nil {
		return nil
	}
	key := string(j.UniqueKey)
	h := s.unique[key]
	if h == nil || !h.live && !h.until.After(now) {
		h = &holder{job: j.ID, until: now, first: now}
	}
	if h.job != j.ID {
		return &offstage.StateError{
			ID: j.ID, State: j.state, Verb: offstage.VerbRetry,
			Hint: fmt.Sprintf("job %d holds its unique key now", h.job),
		}
	}
	next := *h
	next.live = true
	s.setHolder(key, &next)
	return nil
}

// setHolder gives a key to a holder, or to nobody.
func (s *Store) setHolder(key string, h *holder) {
	before := s.unique[key]
	s.undoing(func() { s.putHolder(key, before) })
	s.putHolder(key, h)
}

func (s *Store) putHolder(key string, h *holder) {
	if h == nil {
		delete(s.unique, key)
		return
	}
	s.unique[key] = h
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
