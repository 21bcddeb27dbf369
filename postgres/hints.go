package postgres

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// Hints keep a fetch from walking what is gone. A claimed job leaves a dead entry
// at the head of its lane; while somebody holds an old snapshot it cannot be
// removed, and a fetch that starts at the head walks all of them. So a process
// remembers, for each lane, the key below which it found nothing more, and starts
// there.
//
// What a hint may hide, and how it is found all the same:
//
//   - Jobs of transactions that were open at the look which moved the hint, and
//     committed later. A hint does not move past a transaction that has not been
//     open for long. Past those that have, it does, for they may stay open for
//     hours; they are remembered, and when a later look sees that one has ended,
//     its jobs are moved to where hints do not reach.
//   - Jobs that another fetch had locked at that look, if that fetch then failed.
//     After a failure, a death, and now and then, one process sweeps: it looks at
//     the lanes' heads without hints and moves what it finds likewise.
//
// A hint is never an authority: a job is claimable exactly while its ready row
// exists. Hints are dropped with each new connection.
type hints struct {
	mu     sync.Mutex // guards the rest
	epoch  int64      // of the connections that the hints are from
	sweep  bool       // the next claim must look past the hints
	marks  []look     // at most one for each longOpen, and one that is older
	queues map[int32]*queueHints
}

// look says that a transaction which began before it has a number below xmax.
type look struct {
	at   time.Time
	xmax uint64
}

// queueHints are the hints of one queue.
type queueHints struct {
	lanes []laneHint // in order; lanes from which this process has claimed
	long  []uint64   // open transactions that a hint has passed, in order
	ended []uint64   // those that have ended since: their jobs are to be moved
}

// laneHint says that nothing is left in its lane up to and including key.
type laneHint struct {
	lane int16
	key  key
}

// key is a place in a lane. The zero key is before all others.
type key struct {
	xid uint64
	job int64
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.xid, other.xid), cmp.Compare(k.job, other.job))
}

// stretch is a part of a queue that a claim looks at: from after a key in lane
// first to the end of lane last.
type stretch struct {
	queue       int32
	pool        int
	first, last int16
	after       key
}

// late is a transaction that has ended, and a lane in which it may have left jobs.
type late struct {
	queue int32
	lane  int16
	xid   uint64
}

const (
	// longOpen is how long a transaction is waited for: until then a lane's hint
	// stays before it, and dead entries since then are walked.
	longOpen = 250 * time.Millisecond
	// maxLong is how many transactions are remembered; with more, hints move back.
	maxLong = 64

	lastLane    = math.MaxInt16
	defaultLane = 11 // priority 5, band 1: the one that is always used
)

// plan returns the stretches of a queue to be looked at, in order: everything
// but what the hints rule out. Lanes without a hint are one stretch with the
// lanes before them, so that a queue costs few index descents. It also returns
// where jobs must be moved from first.
func (h *hints) plan(queue int32, epoch int64) (stretches []stretch, moves []late) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.of(queue, epoch)
	next := stretch{queue: queue, first: -1}
	for _, l := range q.lanes {
		if l.key == (key{}) {
			continue // nothing is known: it belongs to the stretch around it
		}
		if l.lane > 0 {
			next.last = l.lane - 1
			stretches = append(stretches, next)
		}
		next = stretch{queue: queue, first: l.lane, after: l.key}
		for _, xid := range q.ended {
			moves = append(moves, late{queue, l.lane, xid})
		}
	}
	next.last = lastLane
	return append(stretches, next), moves
}

// all returns the stretches of all queues of which hints are known.
func (h *hints) all(epoch int64) (stretches []stretch) {
	h.mu.Lock()
	queues := slices.Sorted(maps.Keys(h.queues))
	h.mu.Unlock()
	for _, queue := range queues {
		of, _ := h.plan(queue, epoch)
		stretches = append(stretches, of...)
	}
	return stretches
}

// of returns a queue's hints, without those of earlier connections.
func (h *hints) of(queue int32, epoch int64) *queueHints {
	if h.queues == nil {
		h.queues = map[int32]*queueHints{}
	}
	if epoch > h.epoch {
		h.epoch, h.marks = epoch, nil
		for _, q := range h.queues {
			q.forget()
		}
	}
	q := h.queues[queue]
	if q == nil {
		q = &queueHints{lanes: []laneHint{{lane: defaultLane}}}
		h.queues[queue] = q
	}
	return q
}

// forget drops what is known, except which lanes are in use.
func (q *queueHints) forget() {
	for i := range q.lanes {
		q.lanes[i].key = key{}
	}
	q.long, q.ended = nil, nil
}

