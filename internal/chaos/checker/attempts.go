package checker

import (
	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// checkAttempts holds the job's recorded history against what its handlers did:
// every start has an end there, and nothing is charged but the handler's own
// failures.
func (e *evidence) checkAttempts(s *story) {
	if s.listed == nil {
		return
	}
	for _, r := range s.runs {
		if r.number > s.listed.Run {
			e.breach(s, unrecorded, "run %d was started, but the job has only %d", r.number, s.listed.Run)
		}
	}
	if len(s.listed.Attempts) == 0 {
		if s.listed.Errors != 0 || s.listed.Run > 1 {
			e.breach(s, unrecorded, "it has %d runs and %d errors, but no history", s.listed.Run, s.listed.Errors)
		}
		return
	}
	charged := 0
	for i, a := range s.listed.Attempts {
		if a.Run != i+1 {
			e.breach(s, unrecorded, "entry %d of its history is of run %d", i+1, a.Run)
		}
		if a.Outcome == offstage.OutcomeErrored || a.Outcome == offstage.OutcomeTimedOut {
			charged++
			e.checkCharge(s, a)
		}
	}
	if n := len(s.listed.Attempts); s.listed.State.Terminal() && s.listed.Attempts[n-1].Run != s.listed.Run {
		e.breach(s, unrecorded, "it has %d runs, but its history ends with %d", s.listed.Run, n)
	}
	if charged != s.listed.Errors {
		e.breach(s, attemptsOver, "%d errors are counted, %d are in the history", s.listed.Errors, charged)
	}
	most := e.kind(s).MaxAttempts
	if most == 0 {
		most = offstage.DefaultMaxAttempts
	}
	if charged > most {
		e.breach(s, attemptsOver, "%d attempts failed, %d may", charged, most)
	}
}

// checkCharge looks for the handler's own failure behind a charged attempt.
func (e *evidence) checkCharge(s *story, a history.Attempt) {
	for _, r := range s.runs {
		if r.number != a.Run {
			continue
		}
		switch {
		case r.end == nil:
			e.breach(s, attemptsOver, "run %d is charged as %s, but its handler did not end: %s", a.Run, a.Outcome, a.Error)
		case r.end.How != history.Error && r.end.How != history.Broken:
			e.breach(s, attemptsOver, "run %d is charged as %s, but its handler ended %q: %s", a.Run, a.Outcome, r.end.How, a.Error)
		}
		return
	}
	e.breach(s, attemptsOver, "run %d is charged as %s, but was never started: %s", a.Run, a.Outcome, a.Error)
}

// checkNeighbour tells poison from the jobs that only were in its company.
func (e *evidence) checkNeighbour(s *story) {
	if s.listed == nil {
		return
	}
	n := len(s.listed.Attempts)
	felled := s.listed.State == offstage.Failed && n > 0 && s.listed.Attempts[n-1].Outcome == offstage.OutcomeLost
	if e.kind(s).Poison {
		wishes := 0
		for _, r := range s.runs {
			if r.wished {
				wishes++
			}
		}
		switch {
		case wishes > offstage.MaxLost:
			e.breach(s, immortal, "it killed %d workers", wishes)
		case !felled && s.listed.State != offstage.Cancelled:
			e.breach(s, immortal, "it is poison and %s", s.listed.State)
		default:
			e.report.Poisoned++
		}
		return
	}
	if !felled {
		return
	}
	e.report.Felled++
	deaths := 0
	for i := n - 1; i >= 0 && deaths < offstage.MaxLost; i-- {
		switch a := s.listed.Attempts[i]; a.Outcome {
		case offstage.OutcomeLost:
			if deaths++; deaths == 1 {
				e.checkBlame(s, a)
			}
		case offstage.OutcomeInterrupted: // neither a death nor progress
		default:
			i = 0
		}
	}
	if deaths < offstage.MaxLost {
		e.breach(s, neighbour, "it was taken for poison after %d deaths in a row", deaths)
	}
}

// suspected is how many workers in a row have to die for a job to be a suspect.
const suspected = 2

// checkBlame holds the death that an ordinary job failed by against what its worker
// did: it must have been running there, or about to be, with no other suspect. The
// deaths before only made it a suspect; they count against all that a worker held.
func (e *evidence) checkBlame(s *story, a history.Attempt) {
	for _, r := range s.runs {
		if r.number != a.Run {
			continue
		}
		if r.start.Lost < suspected {
			return
		}
		for _, other := range e.company(s, r) {
			e.breach(s, neighbour, "it was taken for poison by a death in the company of suspect %d", other)
		}
		e.checkKiller(s, r)
		return
	}
	if !s.named[a.Run] {
		e.breach(s, neighbour, "it was taken for poison by the loss of run %d, which was never started", a.Run)
	}
}

// checkKiller looks for the job that ended the process of a run, if it was another:
// the two must not have started within a tenth of a lease of each other, or nearly
// so, since the start of a handler is recorded a little later than it is decided.
func (e *evidence) checkKiller(s *story, r *run) {
	const nearly = 0.8 / 10
	for _, other := range e.stories {
		for _, k := range other.runs {
			between := k.start.Mono - r.start.Mono
			if other != s && k.wished && k.start.Process == r.start.Process && max(between, -between) < int64(nearly*float64(e.rules.Lease)) {
				e.breach(s, neighbour, "it was taken for poison by the death that job %d brought about, which had started %s after it", other.id, ms(between))
			}
		}
	}
}

// company lists the other suspects that were running in the run's process at
// its end.
func (e *evidence) company(s *story, r *run) []offstage.ID {
	var ids []offstage.ID
	for _, other := range e.stories {
		for _, o := range other.runs {
			if other != s && o.start.Process == r.start.Process && o.start.Lost >= suspected && o.start.Mono < r.until && o.until >= r.until {
				ids = append(ids, other.id)
			}
		}
	}
	return ids
}
