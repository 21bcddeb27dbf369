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
	mu    sync.Mutex
	rates map[string]float64 // jobs per second, by queue; 0: not known
	seen  map[offstage.ID]seenPlace
}

// seenPlace is where a job stood when it was last compared.
type seenPlace struct {
	ahead int
	at    time.Time
}

const (
	// paceEvery is the least time between two places that are compared.
	paceEvery = time.Second
	// maxRates and maxSeen bound what is remembered; beyond them all is learned anew.
	maxRates = 1000
	maxSeen  = 10_000
)

// see learns from a job's place, and returns how long it will wait for its start;
// false if that is not known.
func (p *paces) see(queue string, job offstage.ID, place offstage.Place, now time.Time) (time.Duration, bool) {
	if !place.Ready || place.More {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rates == nil || len(p.rates) > maxRates {
		p.rates = map[string]float64{}
	}
	if p.seen == nil || len(p.seen) > maxSeen {
		p.seen = map[offstage.ID]seenPlace{}
	}
	last, again := p.seen[job]
	passed := now.Sub(last.at)
	if !again || passed >= paceEvery {
		p.seen[job] = seenPlace{place.Ahead, now}
	}
	rate := p.rates[queue]
	if again && passed >= paceEvery {
		moved := float64(max(last.ahead-place.Ahead, 0)) / passed.Seconds()
		if rate == 0 {
			rate = moved
		} else {
			rate += (moved - rate) / 3 // the latest counts for a third
		}
		p.rates[queue] = rate
	}
	switch {
	case place.Ahead == 0:
		return 0, true
	case rate <= 0:
		return 0, false
	}
	return time.Duration(float64(place.Ahead) / rate * float64(time.Second)), true
}
