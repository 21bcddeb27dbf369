package status

import (
	"sync"
	"time"

	"github.com/offstagehq/offstage"
)

// paces learn from what is asked how fast queues move: a job's places at two
// moments say how many jobs were started in between. The zero value has learned
// nothing.
type paces struct {
	mu     sync.Mutex
	queues map[string]*pace
}

// pace is how fast one queue moves.
type pace struct {
	rate float64 // jobs per second; 0: not known
	// The job by which it is measured, while somebody asks for it.
	job   offstage.ID
	ahead int
	at    time.Time
	asked time.Time
}

const (
	// paceEvery is the least time between two places that are compared.
	paceEvery = time.Second
	// paceIdle is after how long another job takes the place of one for which
	// nobody asks any more.
	paceIdle = 10 * time.Second
	// maxPaces bounds what is remembered.
	maxPaces = 1000
)

// see learns from a job's place, and returns how long it will wait for its start;
// false if that is not known.
func (p *paces) see(queue string, job offstage.ID, place offstage.Place, now time.Time) (time.Duration, bool) {
	if !place.Ready || place.More {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.queues[queue]
	if known == nil {
		if p.queues == nil || len(p.queues) >= maxPaces {
			p.queues = map[string]*pace{}
		}
		known = &pace{}
		p.queues[queue] = known
	}
	known.see(job, place.Ahead, now)
	if place.Ahead == 0 {
		return 0, true
	}
	if known.rate <= 0 {
		return 0, false
	}
	return time.Duration(float64(place.Ahead) / known.rate * float64(time.Second)), true
}

func (k *pace) see(job offstage.ID, ahead int, now time.Time) {
	if k.job != job {
		if k.job == 0 || now.Sub(k.asked) > paceIdle {
			k.job, k.ahead, k.at, k.asked = job, ahead, now, now
		}
		return
	}
	k.asked = now
	passed := now.Sub(k.at)
	if passed < paceEvery {
		return
	}
	moved := float64(max(k.ahead-ahead, 0)) / passed.Seconds()
	if k.rate == 0 {
		k.rate = moved
	} else {
		k.rate += (moved - k.rate) / 3 // the latest counts for a third
	}
	k.ahead, k.at = ahead, now
}
