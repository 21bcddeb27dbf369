package worker

import (
	"context"
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// observer decides which peers are dead: those whose counter has not changed
// over one lease of this process's own uninterrupted beats. A process that was
// cut off, paused or late itself has seen nothing and begins anew. It belongs to
// the beating goroutine.
type observer struct {
	lease, beat time.Duration

	seen        map[offstage.WorkerID]sighting
	sent, heard moment // the last beat; zero: none
}

type sighting struct {
	counter int64
	since   moment // when the counter was first heard of
}

// restart forgets what was seen.
func (o *observer) restart() {
	clear(o.seen)
	o.sent, o.heard = moment{}, moment{}
}

// observe takes in the answer to a beat and returns the peers that are dead.
func (o *observer) observe(sent, heard moment, peers []offstage.Peer) []offstage.Peer {
	late := 2 * o.beat
	if !o.sent.mono.IsZero() && (sent.since(o.sent) > late || heard.since(o.heard) > late) {
		clear(o.seen)
	}
	o.sent, o.heard = sent, heard
	seen := make(map[offstage.WorkerID]sighting, len(peers))
	var dead []offstage.Peer
	for _, peer := range peers {
		sighting, known := o.seen[peer.ID]
		if !known || sighting.counter != peer.Counter {
			sighting.counter, sighting.since = peer.Counter, heard
		}
		seen[peer.ID] = sighting
		// The counter stood still at least from the answer that first brought
		// it until this beat was sent.
		if peer.Dead || sent.since(sighting.since) >= o.lease {
			dead = append(dead, peer)
		}
	}
	o.seen = seen
	return dead
}

// rescues are the dead peers whose jobs are to be freed.
type rescues struct {
	mu   sync.Mutex
	dead map[offstage.WorkerID]offstage.Peer // guarded by mu
	more signal
}

func newRescues() *rescues {
	return &rescues{dead: map[offstage.WorkerID]offstage.Peer{}, more: newSignal()}
}

// add notes a dead peer. One that is still there at the next beat is noted
// again, so a rescue that failed needs no memory of its own.
func (r *rescues) add(peer offstage.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead[peer.ID] = peer
	r.more.set()
}

func (r *rescues) take() (offstage.Peer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, peer := range r.dead {
		delete(r.dead, id)
		return peer, true
	}
	return offstage.Peer{}, false
}

// rescuePage is how many jobs one call frees.
const rescuePage = 100

// keepRescuing frees the jobs of dead peers, apart from the beats so that these
// never wait.
func (e *engine) keepRescuing(ctx context.Context) {
	trouble := trouble{log: e.log, what: "rescue a dead worker's jobs"}
	for {
		peer, ok := e.rescues.take()
		if !ok {
			if !pause(ctx, time.Hour, e.rescues.more) {
				return
			}
			continue
		}
		total, err := e.rescue(ctx, peer)
		if ctx.Err() != nil {
			return
		}
		trouble.note(err)
		if total > 0 {
			e.log.Warn("offstage: a worker died; its jobs run again", "worker", peer.ID, "jobs", total)
		}
		if err == nil {
			e.peerDied.set()
			e.look()
		}
	}
}

func (e *engine) rescue(ctx context.Context, peer offstage.Peer) (total int, err error) {
	n := 1
	for more := true; more && n > 0 && err == nil; {
		call, cancel := context.WithTimeout(ctx, callTime)
		n, more, err = e.store.Rescue(call, peer, rescuePage)
		cancel()
		total += n
		if n > 0 {
			e.look()
		}
	}
	return total, err
}
