package checker

import (
	"fmt"
	"strings"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/internal/chaos/history"
)

// bulkOf returns the key of the sequence that a key belongs to, if it does.
func bulkOf(key string) string {
	if i := strings.LastIndexByte(key, '/'); i > 0 {
		return key[:i]
	}
	return ""
}

// checkEnqueues looks for the jobs of each enqueue: all that was acknowledged,
// nothing that was rolled back, and one job where the answer was lost, or none.
func (e *evidence) checkEnqueues() {
	byKey := map[string][]*history.Job{}
	members := map[string]int{}
	for i := range e.listing.Jobs {
		job := &e.listing.Jobs[i]
		byKey[job.Key] = append(byKey[job.Key], job)
		members[bulkOf(job.Key)]++
	}
	for key, q := range e.enqueues {
		if q.refused != "" {
			e.violate(Violation{What: refused, Text: key + ": " + q.refused})
		}
		if len(q.acks) == 0 && !q.undone() {
			e.report.Unknown++
		}
		if q.send.Count > 0 {
			e.checkBulk(key, q, members[key])
			continue
		}
		e.checkEnqueue(key, q, byKey[key])
		if e.rules.Kinds[q.send.Kind].Paired && e.listing.Pairs[key] != len(byKey[key]) {
			e.violate(Violation{What: pairBroken, Text: fmt.Sprintf("%s: %d jobs and %d rows beside them", key, len(byKey[key]), e.listing.Pairs[key])})
		}
	}
	e.checkOrphans(byKey)
}

func (e *evidence) checkBulk(key string, q *enqueue, members int) {
	switch whole := members == q.send.Count; {
	case len(q.acks) > 0 && !whole:
		e.violate(Violation{What: lost, Text: fmt.Sprintf("%s: %d jobs of an acknowledged sequence of %d", key, members, q.send.Count)})
	case members > 0 && q.undone():
		e.violate(Violation{What: phantom, Text: fmt.Sprintf("%s: %d jobs of a sequence that did not happen", key, members)})
	case members > 0 && !whole:
		e.violate(Violation{What: torn, Text: fmt.Sprintf("%s: %d jobs of a sequence of %d", key, members, q.send.Count)})
	}
	if len(q.acks) > 0 {
		e.report.Acked += q.send.Count
	}
}

func (e *evidence) checkEnqueue(key string, q *enqueue, jobs []*history.Job) {
	e.report.Acked += min(len(q.acks), 1)
	most := 1
	if q.undone() {
		most = 0
	}
	if len(jobs) > most {
		e.violate(Violation{What: phantom, Job: jobs[len(jobs)-1].ID, Text: fmt.Sprintf("%s: %d jobs, %d allowed", key, len(jobs), most)})
	}
	for _, ack := range q.acks {
		s := e.byJob[ack.Job]
		if s == nil || s.listed == nil {
			e.violate(Violation{What: lost, Job: ack.Job, Text: key + " was acknowledged and is not there"})
			continue
		}
		if ack.Existed {
			e.report.Unique++
			if s.listed.Unique != q.send.Unique {
				e.breach(s, lost, "%s was acknowledged as being there, which has another unique key", key)
			}
		} else if s.listed.Key != key {
			e.breach(s, lost, "%s was acknowledged as this job, which is %s", key, s.listed.Key)
		}
	}
}

// checkOrphans looks for jobs, and rows beside jobs, that nobody sent.
func (e *evidence) checkOrphans(byKey map[string][]*history.Job) {
	for _, s := range e.stories {
		if s.listed != nil && s.enqueue == nil && s.listed.Schedule == "" {
			e.breach(s, phantom, "nobody enqueued %s", s.listed.Key)
		}
	}
	for key := range e.listing.Pairs {
		if len(byKey[key]) == 0 && e.enqueues[key] == nil {
			e.violate(Violation{What: pairBroken, Text: key + ": a row beside no job"})
		}
	}
}

// checkListed looks at what the store says of each job at the end: everything
// has ended, and nothing that ran is missing.
func (e *evidence) checkListed() {
	for _, s := range e.stories {
		switch {
		case s.listed == nil:
			if len(s.runs) > 0 {
				e.breach(s, lost, "it ran and is not there")
			}
		case s.listed.State.Terminal():
			if s.listed.State == offstage.Completed {
				e.report.Completed++
			}
		case s.acked > 0:
			e.breach(s, lost, "it was acknowledged and is still %s", s.listed.State)
		default:
			e.breach(s, stuck, "it is still %s", s.listed.State)
		}
	}
}

// checkCancel holds what happened to a job against the cancels that were
// acknowledged: none starts any more, but for one claim in flight.
func (e *evidence) checkCancel(s *story) {
	for _, ack := range s.cancels {
		starts := 0
		for _, r := range s.runs {
			if r.start.Mono > ack.Mono {
				starts++
			}
		}
		if ack.Next == offstage.Cancelled && starts > 0 || starts > 1 {
			e.breach(s, uncancelled, "it started %d times after its cancel was answered with %s", starts, ack.Next)
		}
	}
	if len(s.cancels) == 0 || s.listed == nil || s.listed.State == offstage.Cancelled {
		return
	}
	if s.cancels[0].Next == offstage.Cancelled {
		e.breach(s, uncancelled, "its cancel was answered with cancelled, and it is %s", s.listed.State)
	} else if s.listed.State != offstage.Completed && s.listed.State.Terminal() {
		e.breach(s, uncancelled, "its cancel was acknowledged, and it is %s", s.listed.State)
	}
}
