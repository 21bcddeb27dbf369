package offstagetest

import (
	"container/heap"
	"time"

	"github.com/offstagehq/offstage"
)

// place is where a job waits. It is valid while the job's arrival is the same:
// a job that leaves its place otherwise than from the head leaves it behind,
// and whoever comes to the head drops it.
type place struct {
	job     offstage.ID
	arrival int64
	at      time.Time // in the heap: when it is due
}

// lane holds the ready jobs of one queue, priority and band in their order of
// arrival.
type lane struct {
	places []place
}

// head returns the first ready job, perhaps among those that are no suspects, or
// nil.
func (s *Store) head(l *lane, noSuspects bool) *job {
	for len(l.places) > 0 && s.at(l.places[0]) == nil {
		l.places = l.places[1:]
	}
	for _, place := range l.places {
		if j := s.at(place); j != nil && !(noSuspects && j.lost >= offstage.SuspectLost) {
			return j
		}
	}
	return nil
}

// at returns the job that waits at a place, or nil if it has left.
func (s *Store) at(p place) *job {
	if j := s.find(p.job); j != nil && j.arrival == p.arrival {
		return j
	}
	return nil
}

// dueHeap holds scheduled and retrying jobs, the first due on top.
type dueHeap []place

// Len, Less, Swap, Push and Pop are for container/heap.

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(a, b int) bool {
	if !h[a].at.Equal(h[b].at) {
		return h[a].at.Before(h[b].at)
	}
	return h[a].arrival < h[b].arrival
}

func (h dueHeap) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *dueHeap) Push(p any)   { *h = append(*h, p.(place)) }

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}

// nextDue returns the job that is due first, or nil.
func (s *Store) nextDue() *job {
	for len(s.due) > 0 {
		if j := s.at(s.due[0]); j != nil {
			return j
		}
		heap.Pop(&s.due)
	}
	return nil
}

// makeReady lets a job be claimed: band 0 is before those that never started.
func (s *Store) makeReady(j *job, band int, now time.Time) {
	s.lastArrival++
	j.state, j.band, j.arrival, j.readyAt, j.waits = offstage.Ready, band, s.lastArrival, now, ""
	j.waitKey = ""
	l := &s.queueNamed(j.Queue).lanes[j.Priority][band]
	l.places = append(l.places, place{job: j.ID, arrival: j.arrival})
	s.tell(offstage.NewsReady)
}

// makeDue lets a job wait for a time in state Scheduled or Retrying, or makes it
// ready if that has come.
func (s *Store) makeDue(j *job, state offstage.State, at, now time.Time) {
	j.dueAt = at
	if !at.After(now) {
		s.makeReady(j, 1, now)
		return
	}
	s.lastArrival++
	j.state, j.arrival, j.waits = state, s.lastArrival, ""
	heap.Push(&s.due, place{job: j.ID, arrival: j.arrival, at: at})
	if at.Sub(now) <= offstage.Soon {
		s.tell(offstage.NewsAny)
	}
}

// makeBlocked lets a job wait for something other than time.
func (s *Store) makeBlocked(j *job, waits string) {
	s.lastArrival++
	j.state, j.arrival, j.waits = offstage.Blocked, s.lastArrival, waits
}