// drop forgets all hints after a claim failed, and has the next one sweep: what
// the failed one had locked may be hidden from others.
func (h *hints) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep = true
	for _, q := range h.queues {
		q.forget()
	}
}

// sweepDue reports whether a sweep is due, which then is the caller's to do.
func (h *hints) sweepDue() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	due := h.sweep
	h.sweep = false
	return due
}

// moved takes off transactions whose jobs have been moved.
func (h *hints) moved(epoch int64, moves []late) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch != epoch {
		return
	}
	for _, m := range moves {
		q := h.queues[m.queue]
		q.ended = slices.DeleteFunc(q.ended, func(xid uint64) bool { return xid == m.xid })
	}
}

// sight is what a pool's claim saw of a stretch.
type sight struct {
	stretch
	// end is the lane and key of the last job that was taken from it, if the
	// slots were full then; nil: all of it was seen.
	end *place
}

// place is a place in a queue.
type place struct {
	lane int16
	key  key
}

// learn moves the hints of one queue after a claim that was sent at a time, by
// the stretches that were looked at. used are the lanes that jobs came from. It
// reports whether jobs are to be moved.
func (h *hints) learn(queue int32, epoch int64, sn snapshot, now time.Time, seen []sight, used []int16) (due bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch != epoch {
		return false
	}
	q := h.of(queue, epoch)
	for _, lane := range used {
		q.use(lane)
	}
	limit := h.limit(sn, now)
	for _, s := range seen {
		q.move(s, limit)
	}
	q.watch(sn)
	return len(q.ended) > 0
}

// limit returns what no hint may pass: the first transaction that is open and
// not known to have been so for long.
func (h *hints) limit(sn snapshot, now time.Time) uint64 {
	for len(h.marks) > 1 && now.Sub(h.marks[1].at) >= longOpen {
		h.marks = h.marks[1:]
	}
	var old uint64 // transactions below it have been open for long
	if len(h.marks) > 0 && now.Sub(h.marks[0].at) >= longOpen {
		old = h.marks[0].xmax
	}
	if n := len(h.marks); n == 0 || now.Sub(h.marks[n-1].at) >= longOpen/4 {
		h.marks = append(h.marks, look{now, sn.xmax})
	}
	for _, xid := range sn.open {
		if xid >= old {
			return xid
		}
	}
	return sn.xmax
}

// use adds a lane, without a hint.
func (q *queueHints) use(lane int16) {
	i, known := slices.BinarySearchFunc(q.lanes, lane, func(h laneHint, lane int16) int { return cmp.Compare(h.lane, lane) })
	if !known {
		q.lanes = slices.Insert(q.lanes, i, laneHint{lane: lane})
	}
}

// move raises the hints of the lanes of a stretch: to the limit where all was
// seen, to the last job taken where the slots were full.
func (q *queueHints) move(s sight, limit uint64) {
	for i := range q.lanes {
		h := &q.lanes[i]
		if h.lane < s.first || h.lane > s.last || s.end != nil && h.lane > s.end.lane {
			continue
		}
		if h.lane == s.first && s.after.compare(h.key) > 0 {
			continue // it began behind a hint that was dropped meanwhile
		}
		reached := key{xid: limit}
		if s.end != nil && h.lane == s.end.lane && s.end.key.compare(reached) < 0 {
			reached = s.end.key
		}
		if reached.compare(h.key) > 0 {
			h.key = reached
		}
	}
}

// watch remembers the open transactions that hints have passed, and which of
// those that it knew have ended.
func (q *queueHints) watch(sn snapshot) {
	q.long = slices.DeleteFunc(q.long, func(xid uint64) bool {
		ended := sn.sees(xid)
		if ended && !slices.Contains(q.ended, xid) {
			q.ended = append(q.ended, xid)
		}
		return ended
	})
	var top uint64
	for _, l := range q.lanes {
		top = max(top, l.key.xid)
	}
	for _, xid := range sn.open {
		if i, known := slices.BinarySearch(q.long, xid); xid < top && !known {
			q.long = slices.Insert(q.long, i, xid)
		}
	}
	if len(q.long)+len(q.ended) <= maxLong {
		return
	}
	first := slices.Min(append(slices.Clone(q.ended), q.long...))
	for i := range q.lanes {
		if h := &q.lanes[i]; h.key.xid >= first {
			h.key = key{xid: first}
		}
	}
	q.long, q.ended = nil, nil
}
