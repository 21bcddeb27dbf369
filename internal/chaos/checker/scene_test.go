package checker

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// scene is a history written by hand. Times are in milliseconds.
type scene struct {
	events  []history.Event
	listing history.Listing
	rules   Rules
}

func newScene() *scene {
	return &scene{
		listing: history.Listing{Pairs: map[string]int{}, Effects: map[offstage.ID]int{}},
		rules: Rules{
			Lease: time.Second, Grace: time.Second, Faults: map[string]int{},
			Kinds: map[string]Kind{
				"flaky": {MaxAttempts: 3}, "paired": {Paired: true}, "effect": {Commits: true},
				"poison": {Poison: true}, "once": {Once: true},
			},
		},
	}
}

func (s *scene) at(ms int64, process string, e history.Event) {
	e.Process, e.Mono = process, ms*int64(time.Millisecond)
	e.Wait *= int64(time.Millisecond)
	s.events = append(s.events, e)
}

// sent is an enqueue by producer p that took a millisecond and was acknowledged.
func (s *scene) sent(ms int64, job history.Job) {
	s.send(ms, job)
	s.at(ms+1, "p", history.Event{What: history.Ack, Key: job.Key, Job: job.ID})
}

// send is an enqueue whose answer did not come.
func (s *scene) send(ms int64, job history.Job) {
	s.at(ms, "p", history.Event{What: history.Send, Key: job.Key, Kind: job.Kind, Unique: job.Unique})
}

func (s *scene) start(ms int64, worker string, job offstage.ID, run int) {
	s.at(ms, worker, history.Event{What: history.Start, Job: job, Run: run})
}

func (s *scene) end(ms int64, worker string, job offstage.ID, run int, how string) {
	s.at(ms, worker, history.Event{What: history.End, Job: job, Run: run, How: how})
}

// done is a whole run that completed, from ms for 10 ms.
func (s *scene) done(ms int64, worker string, job offstage.ID, run int) {
	s.start(ms, worker, job, run)
	s.end(ms+10, worker, job, run, history.OK)
	s.mark(ms+11, worker, job, run, offstage.Completed)
}

func (s *scene) mark(ms int64, worker string, job offstage.ID, run int, next offstage.State) {
	s.at(ms, worker, history.Event{What: history.Mark, Job: job, Run: run, Next: next})
}

func (s *scene) told(ms int64, worker string, job offstage.ID, run int, cause string) {
	s.at(ms, worker, history.Event{What: history.Cancelled, Job: job, Run: run, Note: cause})
}

// fault is one that struck once.
func (s *scene) fault(from, to int64, name, target, how string) {
	s.at(from, "parent", history.Event{What: history.FaultBegin, Fault: name, Target: target, How: how})
	s.at(to, "parent", history.Event{What: history.FaultEnd, Fault: name, Target: target, How: how, Count: 1})
}

func (s *scene) died(ms int64, process string) {
	s.at(ms, "parent", history.Event{What: history.Died, Target: process, Note: "signal: killed"})
}

func (s *scene) list(job history.Job) { s.listing.Jobs = append(s.listing.Jobs, job) }

func (s *scene) check() *Report {
	slices.SortStableFunc(s.events, func(a, b history.Event) int { return cmp.Compare(a.Mono, b.Mono) })
	return Check(s.events, &s.listing, s.rules)
}

// quick is a job that completes in its first run.
var quick = history.Job{ID: 1, Kind: "quick", Key: "p/1", State: offstage.Completed, Run: 1}

// attempts is a history whose entries follow one another, the last of which ends
// in the state.
func attempts(state offstage.State, outcomes ...offstage.Outcome) []history.Attempt {
	var list []history.Attempt
	for i, outcome := range outcomes {
		list = append(list, history.Attempt{Run: i + 1, Outcome: outcome, Next: offstage.Ready})
	}
	list[len(list)-1].Next = state
	return list
}

// found returns what the report says is broken, each once.
func found(r *Report) []string {
	var what []string
	for _, v := range r.Violations {
		what = append(what, v.What)
	}
	return slices.Compact(what)
}

// cases are scenes by the sentence that they break, or keep.
type cases map[string]func(s *scene)

// run expects of each scene the violations, and no others.
func (c cases) run(t *testing.T, want ...string) {
	t.Helper()
	for name, write := range c {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			write(s)
			r := s.check()
			if got := found(r); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q: %+v", got, want, r.Violations)
			}
		})
	}
}
