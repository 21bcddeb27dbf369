package checker

import (
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// checkRuns looks at each start by itself: that its number is its own, that it
// came neither too early nor too late.
func (e *evidence) checkRuns(s *story) {
	for i, r := range s.runs {
		for _, again := range r.again {
			e.breach(s, runTwice, "run %d was started by %s and by %s", r.number, r.start.Process, again.Process)
		}
		if l := e.life(r.start.Process); l.stopping > 0 && r.start.Mono > l.stopping+int64(time.Second) {
			e.violate(Violation{What: lateStart, Job: s.id, Process: l.name, Text: "run started " + ms(r.start.Mono-l.stopping) + " after its process was told to stop"})
		}
		if i > 0 {
			e.checkWait(s, s.runs[i-1], r)
		}
	}
	if q := s.enqueue; q != nil && len(s.runs) > 0 {
		if first := s.runs[0].start.Mono; first+grain < q.send.Mono+q.send.Wait {
			e.breach(s, early, "started %s after its enqueue was sent, though due after %s", ms(first-q.send.Mono), ms(q.send.Wait))
		}
	}
}

// grain is how much the store's clock may differ from the monotonic one over
// the waits of a campaign.
const grain = int64(5 * time.Millisecond)

// checkWait holds a run against the wait that the one before it asked for, if
// that one's end counted.
func (e *evidence) checkWait(s *story, before, r *run) {
	if s.listed == nil || before.end == nil || before.end.Wait == 0 || r.number != before.number+1 {
		return
	}
	for _, a := range s.listed.Attempts {
		counted := a.Outcome == offstage.OutcomeErrored || a.Outcome == offstage.OutcomeSnoozed
		if a.Run == before.number && counted && r.start.Mono+grain < before.end.Mono+before.end.Wait {
			e.breach(s, early, "run %d started %s after the end of run %d, which asked for %s",
				r.number, ms(r.start.Mono-before.end.Mono), before.number, ms(before.end.Wait))
		}
	}
}

// checkOverlaps looks at each two runs of a job. Handlers may run at the same
// time only if the earlier run's worker could not know any better, or has
// cancelled it because the lease was over.
func (e *evidence) checkOverlaps(s *story) {
	for i, a := range s.runs {
		for _, b := range s.runs[i+1:] {
			if a.start.Mono >= b.until || b.start.Mono >= a.until {
				continue
			}
			switch {
			case e.pausedThrough(a, b.start.Mono):
				e.report.Overruns.Paused++
			case a.told != nil && a.told.Note == history.CauseLeaseLost && a.told.Mono <= b.start.Mono:
				e.report.Overruns.CutOff++
			case e.leftBehind(a, b.start.Mono):
				e.report.Overruns.Exit++
			default:
				e.breach(s, overlap, "run %d on %s was executing when run %d started on %s",
					a.number, a.start.Process, b.number, b.start.Process)
			}
		}
	}
}

// pausedThrough reports whether the run's process was stopped, or starved, for
// most of a lease, so that at that time it may not have known yet that its lease
// was over.
func (e *evidence) pausedThrough(r *run, at int64) bool {
	lease := int64(e.rules.Lease)
	for _, p := range e.life(r.start.Process).pauses {
		if p.to-p.from >= lease*6/10 && r.start.Mono <= p.to+grain && p.from <= at && at <= p.to+lease {
			return true
		}
	}
	return false
}

// leftBehind reports whether the run ignored that its process stops, and the
// process has handed its job back as its last deed and exited.
func (e *evidence) leftBehind(r *run, at int64) bool {
	l := e.life(r.start.Process)
	return r.end == nil && r.told != nil && r.told.Note == history.CauseShutdown &&
		l.died > 0 && l.died <= at+int64(time.Second)
}

// checkEnd holds what the workers recorded, what the history says and what the
// handlers did against each other: one end, nothing after it, and no success
// that nobody had.
func (e *evidence) checkEnd(s *story) {
	last := 0 // the run that ended the job
	for _, mark := range s.ends {
		if last != 0 && mark.Run != last {
			e.breach(s, finishedTwice, "workers recorded its end by run %d and by run %d", last, mark.Run)
		}
		last = mark.Run
	}
	if s.listed == nil {
		return
	}
	for _, a := range s.listed.Attempts {
		if !a.Next.Terminal() {
			continue
		}
		if last != 0 && a.Run != last {
			e.breach(s, finishedTwice, "its end is recorded by run %d and by run %d", last, a.Run)
		}
		last = a.Run
	}
	if s.listed.State.Terminal() && last == 0 {
		last = s.listed.Run
	}
	for _, r := range s.runs {
		if last != 0 && r.number > last {
			e.breach(s, finishedTwice, "run %d started though run %d had ended it", r.number, last)
		}
	}
	if n := e.listing.Effects[s.id]; n > 1 {
		e.breach(s, finishedTwice, "its completion's transaction was committed %d times", n)
	}
	e.checkSuccess(s)
}

// checkSuccess looks for the handler's own word behind a completion.
func (e *evidence) checkSuccess(s *story) {
	completed := s.listed.State == offstage.Completed
	if e.kind(s).Commits {
		if n := e.listing.Effects[s.id]; (n > 0) != completed {
			e.breach(s, effectBroken, "it is %s with %d effects of its transaction", s.listed.State, n)
		}
		return
	}
	if !completed {
		return
	}
	for _, r := range s.runs {
		if r.number == s.listed.Run && r.end != nil && r.end.How == history.OK {
			return
		}
	}
	e.breach(s, hollow, "it is completed by run %d, which no handler ended well", s.listed.Run)
}
