package worker

import (
	"math/rand/v2"
	"slices"

	"github.com/offstagehq/offstage"
)

// maxTurns is how many queues of a weighted pool may come first in one claim.
const maxTurns = 10

// requests returns what to ask for the free slots of the pools, and the pool of
// each request. A weighted pool asks several times, each time with another queue
// first and that queue's share of the slots, so that a large claim is shared out
// by weight and yet no slot stays free while any queue has jobs.
func requests(pools []Pool, free []int) (asked []offstage.PoolRequest, poolOf []int) {
	for i, pool := range pools {
		switch {
		case free[i] <= 0:
		case pool.Order == Strict || len(pool.Queues) == 1:
			asked = append(asked, offstage.PoolRequest{Queues: pool.Queues, Slots: free[i]})
			poolOf = append(poolOf, i)
		default:
			for _, request := range pool.turns(free[i]) {
				asked = append(asked, request)
				poolOf = append(poolOf, i)
			}
		}
	}
	return asked, poolOf
}

// turns shares slots out among the queues of a weighted pool.
func (p Pool) turns(slots int) []offstage.PoolRequest {
	order := p.draw()
	leaders := order[:min(len(order), maxTurns, slots)]
	total := 0
	for _, queue := range leaders {
		total += p.Weights[queue]
	}
	var asked []offstage.PoolRequest
	left := slots
	for n, queue := range leaders {
		// The drawn order decides who gets the rounding: each takes its share of
		// what the ones before left, at least one.
		share := max(left*p.Weights[queue]/total, 1)
		if n == len(leaders)-1 {
			share = left
		}
		share = min(share, left-(len(leaders)-1-n))
		total -= p.Weights[queue]
		left -= share
		queues := []string{p.Queues[queue]}
		for _, other := range order {
			if other != queue {
				queues = append(queues, p.Queues[other])
			}
		}
		asked = append(asked, offstage.PoolRequest{Queues: queues, Slots: share})
	}
	return asked
}

// draw returns the indexes of the queues in a random order in which heavier ones
// tend to come first: each place goes to a queue by its weight among those left.
func (p Pool) draw() []int {
	left := make([]int, len(p.Queues))
	total := 0
	for i := range left {
		left[i] = i
		total += p.Weights[i]
	}
	order := make([]int, 0, len(left))
	for len(left) > 0 {
		at, n := 0, rand.IntN(total)
		for n >= p.Weights[left[at]] {
			n -= p.Weights[left[at]]
			at++
		}
		total -= p.Weights[left[at]]
		order = append(order, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return order
}
