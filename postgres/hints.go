package postgres

import (
	"cmp"
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
//   - Jobs of transactions that were open at the look which moved the hint (their
//     numbers are below the snapshot's xmax) and committed later. The look names
//     them; when a later look sees that one has ended, the part of the lanes that
//     it may have written is looked at once more.
//   - Jobs that another fetch had locked at that look, if that fetch then failed.
//     After a failure, a death, and now and then, one process sweeps: it looks at
//     the lanes' heads without hints and moves what it finds to band 0, where it
//     is new to everybody.
//
// A hint is never an authority: a job is claimable exactly while its ready row
// exists. Hints are dropped with each new connection.
type hints struct {
	mu     sync.Mutex // guards the rest
	epoch  int64      // of the connections that the hints are from
	sweep  bool       // the next claim must look past the hints
	queues map[int32]*queueHints
}

// queueHints are the hints of one queue.
type queueHints struct {
	lanes []laneHint // in order; lanes from which this process has claimed
	// late are transactions that were open at a look which moved a hint, and
	// that no look has seen ended.
	late []uint64
	// due are ranges of transactions that have ended since: to be probed.
	due    []xidRange
	stamp  int64 // of the latest range
	probed time.Time
}

// laneHint says that nothing is left in its lane up to and including key.
type laneHint struct {
	lane lane
	key  key
}

// lane is a part of a queue in which jobs are in order of arrival.
type lane struct {
	priority int16
	band     int16
}

// key is a place in a lane. The zero key is before all others.
type key struct {
	xid uint64
	job int64
}

// place is a place in a queue.
type place struct {
	lane
	key
}

// xidRange is from … to, both included. A range that others were merged into
// has a new stamp: a probe that was sent before has not looked for them.
type xidRange struct {
	from, to uint64
	stamp    int64
}

// stretch is a part of a queue that a claim looks at: above lo and below hi.
type stretch struct {
	queue  int32
	pool   int
	lo, hi place // lo is excluded; of hi, the whole transaction is
	probe  xidRange
}

const (
	// Between probes of many ranges at least probePause goes by; a few are
	// probed in each look.
	probePause  = 250 * time.Millisecond
	probeCheap  = 16
	maxLate     = 64
	maxDue      = 8
	probeNearby = 64 // transactions between ranges that are probed as one
)

var (
	front   = place{lane: lane{priority: -1}}
	back    = place{lane: lane{priority: math.MaxInt16}}
	usually = lane{priority: 5, band: 1}
)

func comparePlaces(a, b place) int {
	return cmp.Or(
		cmp.Compare(a.priority, b.priority), cmp.Compare(a.band, b.band),
		cmp.Compare(a.xid, b.xid), cmp.Compare(a.job, b.job),
	)
}

// plan returns the stretches of a queue to be looked at, in order: everything
// but what the hints rule out. Unhinted lanes between two hinted ones are one
// stretch, so that a queue costs few index descents.
func (h *hints) plan(queue int32, epoch int64, now time.Time) []stretch {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.of(queue, epoch)
	probe := len(q.due) > 0 && (len(q.due)*len(q.lanes) <= probeCheap || now.Sub(q.probed) >= probePause)
	if probe {
		q.probed = now
	}
	var stretches []stretch
	from := front
	for _, l := range q.lanes {
		if l.key == (key{}) {
			continue // nothing is known: it belongs to the stretch around it
		}
		start := place{lane: l.lane}
		stretches = append(stretches, stretch{queue: queue, lo: from, hi: start})
		if probe {
			for _, r := range q.due {
				if r.from < l.key.xid {
					stretches = append(stretches, stretch{
						queue: queue, probe: r,
						lo: place{l.lane, key{xid: r.from - 1, job: math.MaxInt64}},
						hi: place{l.lane, key{xid: min(r.to+1, l.key.xid)}},
					})
				}
			}
		}
		from = place{l.lane, l.key}
	}
	return append(stretches, stretch{queue: queue, lo: from, hi: back})
}

// of returns a queue's hints, without those of earlier connections.
func (h *hints) of(queue int32, epoch int64) *queueHints {
	if epoch > h.epoch || h.queues == nil {
		h.epoch = epoch
		for _, q := range h.queues {
			q.forget()
		}
		if h.queues == nil {
			h.queues = map[int32]*queueHints{}
		}
	}
	q := h.queues[queue]
	if q == nil {
		q = &queueHints{lanes: []laneHint{{lane: usually}}}
		h.queues[queue] = q
	}
	return q
}

// forget drops what is known, except which lanes are in use.
func (q *queueHints) forget() {
	for i := range q.lanes {
		q.lanes[i].key = key{}
	}
	q.late, q.due = nil, nil
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

// look is what a claim found in one stretch.
type look struct {
	stretch
	last *place // the last job that was taken from it; nil: none
	full bool   // the pool's slots were full before the stretch's end
	done bool   // it was looked at: before it the slots were not full
}

// learn moves the hints of one queue after a claim. The looks are those at its
// stretches by one pool, in order.
func (h *hints) learn(queue int32, epoch int64, sn snapshot, looks []look) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch != epoch {
		return
	}
	q := h.of(queue, epoch)
	for _, l := range looks {
		if l.last != nil {
			q.know(l.last.lane)
		}
	}
	q.settle(sn)
	for _, l := range looks {
		if !l.done {
			break
		}
		if l.probe != (xidRange{}) {
			continue
		}
		q.move(l, sn)
	}
	q.tick(looks)
	q.note(sn)
}

// know adds a lane, without a hint.
func (q *queueHints) know(l lane) {
	i, known := slices.BinarySearchFunc(q.lanes, l, func(h laneHint, l lane) int {
		return cmp.Or(cmp.Compare(h.lane.priority, l.priority), cmp.Compare(h.lane.band, l.band))
	})
	if !known {
		q.lanes = slices.Insert(q.lanes, i, laneHint{lane: l})
	}
}

// move raises the hints of the lanes that lie in a stretch that was looked at:
// to the snapshot's xmax where nothing was left, to the last job taken where the
// slots were full.
func (q *queueHints) move(l look, sn snapshot) {
	end := l.hi
	if l.full {
		end = *l.last
	}
	for i := range q.lanes {
		h := &q.lanes[i]
		first, last := place{lane: h.lane}, place{h.lane, key{xid: math.MaxUint64, job: math.MaxInt64}}
		if comparePlaces(first, l.lo) < 0 && l.lo.lane != h.lane || comparePlaces(first, end) >= 0 {
			continue // the lane began before the stretch, or begins behind what was seen
		}
		if l.lo.lane == h.lane && comparePlaces(l.lo, place{h.lane, h.key}) > 0 {
			continue // the stretch began behind a hint that was dropped meanwhile
		}
		reached := key{xid: sn.xmax}
		if comparePlaces(last, end) > 0 {
			if !l.full || end.lane != h.lane {
				continue
			}
			reached = end.key
		}
		if comparePlaces(place{h.lane, reached}, place{h.lane, h.key}) > 0 {
			h.key = reached
		}
	}
}

// settle notes which of the late transactions have ended: they are due for a probe.
func (q *queueHints) settle(sn snapshot) {
	open := q.late[:0]
	for _, xid := range q.late {
		if sn.sees(xid) {
			q.stamp++
			q.due = append(q.due, xidRange{xid, xid, q.stamp})
		} else {
			open = append(open, xid)
		}
	}
	q.late = open
}

// tick takes off what was probed to its end, in every lane.
func (q *queueHints) tick(looks []look) {
	missed := map[xidRange]bool{}
	seen := map[xidRange]bool{}
	for _, l := range looks {
		if l.probe == (xidRange{}) {
			continue
		}
		seen[l.probe] = true
		if !l.done || l.full {
			missed[l.probe] = true
		}
	}
	q.due = slices.DeleteFunc(q.due, func(r xidRange) bool { return seen[r] && !missed[r] })
}

// note remembers the transactions that were open at a look which moved a hint
// beyond them.
func (q *queueHints) note(sn snapshot) {
	var top uint64
	for _, l := range q.lanes {
		top = max(top, l.key.xid)
	}
	for _, xid := range sn.open {
		if i, known := slices.BinarySearch(q.late, xid); xid < top && !known {
			q.late = slices.Insert(q.late, i, xid)
		}
	}
	if len(q.late) > maxLate {
		q.retreat()
	}
	q.merge()
}

// retreat moves hints back to the first late transaction, where there are too
// many to keep.
func (q *queueHints) retreat() {
	for i := range q.lanes {
		if h := &q.lanes[i]; h.key.xid >= q.late[0] {
			h.key = key{xid: q.late[0] - 1, job: math.MaxInt64}
		}
	}
	q.late = q.late[:0]
}

// merge makes few ranges of those that are due, by their distance.
func (q *queueHints) merge() {
	if len(q.due) < 2 {
		return
	}
	slices.SortFunc(q.due, func(a, b xidRange) int { return cmp.Compare(a.from, b.from) })
	for near := uint64(probeNearby); ; near *= 16 {
		merged := q.due[:1]
		for _, r := range q.due[1:] {
			if last := &merged[len(merged)-1]; r.from <= last.to || r.from-last.to <= near {
				q.stamp++
				last.to, last.stamp = max(last.to, r.to), q.stamp
			} else {
				merged = append(merged, r)
			}
		}
		q.due = merged
		if len(merged) <= maxDue {
			return
		}
	}
}
