// Package plan decides, from a seed, which faults strike in which order and
// when. It knows nothing of how they do it.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The faults.
const (
	KillWorker   = "kill-worker"   // kill -9 of a worker
	KillLeader   = "kill-leader"   // kill -9 of the worker that leads
	KillProducer = "kill-producer" // kill -9 of a producer between a send and its answer
	StopCont     = "stop-cont"     // SIGSTOP of a worker beyond its lease, then SIGCONT
	TermDeploy   = "term-deploy"   // SIGTERM of a worker, and a new one
	PgKill9      = "pg-kill9"      // kill -9 of the whole server, and a new start
	PgRestart    = "pg-restart"    // an orderly or immediate stop of the server, and a new start
	PgTerminate  = "pg-terminate"  // all sessions are ended
	PgCutCommit  = "pg-cut-commit" // connections are cut after COMMIT and before the answer
	PgPartition  = "pg-partition"  // a worker's connections lose all bytes beyond its lease
)

// kills are the faults that --kills counts, with their shares.
var kills = map[string]int{KillWorker: 2, KillLeader: 1, KillProducer: 1}

var everywhere = []string{KillWorker, KillLeader, KillProducer, StopCont, TermDeploy}

var onPostgres = []string{PgKill9, PgRestart, PgTerminate, PgCutCommit, PgPartition}

// Faults returns the faults that a store can be struck by.
func Faults(postgres bool) []string {
	if postgres {
		return slices.Concat(everywhere, onPostgres)
	}
	return slices.Clone(everywhere)
}

// Parse reads a list of faults, separated by commas. An empty list means all.
func Parse(list string, postgres bool) ([]string, error) {
	all := Faults(postgres)
	if list == "" {
		return all, nil
	}
	var faults []string
	for _, name := range strings.Split(list, ",") {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%q is not a fault of this store; there are %s", name, strings.Join(all, ", "))
		}
		if !slices.Contains(faults, name) {
			faults = append(faults, name)
		}
	}
	return faults, nil
}

// Counts says how often each fault is to strike: n kills are shared out among
// those faults that are kills of our processes, and each other fault strikes for
// every tenth of them, at least once. Where none is such a kill, n is shared out
// among all.
func Counts(faults []string, n int) map[string]int {
	counts := map[string]int{}
	shares, total := map[string]int{}, 0
	for _, fault := range faults {
		if kills[fault] > 0 {
			shares[fault] = kills[fault]
			total += kills[fault]
		}
	}
	if total == 0 {
		for _, fault := range faults {
			shares[fault] = 1
			total++
		}
	}
	left := n
	for _, fault := range faults {
		if shares[fault] == 0 {
			counts[fault] = max(n/10, 1)
			continue
		}
		counts[fault] = max(left*shares[fault]/total, 1)
		left -= counts[fault]
		total -= shares[fault]
	}
	return counts
}

// Strike is one fault to come.
type Strike struct {
	Fault string
	// After is how long after the strike before it.
	After time.Duration
	// Seed decides what else is left to chance.
	Seed uint64
}

// Make puts that many of each fault into a random order over a time.
func Make(counts map[string]int, span time.Duration, seed uint64) []Strike {
	dice := rand.New(rand.NewPCG(seed, 0))
	var strikes []Strike
	for _, fault := range Faults(true) { // the order of a map would not come from the seed
		for range counts[fault] {
			strikes = append(strikes, Strike{Fault: fault})
		}
	}
	dice.Shuffle(len(strikes), func(i, j int) { strikes[i], strikes[j] = strikes[j], strikes[i] })
	for i := range strikes {
		mean := float64(span) / float64(len(strikes))
		strikes[i].After = time.Duration(mean * (0.5 + dice.Float64()))
		strikes[i].Seed = dice.Uint64()
	}
	return strikes
}
