package checker

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// stopMargin is how long a stop may take beyond the grace period.
const stopMargin = 2 * time.Second

// checkProcesses looks at how each process ended.
func (e *evidence) checkProcesses() {
	var stops []time.Duration
	for _, name := range slices.Sorted(maps.Keys(e.lives)) {
		l := e.lives[name]
		if l.died == 0 {
			continue
		}
		if l.killed == 0 && l.ordered == 0 && !l.ended {
			e.violate(Violation{What: crash, Process: name, Text: "the process ended by itself: " + l.how})
		}
		if l.ordered == 0 || l.killed > 0 && l.killed < l.ordered {
			continue
		}
		took := time.Duration(l.died - l.ordered)
		stops = append(stops, took)
		if took > e.rules.Grace+stopMargin {
			e.violate(Violation{What: slowStop, Process: name, Text: fmt.Sprintf("the process took %s to stop", ms(int64(took)))})
		}
	}
	e.report.Stop = quantiles(stops)
}

// measureRecovery takes the times from the death of a worker to the next start
// of each job that it ran, while there was a database. Where the next worker that had
// the job died as well before it started it, it also takes the time from that death.
func (e *evidence) measureRecovery() {
	var all, usual, suspects, delayed, again []time.Duration
	for _, s := range e.stories {
		for i, r := range s.runs {
			l := e.life(r.start.Process)
			if l.killed == 0 || r.start.Mono > l.killed || r.end != nil && r.end.Mono <= l.killed {
				continue
			}
			if i+1 == len(s.runs) {
				continue // it had ended, or checkListed has a word to say
			}
			took := time.Duration(s.runs[i+1].start.Mono - l.killed)
			if took < 0 {
				continue // a paused worker's, started meanwhile elsewhere
			}
			if e.without(l.killed, s.runs[i+1].start.Mono) {
				delayed = append(delayed, took)
				continue
			}
			if died := e.diedWith(s, r, s.runs[i+1]); died > l.killed {
				again = append(again, time.Duration(s.runs[i+1].start.Mono-died))
			}
			all = append(all, took)
			if s.runs[i+1].start.Lost < suspected {
				usual = append(usual, took)
			} else {
				suspects = append(suspects, took)
			}
		}
	}
	e.report.Recovered = len(all)
	e.report.Recovery, e.report.Usual = quantiles(all), quantiles(usual)
	e.report.Suspects, e.report.Delayed = quantiles(suspects), quantiles(delayed)
	e.report.DiedAgain, e.report.Again = len(again), quantiles(again)
}

// diedWith returns when the latest worker was killed that had claimed the job between
// two of its starts, and neither started it nor gave it back; 0: none was.
func (e *evidence) diedWith(s *story, earlier, later *run) (at int64) {
	for _, c := range s.claims {
		killed := e.life(c.Process).killed
		if c.Run > earlier.number && c.Run < later.number && !s.marked[c.Run] && c.Mono < killed && killed < later.start.Mono {
			at = max(at, killed)
		}
	}
	return at
}

// without reports whether the database was away at some time between, or had
// just come back.
func (e *evidence) without(from, to int64) bool {
	return slices.ContainsFunc(e.outages, func(o span) bool {
		return o.from < to && (o.to == math.MaxInt64 || from < o.to+int64(e.rules.Lease))
	})
}

// Throughput is taken over a time before an outage, and has come back at the end
// of the first window with the share of it.
const (
	before = int64(2 * time.Second)
	window = int64(500 * time.Millisecond)
	step   = int64(50 * time.Millisecond)
	share  = 0.8
)

// measureThroughput takes the times from the database's return until jobs are
// completed at four fifths of the rate before.
func (e *evidence) measureThroughput() {
	var done []int64 // when completions were recorded
	for _, event := range e.events {
		if event.What == history.Mark && event.Next == offstage.Completed {
			done = append(done, event.Mono)
		}
	}
	within := func(from, to int64) int64 {
		lo, _ := slices.BinarySearch(done, from)
		hi, _ := slices.BinarySearch(done, to)
		return int64(hi - lo)
	}
	var backs []time.Duration
	for i, o := range e.outages {
		from, limit := o.from-before, e.events[len(e.events)-1].Mono
		if i > 0 {
			from = max(from, e.outages[i-1].to)
		}
		if i+1 < len(e.outages) {
			limit = e.outages[i+1].from
		}
		usual := within(from, o.from)
		if usual == 0 || o.to == math.MaxInt64 {
			e.report.Unmeasured++
			continue
		}
		enough := int64(share*float64(usual)*float64(window)/float64(o.from-from) + 0.5)
		at := o.to + window
		for at <= limit && within(at-window, at) < enough {
			at += step
		}
		if at > limit {
			e.report.Unmeasured++
			continue
		}
		backs = append(backs, time.Duration(at-o.to))
	}
	e.report.Back = quantiles(backs)
}

// checkFaults holds the faults that struck against those that were asked for.
func (e *evidence) checkFaults() {
	for _, fault := range slices.Sorted(maps.Keys(e.rules.Faults)) {
		if struck, least := e.report.Faults[fault], e.rules.Faults[fault]; struck < least {
			e.violate(Violation{What: missingFault, Text: fmt.Sprintf("%s struck %d times of %d", fault, struck, least)})
		}
	}
}
