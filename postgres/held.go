package postgres

import (
	"math"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// openClaims remembers which claims this process may have open. A heartbeat lists
// a worker's claim rows from the first of them on, not from the first that ever
// was: the rows of released claims are dead, and cannot be removed while somebody
// holds an old snapshot. Now and then all are listed, so that this too is a hint.
type openClaims struct {
	mu      sync.Mutex // guards the rest
	workers map[offstage.WorkerID]*openSeqs
}

type openSeqs struct {
	seqs   map[int64]bool // true: a claim that was sent since the full look began
	looked time.Time
}

const fullLookEvery = time.Minute

// register begins to remember a worker's claims, of which there are none yet.
// Those of a worker that another process registered are always all listed.
func (o *openClaims) register(worker offstage.WorkerID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.workers == nil {
		o.workers = map[offstage.WorkerID]*openSeqs{}
	}
	o.workers[worker] = &openSeqs{seqs: map[int64]bool{}, looked: time.Now()}
}

func (o *openClaims) forget(worker offstage.WorkerID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.workers, worker)
}

// add names a claim that is about to be sent.
func (o *openClaims) add(worker offstage.WorkerID, seq int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[worker]; w != nil {
		w.seqs[seq] = true
	}
}

// remove names claims that have no row.
func (o *openClaims) remove(worker offstage.WorkerID, seqs ...int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[worker]; w != nil {
		for _, seq := range seqs {
			delete(w.seqs, seq)
		}
	}
}

// floor returns the seq from which on a worker's claim rows are to be listed,
// and whether that is a look at all of them.
func (o *openClaims) floor(worker offstage.WorkerID) (from int64, all bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.workers[worker]
	if w == nil {
		return math.MinInt64, false
	}
	if time.Since(w.looked) >= fullLookEvery {
		w.looked = time.Now()
		for seq := range w.seqs {
			w.seqs[seq] = false
		}
		return math.MinInt64, true
	}
	from = math.MaxInt64
	for seq := range w.seqs {
		from = min(from, seq)
	}
	return from, false
}

// found takes the answer to a look at all claim rows.
func (o *openClaims) found(worker offstage.WorkerID, held []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.workers[worker]
	if w == nil {
		return
	}
	for seq, since := range w.seqs {
		if !since {
			delete(w.seqs, seq)
		}
	}
	for _, seq := range held {
		if _, known := w.seqs[seq]; !known {
			w.seqs[seq] = false
		}
	}
}
